"""The charts of a card: a table of panels, each a function from its tables to a figure or the reason there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import pandas as pd
import plotly.graph_objects as go

from analysis.card.record import Card
from analysis.card.verdicts import DIVERSE_AGREEMENT, varying
from analysis.pages import figures
from zoo.architecture import ARROW
from zoo.data.class_tasks import REST, parse_task
from zoo.storage.rows import GAP

SPLIT_COLORS = {"train": figures.ORANGE, "validation": figures.GREEN, "test": figures.BLUE}
SNAPSHOTS = {"last": "last snapshots", "one": "one snapshot a member"}
FEW_MEMBERS, NO_CLASSES = "fewer than two members were measured", "the task has no classes"
NO_SCORES, ONE_EPOCH = "none are on record", "there are snapshots of one epoch only"
Drawn: TypeAlias = "go.Figure | Mapping[str, go.Figure] | str"
WHISKERS = ("p5", "p95")


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of a card.

    Attributes:
        name: Its name on the page.
        title: What it shows, in a few words.
        draw: From the card, and for what is shown of each layout its number, to a figure, to several by their titles,
            or to the reason why there is none.
        caption: How to read it, in a sentence or two.
    """

    name: str
    title: str
    draw: Callable[..., Drawn]
    caption: str


def _numbers(card: Card) -> Drawn:
    drawn = {}
    for row in card.axes.query("kind == 'number'").itertuples():
        figure = drawn[row.name] = go.Figure(layout=figures.base_layout(265))
        figures.add_outline(figure, card.histogram(row.name), "count", figures.GREEN, "members")
        figure.update_xaxes({"type": "log", "dtick": 1, "exponentformat": "power"} if row.logarithmic else {})
        figure.update_yaxes(rangemode="tozero", title_text="members").update_layout(showlegend=False)
    return drawn or "there are no numbers with many values"


def _effects(card: Card) -> Drawn:
    found = {name: card.distribution(card.test, f"axis {name}") for name in varying(card, tasks=True)}
    drawn = {
        name: figures.boxes(_distinct(levels["value"].tolist()), levels, WHISKERS, card.metrics[card.test], "", 290)
        for name, levels in found.items()
        if len(levels)
    }
    return drawn or "nothing varies but seeds, or no test scores are on record"


def _over_epochs(card: Card, base: str) -> Drawn:
    """A metric on training, validation and test examples."""
    found = {split: card.distribution(f"{split}_{base}", "epoch") for split in SPLIT_COLORS}
    if len(card.epochs) < 2 or not any(map(len, found.values())):
        return ONE_EPOCH if len(card.epochs) < 2 else NO_SCORES
    declared = next(card.metrics[name] for split in SPLIT_COLORS if (name := f"{split}_{base}") in card.metrics)
    named = replace(declared, label=declared.label.partition(" ")[2])
    figure = figures.over_epochs(card.epochs["epoch"], named, 340)
    for split, rows in found.items():
        if len(rows):
            x, color = rows["value"].tolist(), SPLIT_COLORS[split]
            figures.add_band(figure, x, rows, color, f"{split} examples", band=split == "test")
    return figure.update_layout(figures.LEGEND_ABOVE, hovermode="x unified")


def _losses(card: Card) -> Drawn:
    return "it is the score" if card.score.name == "loss" else _over_epochs(card, "loss")


def _final(card: Card) -> Drawn:
    found = {split: card.histogram(f"{split}_{card.score.name}") for split in SPLIT_COLORS}
    # Guessing is not marked below all members: it would press them to the edge.
    lowest = min((rows["low"].min() for rows in found.values() if len(rows)), default=math.inf)
    chance = card.about["chance_score"]
    mark = chance if chance is not None and chance >= lowest else None
    named = replace(card.score, label=f"{card.score.label} of last snapshots")
    parts = [figures.Outline(f"{s} examples", rows, SPLIT_COLORS[s], filled=s == "test") for s, rows in found.items()]
    return figures.histograms(parts, named, mark=mark, pixels=340) or NO_SCORES


def _members_by(card: Card, metric: str, none: str, mark: float | None = None) -> Drawn:
    parts = [figures.Outline("members", card.histogram(metric))]
    return figures.histograms(parts, card.metrics.get(metric), mark=mark, pixels=300) or none


def _similarity(card: Card) -> Drawn:
    mark = DIVERSE_AGREEMENT if card.similarity == "agreement" else None
    return _pairs(card, card.similarity, SNAPSHOTS, mark=mark, pixels=380)


def _distances(card: Card, layout: int) -> Drawn:
    names = {"as stored": "as stored", "aligned": "aligned"}
    return _pairs(card, "distance", names, layout, mark=math.sqrt(2), pixels=320)


def _pairs(card: Card, metric: str, names: Mapping[str, str], layout: int = -1, **shown: Any) -> Drawn:
    """Histograms over pairs of members, one for each group that a metric has, under its name."""
    found = [card.histogram(metric, layout, value=value) for value in names]
    parts = [figures.Outline(*each) for each in zip(names.values(), found, figures.PALETTE, strict=False)]
    return figures.histograms(parts, card.metrics.get(metric), "share", "share of pairs", **shown) or FEW_MEMBERS


def _matrix(card: Card) -> Drawn:
    if len(card.matrix) < 2:
        return "members have different tasks" if len(card.tasks) else FEW_MEMBERS
    order = card.matrix["member"].unique()
    values = card.matrix.pivot(index="member", columns="other", values="similarity").loc[order, order]
    metric = card.metrics[card.similarity]
    said = f"members %{{x}} and %{{y}}: {metric.name} %{{z:{'.1%' if metric.unit else '.3f'}}}"
    figure = figures.heat_map(values, metric, said, 380).update_layout(margin={"l": 40, "r": 10})
    title = "members by rising accuracy" if metric.unit else "members by rising mean concordance"
    figure.update_xaxes(showticklabels=False, ticks="", title_text=title)
    return figure.update_yaxes(showticklabels=False, ticks="")


def _entries(card: Card, layout: int) -> Drawn:
    tensors = _tensors(card, layout)
    values = pd.concat([card.distribution("entry", layout=layout, tensor=row.tensor) for row in tensors])
    figure = figures.lying_boxes([f"{row.tensor}  {row.shape}" for row in tensors], values, ("p1", "p99"))
    return figure.update_xaxes(**figures.axis_of(card.metrics["entry"]))


def _norms(card: Card, layout: int) -> Drawn:
    if len(card.epochs) < 2:
        return ONE_EPOCH
    tensors = _tensors(card, layout)
    figure = figures.over_epochs(card.epochs["epoch"], card.metrics["norm"], max(320, 110 + 22 * len(tensors)))
    for place, row in enumerate(tensors):
        found = card.distribution("norm", "epoch", layout, row.tensor)
        color = figures.PALETTE[place % len(figures.PALETTE)]
        figures.add_band(figure, found["value"].tolist(), found, color, row.tensor, "×" in row.shape)
    return figure.update_yaxes(rangemode="tozero").update_layout(hovermode="x unified")


def _tasks(card: Card) -> Drawn:
    found = card.distribution(card.test, "task")
    pairs = [parse_task(task) for task in found["value"]]
    if not pairs or any(len(classes) != 2 or REST in classes for classes in pairs):
        return _boxes(card, card.test, "task", 340, none=NO_SCORES)
    labels = sorted({label for pair in pairs for label in pair})
    means = pd.Series(found["mean"].tolist(), pd.MultiIndex.from_tuples(pairs)).unstack()
    values = means.reindex(index=labels, columns=labels)
    figure = figures.heat_map(values, card.metrics[card.test], "task %{y}-%{x}: %{z:.1%}", 420)
    return figure.update_xaxes(title_text="class with label 1").update_yaxes(title_text="class with label 0")


def _by_class(card: Card) -> Drawn:
    return _boxes(card, "class_accuracy", "class", 300, none=NO_CLASSES)


def _boxes(card: Card, metric: str, by: str, pixels: int, none: str) -> Drawn:
    rows = card.distribution(metric, by)
    labels = [str(value) for value in rows["value"]]
    return figures.boxes(labels, rows, WHISKERS, card.metrics[metric], by, pixels) if len(rows) else none


def _tensors(card: Card, layout: int) -> list[Any]:
    return list(card.tensors[card.tensors["layout"] == layout].itertuples())


def _distinct(labels: Sequence[str]) -> list[str]:
    """Architectures without inputs and outputs where these are the same for all; other labels as they are."""
    layers = [label.split(ARROW) for label in labels]
    if len(layers) < 2 or any(len(parts) < 3 for parts in layers):
        return list(labels)
    first = 1 if len({parts[0] for parts in layers}) == 1 else 0
    last = 1 if len({parts[-1] for parts in layers}) == 1 else 0
    return [ARROW.join(parts[first : len(parts) - last]) for parts in layers]


# For each place on the page, its panels.
PANELS: dict[str, tuple[Panel, ...]] = {
    "axes": (
        Panel("numbers", "Histograms of numbers", _numbers, "How numbers with many values are distributed."),
        Panel("effects", "Test scores by value", _effects,
            "Test scores of last snapshots by value. Boxes hold half of the members, whiskers 90 %."),
    ),
    "training": (
        Panel("scores", "Scores over epochs", lambda card: _over_epochs(card, card.score.name),
            "Scores over epochs: medians, and on test examples the range of 90 % of the members."),
        Panel("final", "Scores of last snapshots", _final,
            "Scores of last snapshots. A dotted line is what guessing reaches, with two standard errors."),
        Panel("loss", "Loss over epochs", _losses, "Loss over epochs, likewise."),
        Panel("gap", "Generalization gap", partial(_members_by, metric=GAP, none="none is on record", mark=0),
            "Generalization gap of last snapshots: score on training examples minus score on test examples."),
    ),
    "classes": (
        Panel("classes", "Accuracy by class", _by_class,
            "Accuracy by class of the last snapshots measured; whiskers hold 90 %."),
        Panel("calibration", "Calibration error", partial(_members_by, metric="calibration_error", none=NO_CLASSES),
            "Expected calibration error: how far confidence is from accuracy, over 15 bins of confidence."),
    ),
    "similarity": (
        Panel("agreement", "Pairs of members", _similarity,
            "Over all pairs of the same task. The mean agreement of a diverse zoo of classifiers is at most 85 %, the"
            " dotted line there."),
        Panel("matrix", "Matrix of members", _matrix,
            "Each two of some members, from the worst or least alike; one snapshot a member where there are several."),
    ),
    "tensors": (
        Panel("entries", "Entries by tensor", _entries,
            "Entries of last snapshots by tensor: boxes hold half of them, whiskers 98 %."),
        Panel("norms", "Norms over epochs", _norms,
            "Norm of each tensor over epochs: median, and for matrices the range of 90 % of the members."),
    ),
    "distances": (Panel("distances", "Distances of members", _distances, "Distance of two members."),),
    "tasks": (Panel("scores-by-task", "Test scores by task", _tasks, "Mean test scores of last snapshots by task."),),
}  # fmt: skip
