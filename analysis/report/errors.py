"""The report's section about where reconstructions go wrong: by member, by how it was trained, by layer, by class.

Shape letters: M members, K categories, layers or classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.evaluators.errors import DISAGREEMENT, DROP, LAYER_ERROR, OF_CLASSES
from analysis.pages.distributions import described_each
from analysis.pages.figures import boxes
from analysis.pages.numbers import plain
from analysis.pages.page import Block, Chart, Code, Grid, Heading, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell, metric_column, number_cell
from analysis.report.boundaries import shown_result
from analysis.report.error_figures import (
    EPOCH,
    LOST,
    NORM,
    NOT_TRAINED,
    Errors,
    by_category,
    by_class,
    correlations,
    in_words,
    scatter,
)
from analysis.report.figures import label
from analysis.report.sections import View
from analysis.statistics.intervals import Bootstrap, Interval
from trainables.readouts.columns import is_numeric
from trainables.readouts.scores import kendall_tau
from zoo.metric import Metric

# Of members: networks listed, commands written for, columns of how they were trained; replicates of an interval.
WORST, NAMED, COLUMNS, REPLICATES = 12, 3, 6, 200
TAU = Metric(
    name="rank_correlation",
    label="rank correlation with what is lost",
    description="Kendall's τ_b over networks: 1 where more of one always goes with more of the other.",
)


def where_errors_are(view: View) -> Section | str:
    """Who loses most, with what that goes along, in which layers and classes; why not, where that is not known."""
    analysis = view.analysis
    results = [r for r in analysis.results if any(name in r.values for name in LOST)]
    if analysis.members is None or not results:
        return "what single networks lose was not measured"
    result = shown_result(results)
    errors = Errors(
        result,
        analysis.members,
        view.score,
        Bootstrap(replicates=REPLICATES, seed=analysis.summary["seed"]),
        analysis.summary["grouped"],
    )
    if not errors.losses.any():
        return f"{label(result)} changes no network"
    blocks: list[Block] = [
        Text(
            f"What each network loses when {label(result)} has coded it, here its {errors.lost.label}, and what that"
            " goes along with. Networks that differ in one thing differ in others too: no cause is shown."
        ),
        *_figures(errors),
        *_by_layer(errors),
        *_by_class(errors),
        Heading("The networks that lose most"),
        worst_table(errors),
        Text("How each was trained, its snapshots and its layers, and one of them as a file for any program:"),
        Code("\n".join(commands(errors, analysis.summary["zoo"]))),
    ]
    return Section(anchor="errors", heading="Where it goes wrong", blocks=tuple(blocks))


def _figures(errors: Errors) -> Iterator[Block]:
    names = [name for name in (next(iter(errors.columns)), NORM, EPOCH) if name in errors.numeric]
    yield Grid(
        tuple(
            Chart(
                name=f"errors-by-{number}",
                figure=scatter(errors, name),
                label=f"Scatter of {errors.lost.label} against {in_words(name)}",
                caption=f"Against {in_words(name)}.",
            )
            for number, name in enumerate(names)
        ),
        small=True,
    )
    parts: list[Block] = []
    if errors.numeric:
        caption = "Rank correlation of what is lost with what is known of a network" + errors.with_intervals
        parts.append(Chart(name="errors-along", figure=correlations(errors), label=caption, caption=caption))
    if (boxes := by_category(errors)) is not None:
        caption = "What networks lose by how they were trained: medians, the middle half and the middle 90 %."
        parts.append(Chart(name="errors-by-name", figure=boxes, label=caption, caption=caption))
    if parts:
        yield Grid(tuple(parts))


def _by_layer(errors: Errors) -> Iterator[Block]:
    found = errors.series(LAYER_ERROR)
    if not found:
        yield Text("By layer and by class: `analyze --evaluators errors`.", "note")
        return
    worst_M = np.array(list(found.values())).argmax(0)
    intervals = errors.intervals(LAYER_ERROR)
    yield Heading("By layer")
    figure = boxes(list(found), described_each(found.values()), ("p5", "p95"), LAYER_ERROR, "layer", 320)
    caption = (
        "Error of a layer's weights over their length, hidden units matched: medians, the middle half and the middle"
        " 90 % of networks."
    )
    yield Grid(
        (
            Chart(name="errors-by-layer", figure=figure, label=caption, caption=caption),
            Table(
                caption="Errors by layer",
                columns=(
                    Column(title="layer", number=False),
                    Column(title="relative error"),
                    Column(title="the worst layer", unit="% of networks"),
                    Column(title=TAU.label),
                ),
                rows=tuple(
                    Row(
                        cells=(
                            Cell(text=name),
                            _interval_cell(LAYER_ERROR, intervals[name]),
                            number_cell(100 * float((worst_M == number).mean())),
                            number_cell(kendall_tau(errors.losses, values_M)),
                        )
                    )
                    for number, (name, values_M) in enumerate(found.items())
                ),
            ),
        )
    )


def _by_class(errors: Errors) -> Iterator[Block]:
    if not errors.series(DISAGREEMENT):
        return
    intervals = {metric: errors.intervals(metric) for metric in OF_CLASSES}
    yield Heading("By class")
    charts = []
    for metric in (DISAGREEMENT, DROP):
        figure = by_class(metric, intervals[metric])
        caption = f"{metric.label[0].upper()}{metric.label[1:]}: mean over networks" + errors.with_intervals
        charts.append(Chart(name=metric.name.replace("_", "-"), figure=figure, label=caption, caption=caption))
    yield Grid(tuple(charts))
    yield Table(
        caption="Errors by class",
        columns=(Column(title="class", number=False), *map(metric_column, OF_CLASSES)),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=name, sort=int(name)),
                    *(_interval_cell(metric, intervals[metric][name]) for metric in OF_CLASSES),
                )
            )
            for name in intervals[DISAGREEMENT]
        ),
    )


def worst(errors: Errors) -> list[int]:
    """Rows of the members that lose most, the worst first."""
    return np.argsort(-errors.losses, kind="stable")[:WORST].tolist()


def worst_table(errors: Errors) -> Table:
    """Who loses most: how much, how good it was and is, and how it was trained."""
    result, members = errors.result, errors.members
    scores = [f"{errors.score}_{which}" for which in ("original", "reconstructed")] if errors.score else []
    others = [name for name in ("agreement", *scores) if name in result.values]
    trained = [name for name in members if name not in (*NOT_TRAINED, EPOCH, NORM)][:COLUMNS]
    of_layers = errors.series(LAYER_ERROR)
    layer_M = np.array(list(of_layers))[np.array(list(of_layers.values())).argmax(0)] if of_layers else None
    rows = []
    for row in worst(errors):
        member = {name: members[name].iloc[row] for name in members}
        rows.append(
            Row(
                anchor=f"member-{member['member']}",
                cells=(
                    Cell(text=str(member["member"]), sort=int(member["member"]), interval=f"epoch {member[EPOCH]}"),
                    metric_cell(errors.lost, float(errors.losses[row])),
                    *(metric_cell(result.metrics[name].metric, result.values[name][row]) for name in others),
                    number_cell(float(member[NORM])),
                    *([] if layer_M is None else [Cell(text=str(layer_M[row]))]),
                    *(_plain_cell(member[name]) for name in trained),
                ),
            )
        )
    return Table(
        caption="The networks that lose most",
        columns=(
            Column(title="member", number=False),
            metric_column(errors.lost),
            *(metric_column(result.metrics[name].metric) for name in others),
            Column(title="weight norm"),
            *([] if layer_M is None else [Column(title="worst layer", number=False)]),
            *(Column(title=in_words(name), number=is_numeric(members[name].to_numpy())) for name in trained),
        ),
        rows=tuple(rows),
    )


def commands(errors: Errors, zoo: str) -> list[str]:
    """How to look at the first of the worst members: what is known of each, and the network itself as a file."""
    named = errors.members.iloc[worst(errors)[:NAMED]][["member", EPOCH]].to_numpy()
    shown = [f"zooscale member {zoo} {member}" for member, _ in named]
    member, epoch = named[0]
    return [*shown, f"zooscale export {zoo} --member {member} --epoch {epoch} --to member-{member}.safetensors"]


def _interval_cell(metric: Metric, interval: Interval) -> Cell:
    return metric_cell(metric, interval.estimate, interval.low, interval.high)


def _plain_cell(value: object) -> Cell:
    if isinstance(value, float | int | np.number):
        return number_cell(float(value)) if np.isfinite(value) else absent()
    return Cell(text=plain(value))
