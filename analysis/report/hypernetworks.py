"""The report's sections about hypernetworks: held-out tasks solved by a vector alone, and in other ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.held_out_tasks.adaptation import LABELS, STEPS, budget
from analysis.held_out_tasks.ways import COMPUTED, UNADAPTED, WAYS
from analysis.measuring.results import Result
from analysis.pages.figures import GRAY, PALETTE, PERCENT, axis_of, base_layout
from analysis.pages.numbers import count
from analysis.pages.page import Bullets, Chart, Grid, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.record import Analysis
from analysis.report.figures import error_bars_of

ACCURACY = "task_accuracy"
NOTHING = "not adapted"
LIMITS = (
    "Held-out tasks are of the same data set as those the generator was trained on. Classes of held-out pairs occur in"
    " training tasks, though in other pairs; a class that is counted in held-out tasks is counted in no training task,"
    " though it occurs in their scenes.",
    "Of every way the learning rate was chosen on validation tasks with as many labels, of the vector then whether a"
    " prior counts; the number of steps is the same for all.",
    "Intervals are over tasks (a pair of classes in both orders is one) and fits; they do not cover which trial was the"
    " best.",
)


def findings(analysis: Analysis) -> Section:
    """The table of ways by budgets, and the curves over labels and steps."""
    results = analysis.results
    best = next(result for result in results if result.family == "learned")
    scratch = next(result for result in results if result.name.endswith("from scratch"))
    ratio = scratch.metrics["trainable_numbers"].estimate / best.metrics["trainable_numbers"].estimate
    return Section(
        anchor="findings",
        heading="Held-out tasks",
        blocks=(
            Text(
                f"Tasks that no training network had, {len(analysis.summary['tasks'])} of them: the frozen generator"
                f" solves each with a vector of {best.metrics['trainable_numbers'].estimate:,.0f} numbers, a network of"
                f" its own has {scratch.metrics['trainable_numbers'].estimate:,.0f} ({ratio:,.0f} times as many)."
                " Each number is the accuracy on test examples, the mean over tasks, with its 95 % interval."
            ),
            ways_table(results),
            Grid(
                (
                    curve(results, "labels", "Accuracy against labeled examples", LABELS),
                    curve(results, "steps", "Accuracy against steps", STEPS),
                )
            ),
        ),
    )


def named(result: Result) -> str:
    """What a row is called: a way, or a trial's hypernetwork."""
    return result.name if result.trial is None else f"{result.name}, trial {result.trial}"


def ways_table(results: Sequence[Result]) -> Table:
    """Ways by budgets."""
    found = {(named(result), _spent(result)): result for result in results}
    spent = sorted(dict.fromkeys(each for _, each in found), key=lambda each: each != NOTHING)
    rows = []
    for name in dict.fromkeys(map(named, results)):
        numbers = next(result for result in results if named(result) == name).metrics["trainable_numbers"].estimate
        cells = (_cell(found.get((name, each))) for each in spent)
        rows.append(Row(cells=(Cell(text=name), Cell(text=count(numbers), sort=numbers), *cells)))
    columns = (
        Column(title="way", number=False),
        Column(title="numbers a task"),
        *(Column(title=each) for each in spent),
    )
    return Table(caption="Accuracy on held-out tasks", columns=columns, rows=tuple(rows))


def curve(results: Sequence[Result], over: str, caption: str, values: Sequence[int | None]) -> Chart:
    """Accuracy over labels or steps, a line a way; ways that are not adapted as horizontal lines."""
    figure = go.Figure(layout=base_layout(380))
    names = list(dict.fromkeys(map(named, results)))
    for number, name in enumerate(names):
        own = {_budget(result): result for result in results if named(result) == name}
        own_name = next(iter(own.values())).name
        points = []
        for value in values:
            steps = 0 if own_name in COMPUTED else STEPS[-1]
            wanted = budget(value, steps) if over == "labels" else budget(None, int(value or 0))
            if (result := own.get(wanted)) is not None:
                points.append((value, result.metrics[ACCURACY]))
        if not points:
            continue
        computed = own_name in COMPUTED
        color = GRAY if computed else PALETTE[number % len(PALETTE)]
        figure.add_scatter(
            x=["all" if value is None else str(value) for value, _ in points],
            y=[measured.estimate for _, measured in points],
            error_y=error_bars_of([measured for _, measured in points], width=3),
            mode="lines+markers",
            line={"color": color, "width": 2, "dash": "dot" if computed else "solid"},
            marker={"size": 6},
            name=name,
        )
    figure.update_xaxes(
        title_text="labeled examples of each class" if over == "labels" else "steps, all labels", type="category"
    )
    figure.update_yaxes(**axis_of(results[0].metrics[ACCURACY].metric))
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.28, "yanchor": "top"}, margin={"b": 150})
    return Chart(name=f"tasks-by-{over}", figure=figure, label=caption, caption=f"{caption}; bars are 95 % intervals.")


def interpolation(summary: Mapping[str, Any]) -> Section:
    """Accuracy of the networks between the vectors of two training tasks, on both tasks."""
    charts = []
    for number, walk in enumerate(summary["interpolation"]):
        figure = go.Figure(layout=base_layout(300))
        for place, (end, color) in enumerate(zip(("from", "to"), PALETTE, strict=False)):
            figure.add_scatter(
                x=walk["shares"],
                y=walk[f"accuracy_{end}"],
                mode="lines+markers",
                line={"color": color, "width": 2},
                marker={"size": 5},
                name=f"task {walk[end]}",
                legendrank=place,
            )
        figure.update_xaxes(title_text=f"share of the way from {walk['from']} to {walk['to']}", tickformat=PERCENT)
        figure.update_yaxes(title_text="accuracy", tickformat=PERCENT)
        figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 40})
        label = f"Accuracy between the vectors of tasks {walk['from']} and {walk['to']}"
        charts.append(Chart(name=f"between-tasks-{number}", figure=figure, label=label, narrow=True))
    return Section(
        anchor="between",
        heading="Between two tasks",
        blocks=(
            Text(
                "Networks on the straight line between the vectors of two training tasks, judged on test examples of"
                " both."
            ),
            Grid(tuple(charts)),
        ),
    )


def ways(results: Sequence[Result]) -> Section:
    """What each way is; of those that only some hypernetworks have, if there are such."""
    told = {name: text for name, text in WAYS.items() if name not in COMPUTED or any(r.name == name for r in results)}
    return Section(
        anchor="ways",
        heading="What is compared",
        short="Compared",
        blocks=(Bullets(tuple(f"{name}: {text}." for name, text in told.items())),),
    )


def _spent(result: Result) -> str:
    return NOTHING if result.name in UNADAPTED else _budget(result)


def _budget(result: Result) -> str:
    return ", ".join(result.setting.split(", ")[:2])


def _cell(result: Result | None) -> Cell:
    if result is None:
        return absent()
    measured = result.metrics[ACCURACY]
    return metric_cell(measured.metric, measured.estimate, measured.low, measured.high)
