"""The report's sections about groups of members: what each is and withstands, and examples made on other groups."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.by_axis import GAIN
from analysis.measuring.results import Result, declared
from analysis.pages.figures import LEGEND_ABOVE, PALETTE, base_layout
from analysis.pages.numbers import counted, shown, with_unit
from analysis.pages.page import Block, Bullets, Chart, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.record import Analysis
from analysis.report.figures import error_bars_of
from analysis.report.limits import not_measured
from zoo.metric import Metric

LIMITS = (
    "Members of every split count, at their last snapshots: nothing was fitted.",
    "Attacks and noise on the weights are measured on the first test examples, as many as their descriptions say;"
    " intervals cover the choice of networks, not that of examples.",
    "Accuracy under an attack is an upper bound: another attack may find more.",
)
# Of a figure: pixels of one metric, and of what stands around it; characters of a line of a label.
ROW_PIXELS, FRAME_PIXELS, LINE = 50, 150, 22


def findings(analysis: Analysis) -> Section:
    """Each group under each metric, as a picture and a table, and what it gains over the first group."""
    alone = [result for result in analysis.results if not result.setting]
    metrics, gains = _split(alone)
    blocks: list[Block] = []
    if gains:
        blocks.append(Bullets(tuple(_said(result, alone[0], gains) for result in alone[1:])))
    shares = [metric for metric in metrics if metric.unit == "share"]
    blocks += [chart(alone, shares)] if shares else []
    blocks.append(table("What networks of each group are and withstand", alone, metrics))
    if gains:
        blocks += [
            Text(
                f"The same less that of networks with {alone[0].name}, in percentage points, both resampled together"
                " by the minibatch orders that they share."
            ),
            table(f"Gains over {alone[0].name}", alone[1:], gains),
        ]
    return Section(anchor="findings", heading="Group by group", blocks=tuple(blocks))


def transfers(analysis: Analysis) -> Section | str:
    """For each attack with examples of other networks, groups by the groups that these are of."""
    pairs = [result for result in analysis.results if result.setting]
    if not pairs:
        return "no evaluator compares networks with others of their groups (analyze --evaluators transfer-0.1)"
    names = list(dict.fromkeys(result.name for result in pairs))
    found = {(result.name, result.setting): result for result in pairs}
    tables: list[Block] = []
    for metric in _split(pairs)[0]:
        rows = tuple(
            Row(cells=(Cell(text=name), *(_cell(found[name, other], metric) for other in names))) for name in names
        )
        columns = (Column(title="judged", number=False), *(Column(title=f"made on {name}") for name in names))
        tables += [Text(metric.description), Table(caption=metric.label, columns=columns, rows=rows)]
    return Section(
        anchor="transfers",
        heading="Examples made on other networks",
        short="Transfer",
        blocks=(
            Text(
                "Every network is judged on adversarial examples that were made on another one, of its own group or of"
                " another group, and of the same minibatch order where there is one. Where such examples do more harm"
                " than those by a network's own gradient, its gradient is masked and its robustness not real."
            ),
            *tables,
        ),
    )


def chart(results: Sequence[Result], metrics: Sequence[Metric]) -> Chart:
    """A point with its interval for each group and metric."""
    figure = go.Figure(layout=base_layout(FRAME_PIXELS + ROW_PIXELS * len(metrics)))
    for number, result in enumerate(results):
        drawn = [metric for metric in metrics if metric.name in result.metrics]
        shift = (number - (len(results) - 1) / 2) * 0.6 / len(results)
        measured = [result.metrics[metric.name] for metric in drawn]
        figure.add_scatter(
            x=[each.estimate for each in measured],
            y=[metrics.index(metric) + shift for metric in drawn],
            error_x=error_bars_of(measured),
            text=[f"{metric.label}: {with_unit(metric, result.value(metric.name))}" for metric in drawn],
            hovertemplate=f"%{{text}}<extra>{result.name}</extra>",
            mode="markers",
            marker={"color": PALETTE[number % len(PALETTE)], "size": 8},
            name=result.name,
        )
    figure.update_yaxes(
        tickvals=list(range(len(metrics))),
        ticktext=["<br>".join(textwrap.wrap(metric.label, LINE)) for metric in metrics],
        autorange="reversed",
    )
    figure.update_xaxes(tickformat=".0%")
    figure.update_layout(LEGEND_ABOVE)
    label = "What networks of each group are and withstand, with 95 % intervals"
    return Chart(name="groups", figure=figure, label=label, caption=f"{label}.")


def table(caption: str, results: Sequence[Result], metrics: Sequence[Metric]) -> Table:
    """Metrics by groups."""
    rows = tuple(
        Row(cells=(Cell(text=metric.label), *(_cell(result, metric) for result in results))) for metric in metrics
    )
    columns = (Column(title="metric", number=False), *(Column(title=result.name) for result in results))
    return Table(caption=caption, columns=columns, rows=rows)


def limits(summary: Mapping[str, Any]) -> list[str]:
    """What a reader must know of the figures."""
    diverged = summary["diverged"]
    left_out = f"Left out, for their weights or losses are not finite: {counted(diverged, 'network')}."
    return [*LIMITS, *([left_out] if diverged else []), *not_measured(summary)]


def _split(results: Sequence[Result]) -> tuple[list[Metric], list[Metric]]:
    """Metrics, and gains in them."""
    metrics = list(declared(results).values())
    return [m for m in metrics if not m.name.endswith(GAIN)], [m for m in metrics if m.name.endswith(GAIN)]


def _cell(result: Result, metric: Metric) -> Cell:
    measured = result.metrics.get(metric.name)
    if measured is None:
        return absent()
    return metric_cell(metric, measured.estimate, measured.low, measured.high)


def _said(result: Result, first: Result, gains: Sequence[Metric]) -> str:
    """In which of the metrics a group is beyond chance better than the first one, and in which worse."""
    sided: dict[str, list[str]] = {"more": [], "less": []}
    for metric in gains:
        measured = result.metrics.get(metric.name)
        if measured is None or measured.low is None or measured.low <= 0 <= measured.ends[1]:
            continue
        words = f"{metric.label.removesuffix(', gain')} {shown(metric, abs(measured.estimate))} pp"
        sided["more" if measured.estimate > 0 else "less"].append(words)
    told = [f"{', '.join(words)} {side}" for side, words in sided.items() if words]
    beside = f"{result.name} beside {first.name}"
    return f"{beside}: {'; '.join(told)}." if told else f"{beside}: no difference beyond chance."
