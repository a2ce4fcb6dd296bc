"""The report's sections about generators: how good, and how new, what they make is."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.evaluators.boundaries import BOUNDARY_DISTANCE
from analysis.generation.audit import ACCURACY, CRITERIA, DISTANCE, DIVERSITY, FURTHEST, OVERLAP, SPREAD, passed
from analysis.generation.making import CONTROLS, TRAINED, UNTRAINED
from analysis.measuring.results import Result, declared
from analysis.pages.figures import BLUE, GRAY, PALETTE, axis_of, base_layout
from analysis.pages.numbers import with_unit
from analysis.pages.page import Bullets, Chart, Grid, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.record import Analysis
from analysis.report.boundaries import planes_alone

LIMITS = (
    "Networks pass the audit by six measures, none of which is more than that: they lie no closer to training networks"
    " than these to each other and no further than twice as far as held-out ones, not in the affine hull of training"
    " networks, make other mistakes, and differ from each other in what they predict (at least three quarters as often"
    " as held-out networks) and in their weights (at least half as far).",
    "Distances are of weights whose hidden units were matched to one training network; other symmetries, such as scales"
    " of ReLU units, are not removed.",
    "Generators were chosen on validation examples, their networks are measured on test examples. Intervals are over"
    " networks and fits.",
)
FRONTS = {
    DISTANCE.name: f"good and new is up and to the right of 1, beyond {FURTHEST:g} are networks of another kind",
    OVERLAP.name: "good and new is up and to the left",
    SPREAD.name: "near 0 is one network again and again",
    DIVERSITY.name: "to the left of held-out networks are those that all decide alike",
}


def findings(analysis: Analysis) -> Section:
    """How good and how new, in words, as a picture and as a table."""
    results = analysis.results
    usual = next(result for result in results if result.name == TRAINED)
    said = tuple(_said(result, usual) for result in results if result.family == "learned")
    return Section(
        anchor="findings",
        heading="How good, and how new",
        blocks=(
            Bullets(said),
            Grid(
                (
                    front(results, DISTANCE.name),
                    front(results, SPREAD.name),
                    front(results, OVERLAP.name),
                    front(results, DIVERSITY.name),
                )
            ),
            table(results),
        ),
    )


def named(result: Result) -> str:
    """What a row is called."""
    trial = "" if result.trial is None else f", trial {result.trial}"
    setting = f", {result.setting}" if result.setting and result.trial is None else ""
    return f"{result.name}{trial}{setting}"


def front(results: Sequence[Result], measure: str) -> Chart:
    """Accuracy against a measure of novelty, one point a row, controls joined by lines."""
    figure = go.Figure(layout=base_layout(400))
    metrics = declared(results)
    for number, name in enumerate(dict.fromkeys(result.name for result in results)):
        own = [result for result in results if result.name == name]
        control = own[0].family == "control"
        color = GRAY if name == UNTRAINED else BLUE if name == TRAINED else PALETTE[number % len(PALETTE)]
        figure.add_scatter(
            x=[result.metrics[measure].estimate for result in own],
            y=[result.metrics[ACCURACY.name].estimate for result in own],
            text=[named(result) for result in own],
            hovertemplate="%{text}<extra></extra>",
            mode="lines+markers" if control and len(own) > 1 else "markers",
            line={"color": color, "width": 1, "dash": "dot"},
            marker={"color": color, "size": 7 if control else 11, "symbol": "x" if control else "circle"},
            name=name,
        )
    figure.update_xaxes(**axis_of(metrics[measure]))
    figure.update_yaxes(**axis_of(metrics[ACCURACY.name]))
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.24, "yanchor": "top"}, margin={"b": 120})
    better = {"max": "good and new is up and to the right", "min": "good and new is up and to the left"}
    told = FRONTS.get(measure) or better.get(metrics[measure].direction)
    caption = f"Accuracy against {metrics[measure].label}{f'; {told}' if told else ''}."
    return Chart(name=f"accuracy-by-{measure.replace('_', '-')}", figure=figure, label=caption, caption=caption)


def table(results: Sequence[Result]) -> Table:
    """All metrics of all rows."""
    metrics = declared(results)
    rows = []
    for result in results:
        cells = []
        for name in metrics:
            measured = result.metrics.get(name)
            cells.append(
                absent()
                if measured is None
                else metric_cell(measured.metric, measured.estimate, measured.low, measured.high)
            )
        rows.append(Row(cells=(Cell(text=named(result)), *cells)))
    columns = (Column(title="made by", number=False), *(Column(title=metric.label) for metric in metrics.values()))
    return Table(caption="What generators and controls make", columns=columns, rows=tuple(rows))


def boundaries(analysis: Analysis) -> Section | str:
    """Decision boundaries of generated networks beside those of trained ones; why not, where they were not measured."""
    results = [result for result in analysis.results if BOUNDARY_DISTANCE.name in result.details]
    if not results:
        return "decision boundaries were not measured (analyze --evaluators boundary-distance)"
    made = [result for result in results if result.family == "learned"]
    drawn = [*(result for result in results if result.name == TRAINED), *made[:1]]
    planes = [
        planes_alone(result.details[BOUNDARY_DISTANCE.name]["planes"], f"plane-{number}", named(result))
        for number, result in enumerate(drawn)
    ]
    return Section(
        anchor="boundaries",
        heading="Decision boundaries",
        short="Boundaries",
        blocks=(
            Text(
                "Planes through the space of inputs: the color is the class that a network predicts there, the lighter"
                " the less sure it is."
            ),
            *(block for blocks in planes for block in blocks),
            Grid(tuple(front(results, measure.metric.name) for measure in BOUNDARY_DISTANCE.measures[:2])),
        ),
    )


def compared_with() -> Section:
    """What the controls are."""
    lines = tuple(f"{name}: {text}." for name, text in CONTROLS.items())
    return Section(anchor="controls", heading="What is compared", short="Compared", blocks=(Bullets(lines), Text(
        "A generator that gives back training networks is as good as they are: its accuracy says nothing without its"
        " novelty beside it.", "note",
    )))  # fmt: skip


def _joined(phrases: Sequence[str]) -> str:
    return "; ".join(phrases)


def _said(result: Result, usual: Result) -> str:
    accuracy, theirs = (each.metrics[ACCURACY.name] for each in (result, usual))
    apart, usually = (with_unit(DIVERSITY, each.metrics[DIVERSITY.name].estimate) for each in (result, usual))
    verdicts = passed(
        {name: measured.estimate for name, measured in result.metrics.items()},
        {name: measured.estimate for name, measured in usual.metrics.items()},
    )
    met, failed = (
        [CRITERIA[name][not fine] for name, fine in verdicts.items() if fine is wanted] for wanted in (True, False)
    )
    return (
        f"{named(result)} makes networks of {with_unit(ACCURACY, accuracy.estimate)} accuracy without a step of"
        f" training (held-out networks of the zoo: {with_unit(ACCURACY, theirs.estimate)})."
        f" {f'They do not pass the audit: {_joined(failed)}.' if failed else 'They pass the audit.'}"
        f" {f'They are {_joined(met)}.' if met else ''}"
        f" Two of them predict different classes for {apart} of the test examples (held-out networks: {usually})."
    )
