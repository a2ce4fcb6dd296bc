"""The report's sections about networks made for sets of labeled examples."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.held_out_tasks.made_for_sets import FINE_TUNED, SCRATCH, WAYS
from analysis.measuring.results import Result
from analysis.pages.figures import PALETTE, axis_of, base_layout
from analysis.pages.page import Bullets, Chart, Grid, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.record import Analysis
from trainables.hypernetworks.metrics import SET_METRICS, UNSEEN_ACCURACY

LIMITS = (
    "Sets are drawn of test examples, of which none was trained on; but they are of the same classes as training sets,"
    " which what is fitted to one set alone has never seen. Another data set shows what is left without that.",
    "Learning rates were chosen on sets of validation examples. Intervals are over sets and fits.",
)


def findings(analysis: Analysis) -> Section:
    """A table of all ways, and accuracy against steps."""
    datasets = analysis.summary["datasets"]
    return Section(
        anchor="findings",
        heading="Held-out sets",
        blocks=(
            Text(
                f"{analysis.summary['test_members']} sets of {analysis.summary['set_size']} labeled examples from each"
                " data set: one pass makes a network for each. Other ways are fitted to the same set."
            ),
            table(analysis.results, datasets),
            Grid(tuple(curve(analysis.results, name) for name in datasets)),
        ),
    )


def named(result: Result) -> str:
    """What a row is called."""
    if result.trial is not None:
        return f"{result.name}, trial {result.trial}"
    return ", ".join([result.name, *result.setting.split(", ")[1:]])


def table(results: Sequence[Result], datasets: Sequence[str]) -> Table:
    """Ways by data sets, accuracy on other examples and on the set."""
    found = {(named(result), result.setting.split(", ")[0]): result for result in results}
    rows = []
    for name in dict.fromkeys(map(named, results)):
        cells = [Cell(text=name)]
        for data in datasets:
            result = found.get((name, data))
            for metric in SET_METRICS:
                measured = None if result is None else result.metrics[metric.name]
                cells.append(
                    absent()
                    if measured is None
                    else metric_cell(measured.metric, measured.estimate, measured.low, measured.high)
                )
        rows.append(Row(cells=tuple(cells)))
    columns = [Column(title=f"{data}: {metric.label}") for data in datasets for metric in SET_METRICS]
    return Table(
        caption="Accuracy on held-out sets", columns=(Column(title="way", number=False), *columns), rows=tuple(rows)
    )


def curve(results: Sequence[Result], data: str) -> Chart:
    """Accuracy on other examples against steps of training; what takes none as horizontal lines."""
    figure = go.Figure(layout=base_layout(380))
    of = [result for result in results if result.setting.split(", ")[0] == data]
    for number, name in enumerate(dict.fromkeys(result.name for result in of)):
        own = [result for result in of if result.name == name]
        steps = [
            int(result.setting.split(", ")[1].split()[0]) if name in (SCRATCH, FINE_TUNED) else 0 for result in own
        ]
        values = [result.metrics[UNSEEN_ACCURACY.name].estimate for result in own]
        if name in (SCRATCH, FINE_TUNED):
            x, y = steps, values
        else:
            x, y = [1, 1000], [max(values)] * 2
        line = {"color": PALETTE[number % len(PALETTE)], "width": 2, "dash": "solid" if any(steps) else "dot"}
        figure.add_scatter(x=x, y=y, mode="lines+markers" if any(steps) else "lines", line=line, name=name)
    figure.update_xaxes(title_text="steps of training on the set", type="log")
    figure.update_yaxes(**axis_of(UNSEEN_ACCURACY))
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.28, "yanchor": "top"}, margin={"b": 150})
    label = f"Accuracy against steps: {data}"
    return Chart(name=f"sets-by-steps-{data}", figure=figure, label=label, caption=f"{label}; dotted: no steps.")


def ways() -> Section:
    """What each way is."""
    return Section(
        anchor="ways",
        heading="What is compared",
        short="Compared",
        blocks=(Bullets(tuple(f"{name}: {text}." for name, text in WAYS.items())),),
    )
