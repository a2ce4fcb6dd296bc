"""The charts of a card: a list of functions from its tables to a figure, or to the reason why there is none."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import pandas as pd
import plotly.graph_objects as go

from analysis.card.members import GAP
from analysis.card.record import Card
from analysis.card.verdicts import DIVERSE_AGREEMENT, varying
from analysis.card.weights import ARROW
from analysis.pages import figures

SPLIT_COLORS = {"train": figures.ORANGE, "validation": figures.GREEN, "test": figures.BLUE}
SNAPSHOTS = {"last": "last snapshots", "one": "one snapshot a member"}
FEW_MEMBERS = "fewer than two members were measured"
Drawn: TypeAlias = "go.Figure | str"
WHISKERS = ("p5", "p95")


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A chart of a card.

    Attributes:
        name: Its name on the page.
        title: What it shows, in a few words.
        caption: How to read it, in a sentence or two: the docstring of ``draw``.
        draw: From the card, and for what is shown of each layout its number, to a figure or to the reason why there
            is none.
    """

    name: str
    title: str
    caption: str
    draw: Callable[..., Drawn]


# For each place on the page, its panels.
PANELS: dict[str, list[Panel]] = {}


def panel(place: str, title: str) -> Callable[[Callable[..., Drawn]], Callable[..., Drawn]]:
    """Registers a function as a panel; its docstring is the caption."""

    def register(draw: Callable[..., Drawn]) -> Callable[..., Drawn]:
        caption = " ".join((inspect.getdoc(draw) or "").split())
        PANELS.setdefault(place, []).append(Panel(name=draw.__name__, title=title, caption=caption, draw=draw))
        return draw

    return register


@panel("axes", "Members by value")
def frequencies(card: Card) -> Drawn:
    """Members by value; of numbers with many values, a histogram."""
    names = varying(card, tasks=True)
    if not names:
        return "nothing varies but seeds"
    figure, places = _axis_panels(names, "members")
    logarithmic = card.axes.set_index("name")["logarithmic"]
    for name, place in zip(names, places, strict=True):
        levels, numbers = card.groups(card.test, f"axis {name}"), card.histogram(name)
        if len(numbers):
            figures.add_outline(figure, numbers, "count", figures.GREEN, "members", place=place)
            scale = {"type": "log", "dtick": 1, "exponentformat": "power"} if logarithmic[name] else {}
            figure.update_xaxes(tickangle=0, **scale, **place)
        else:
            heights, told = levels["members"].tolist(), "%{y} members<extra></extra>"
            figure.add_bar(y=heights, marker={"color": figures.BLUE}, hovertemplate=told, **place)
            figures.write_labels(figure, _distinct(levels["value"].tolist()), place)
    figure.update_yaxes(rangemode="tozero")
    return figure


@panel("axes", "Explained variance")
def explained(card: Card) -> Drawn:
    """How much of the variance of test scores each hyper-parameter explains."""
    found = card.axes[card.axes["explains"].notna()]
    if not len(found):
        return "nothing varies but seeds, or there are too few members for it"
    figure = figures.bars(found["name"].tolist(), found["explains"].tolist())
    figure.update_xaxes(title_text=f"share of the variance of test {card.score.label}")
    return figure


@panel("axes", "Test scores by value")
def effects(card: Card) -> Drawn:
    """Test scores of last snapshots by value. Boxes hold half of the members, whiskers 90 %."""
    names = [name for name in varying(card, tasks=True) if len(card.distribution(card.test, f"axis {name}"))]
    if not names:
        return "nothing varies but seeds, or no test scores are on record"
    figure, places = _axis_panels(names, f"test {card.score.label}")
    for name, place in zip(names, places, strict=True):
        levels = card.distribution(card.test, f"axis {name}")
        figures.add_boxes(figure, _distinct(levels["value"].tolist()), levels, WHISKERS, place)
    figure.update_yaxes(tickformat=figures.axis_of(card.score).get("tickformat"))
    return figure


@panel("training", "Scores over epochs")
def scores(card: Card) -> Drawn:
    """Scores over epochs: medians, and on test examples the range of 90 % of the members."""
    return _over_epochs(card, card.score.name)


@panel("training", "Scores of last snapshots")
def final(card: Card) -> Drawn:
    """Scores of last snapshots. A dotted line is what guessing reaches, with two standard errors."""
    parts = {split: card.histogram(f"{split}_{card.score.name}") for split in SPLIT_COLORS}
    if not any(map(len, parts.values())):
        return "none are on record"
    figure = _outlines("count", "members", {f"{split} examples": rows for split, rows in parts.items()}, 340)
    # Below all members it would press them to the edge. All scores have the same edges.
    chance = card.about["chance_score"]
    if chance is not None and chance >= figure.data[0].x[0]:
        figure.add_vline(x=chance, line=figures.DOTTED)
    figure.update_xaxes(**figures.axis_of(card.score, f"{card.score.label} of last snapshots"))
    return figure


@panel("training", "Loss over epochs")
def loss(card: Card) -> Drawn:
    """Loss over epochs, likewise."""
    return "it is the score" if card.score.name == "loss" else _over_epochs(card, "loss")


@panel("training", "Generalization gap")
def gap(card: Card) -> Drawn:
    """Generalization gap of last snapshots: score on training examples minus score on test examples."""
    return _members_by(card, GAP, mark=0) or "none is on record"


@panel("classes", "Accuracy by class")
def classes(card: Card) -> Drawn:
    """Accuracy by class of the last snapshots measured; whiskers hold 90 %."""
    found = card.distribution("class_accuracy", "class")
    return _boxes(found, card, "class_accuracy", "class", 300) if len(found) else "the task has no classes"


@panel("classes", "Calibration error")
def calibration(card: Card) -> Drawn:
    """Expected calibration error: how far confidence is from accuracy, over 15 bins of confidence."""
    return _members_by(card, "calibration_error") or "the task has no classes"


@panel("similarity", "Pairs of members")
def agreement(card: Card) -> Drawn:
    """Over all pairs of the same task; the mean agreement of a diverse zoo is at most 85 %, a dotted line."""
    mark = DIVERSE_AGREEMENT if card.similarity == "agreement" else None
    found = {name: card.histogram(card.similarity, value=value) for value, name in SNAPSHOTS.items()}
    return _pairs(card, card.similarity, found, mark, 380)


@panel("similarity", "Matrix of members")
def matrix(card: Card) -> Drawn:
    """Each two of some members, from the worst or least alike; one snapshot a member where there are several."""
    if len(card.matrix) < 2:
        return "members have different tasks" if len(card.tasks) else FEW_MEMBERS
    order = card.matrix["member"].unique()
    values = card.matrix.pivot(index="member", columns="other", values=card.similarity).loc[order, order]
    metric = card.metrics[card.similarity]
    said = f"members %{{x}} and %{{y}}: {metric.name} %{{z:{'.1%' if metric.unit else '.3f'}}}"
    figure = figures.heat_map(values, metric, said, 380)
    figure.update_layout(margin={"l": 40, "r": 10})
    title = "members by rising accuracy" if metric.unit else "members by rising mean concordance"
    figure.update_xaxes(showticklabels=False, ticks="", title_text=title)
    figure.update_yaxes(showticklabels=False, ticks="")
    return figure


@panel("tensors", "Entries by tensor")
def entries(card: Card, layout: int) -> Drawn:
    """Entries of last snapshots by tensor."""
    tensors = _tensors(card, layout)
    values = pd.concat([card.distribution("entry", layout=layout, tensor=row.tensor) for row in tensors])
    figure = figures.lying_boxes([f"{row.tensor}  {row.shape}" for row in tensors], values, ("p1", "p99"))
    figure.update_xaxes(**figures.axis_of(card.metrics["entry"]))
    return figure


@panel("tensors", "Norms over epochs")
def norms(card: Card, layout: int) -> Drawn:
    """Norm of each tensor over epochs: median, and for matrices the range of 90 % of the members."""
    tensors = _tensors(card, layout)
    figure = go.Figure(layout=figures.base_layout(max(320, 110 + 22 * len(tensors))))
    for place, row in enumerate(tensors):
        found = card.distribution("norm", "epoch", layout, row.tensor)
        color = figures.PALETTE[place % len(figures.PALETTE)]
        figures.add_band(figure, found["value"].tolist(), found, color, row.tensor, "×" in row.shape)
    figure.update_layout(hovermode="x unified")
    figure.update_xaxes(title_text="epoch", **figures.whole_numbers(card.epochs["epoch"]))
    figure.update_yaxes(rangemode="tozero", **figures.axis_of(card.metrics["norm"]))
    return figure


@panel("histograms", "Histograms of entries")
def histograms(card: Card, layout: int) -> Drawn:
    """How the entries of each tensor are distributed."""
    tensors = _tensors(card, layout)
    figure, places = figures.small_panels([row.tensor for row in tensors], row_height=190, gap=0.32)
    for row, place in zip(tensors, places, strict=True):
        color = figures.BLUE if row.trainable else figures.GRAY
        figures.add_outline(figure, card.histogram("entry", layout, row.tensor), "share", color, "entries", place=place)
    figure.update_yaxes(tickformat=figures.PERCENT, rangemode="tozero", nticks=4)
    return figure


@panel("distances", "Distances of members")
def distances(card: Card, layout: int) -> Drawn:
    """Distance of two members."""
    found = {value: card.histogram("distance", layout, value=value) for value in ("as stored", "aligned")}
    return _pairs(card, "distance", found, math.sqrt(2), 320)


@panel("tasks", "Test scores by task")
def tasks(card: Card) -> Drawn:
    """Mean test scores of last snapshots by task."""
    found = card.distribution(card.test, "task")
    pairs = found["value"].str.split("-")
    if not len(found) or (pairs.str.len() != 2).any():
        return _boxes(found, card, card.test, "task", 340) if len(found) else "no test scores are on record"
    cells = pd.DataFrame({"first": pairs.str[0], "second": pairs.str[1], "mean": found["mean"]})
    labels = sorted({*cells["first"], *cells["second"]}, key=int)
    values = cells.pivot(index="first", columns="second", values="mean").reindex(index=labels, columns=labels)
    figure = figures.heat_map(values, card.metrics[card.test], "task %{y}-%{x}: %{z:.1%}", 420)
    figure.update_xaxes(title_text="class with label 1")
    figure.update_yaxes(title_text="class with label 0")
    return figure


def _over_epochs(card: Card, metric: str) -> Drawn:
    """A metric on training, validation and test examples."""
    found = {split: card.distribution(f"{split}_{metric}", "epoch") for split in SPLIT_COLORS}
    if len(card.epochs) < 2 or not any(map(len, found.values())):
        return "there are snapshots of one epoch only" if len(card.epochs) < 2 else "none are on record"
    figure = go.Figure(layout=figures.base_layout(340))
    for split, rows in found.items():
        if len(rows):
            x, color = rows["value"].tolist(), SPLIT_COLORS[split]
            figures.add_band(figure, x, rows, color, f"{split} examples", band=split == "test")
    figure.update_layout(figures.LEGEND_ABOVE, hovermode="x unified")
    figure.update_xaxes(title_text="epoch", **figures.whole_numbers(card.epochs["epoch"]))
    declared = next(card.metrics[name] for split in SPLIT_COLORS if (name := f"{split}_{metric}") in card.metrics)
    figure.update_yaxes(**figures.axis_of(replace(declared, label=declared.label.partition(" ")[2])))
    return figure


def _outlines(height: str, title: str, parts: dict[str, pd.DataFrame], pixels: int) -> go.Figure:
    """Histograms on each other, ``height`` a column of theirs; those on training and validation examples not filled."""
    figure = go.Figure(layout=figures.base_layout(pixels))
    for (name, rows), color in zip(parts.items(), figures.PALETTE, strict=False):
        split = name.partition(" ")[0]
        if len(rows):
            filled = split not in ("train", "validation")
            figures.add_outline(figure, rows, height, SPLIT_COLORS.get(split, color), name, filled)
    figure.update_layout(figures.LEGEND_ABOVE if len(parts) > 1 else {"showlegend": False}, hovermode="x")
    figure.update_yaxes(title_text=title, rangemode="tozero")
    return figure


def _members_by(card: Card, metric: str, mark: float | None = None) -> go.Figure | None:
    """How many members have which value of a metric; a line marks a value, if one is given."""
    found = card.histogram(metric)
    if not len(found):
        return None
    figure = _outlines("count", "members", {"members": found}, 300)
    if mark is not None:
        figure.add_vline(x=mark, line=figures.DOTTED)
    figure.update_xaxes(**figures.axis_of(card.metrics[metric]))
    return figure


def _pairs(card: Card, metric: str, parts: dict[str, pd.DataFrame], mark: float | None, pixels: int) -> Drawn:
    """Histograms over pairs of members; a line marks a value, if one is given."""
    if not any(map(len, parts.values())):
        return FEW_MEMBERS
    figure = _outlines("share", "share of pairs", parts, pixels)
    if mark is not None:
        figure.add_vline(x=mark, line=figures.DOTTED)
    figure.update_xaxes(**figures.axis_of(card.metrics[metric]))
    figure.update_yaxes(tickformat=figures.PERCENT)
    return figure


def _boxes(rows: pd.DataFrame, card: Card, metric: str, title: str, pixels: int) -> go.Figure:
    figure = go.Figure(layout=figures.base_layout(pixels))
    figures.add_boxes(figure, [str(value) for value in rows["value"]], rows, WHISKERS)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text=title)
    figure.update_yaxes(**figures.axis_of(card.metrics[metric]))
    return figure


def _axis_panels(names: Sequence[str], title: str) -> tuple[go.Figure, list[dict[str, int]]]:
    figure, places = figures.small_panels(names, row_height=265, gap=0.48)
    figure.update_xaxes(tickangle=-35, tickfont={"size": 11})
    figure.update_yaxes(title_text=title, col=1)
    return figure, places


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
