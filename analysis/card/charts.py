"""The charts of a card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.card.behavior import AgreementFacts, BehaviorFacts
from analysis.card.distributions import Distribution, Histogram
from analysis.card.hyperparameters import HyperParameter
from analysis.card.record import EpochFacts, FinalFacts
from analysis.card.splits import TaskFacts
from analysis.card.traces import (
    BLUE,
    COLUMNS,
    GRAY,
    GREEN,
    ORANGE,
    PERCENT,
    PURPLE,
    add_band,
    add_boxes,
    add_number,
    add_outline,
    cut,
    panels,
    row_gap,
    set_style,
    whole_epochs,
    write_labels,
)
from analysis.card.verdicts import DIVERSE_AGREEMENT
from analysis.card.weights import DistanceFacts, LayoutFacts
from analysis.pages.figures import base_layout

PALETTE = (BLUE, ORANGE, GREEN, PURPLE, "#c9a227", "#d1495b", "#4fb0c6", "#7a9e3d", "#b5838d", GRAY)
SPLIT_COLORS = {"train": ORANGE, "validation": GREEN, "test": BLUE}
DOTTED = {"color": GRAY, "width": 1, "dash": "dot"}
LEGEND_ABOVE = {"legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, "margin": {"t": 40}}
HEAT = [[0, "#20406b"], [0.35, "#2f78a8"], [0.65, "#59b39a"], [0.85, "#c8d96f"], [1, "#fff3a6"]]


def over_epochs(epochs: Sequence[EpochFacts], metric: str) -> go.Figure:
    """A metric on training, validation and test images over epochs: median, and the range of 90 % of the members.

    Args:
        epochs: The epochs.
        metric: "accuracy" or "loss".
    """
    figure = go.Figure()
    for split, color in SPLIT_COLORS.items():
        found = [(facts.epoch, facts.metrics[f"{split}_{metric}"]) for facts in epochs]
        add_band(
            figure,
            [(epoch, values) for epoch, values in found if values.count],
            color,
            f"{split} images",
            band=split == "test",
        )
    figure.update_layout(base_layout(340), hovermode="x unified")
    figure.update_layout(LEGEND_ABOVE)
    figure.update_xaxes(title_text="epoch", **whole_epochs(epochs[-1].epoch))
    if metric == "accuracy":
        figure.update_yaxes(title_text="accuracy", tickformat=PERCENT)
    else:
        figure.update_yaxes(title_text="loss (nats)")
    return figure


def final_accuracy(final: FinalFacts) -> go.Figure:
    """Accuracy of last snapshots on training, validation and test images."""
    figure = go.Figure()
    for split, color in SPLIT_COLORS.items():
        add_outline(figure, final.histograms[f"{split}_accuracy"], color, f"{split} images", filled=split == "test")
    figure.update_layout(base_layout(340), hovermode="x")
    figure.update_layout(LEGEND_ABOVE)
    # Below all members it would press them to the edge. All accuracies have the same edges.
    if final.chance_accuracy is not None and final.chance_accuracy >= final.histograms["test_accuracy"].edges[0]:
        figure.add_vline(x=final.chance_accuracy, line=DOTTED)
    figure.update_xaxes(title_text="accuracy of last snapshots", tickformat=PERCENT)
    figure.update_yaxes(title_text="members", rangemode="tozero")
    return figure


def members_by(histogram: Histogram, title: str, *, zero: bool = False) -> go.Figure:
    """Members by a share.

    Args:
        histogram: The counts.
        title: Title of the axis.
        zero: Whether a line marks zero.
    """
    figure = go.Figure()
    add_outline(figure, histogram, BLUE, "members", filled=True)
    figure.update_layout(base_layout(300), hovermode="x", showlegend=False)
    if zero:
        figure.add_vline(x=0, line=DOTTED)
    figure.update_xaxes(title_text=title, tickformat=PERCENT)
    figure.update_yaxes(title_text="members", rangemode="tozero")
    return figure


def explained(varying: Sequence[HyperParameter]) -> go.Figure:
    """Bars of the share of variance that each hyper-parameter explains."""
    shown = [entry for entry in varying if entry.explained is not None]
    figure = go.Figure()
    figure.add_bar(
        x=[entry.explained for entry in shown],
        y=[escape(cut(entry.name)) for entry in shown],
        orientation="h",
        marker={"color": BLUE},
        text=[f"{100 * (entry.explained or 0):.1f} %" for entry in shown],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    figure.update_layout(base_layout(90 + 26 * len(shown)), bargap=0.35, margin={"r": 60})
    figure.update_xaxes(title_text="share of the variance of test accuracy", tickformat=PERCENT, rangemode="tozero")
    figure.update_yaxes(gridcolor="rgba(0,0,0,0)", autorange="reversed")
    return figure


def frequencies(varying: Sequence[HyperParameter]) -> go.Figure:
    """How many members have which value, a panel for each hyper-parameter; seeds are left out."""
    shown = [entry for entry in varying if entry.kind != "seed"]
    figure = panels(shown, "members")
    for place, entry in enumerate(shown):
        row, column = divmod(place, COLUMNS)
        if entry.histogram is not None:
            add_number(figure, entry, row + 1, column + 1)
            continue
        figure.add_bar(
            x=list(range(len(entry.levels))),
            y=[level.members for level in entry.levels],
            customdata=[escape(level.value) for level in entry.levels],
            marker={"color": BLUE},
            hovertemplate="%{customdata}: %{y} members<extra></extra>",
            row=row + 1,
            col=column + 1,
        )
        write_labels(figure, [level.value for level in entry.levels], row + 1, column + 1)
    figure.update_yaxes(rangemode="tozero")
    return figure


def effects(varying: Sequence[HyperParameter]) -> go.Figure:
    """Test accuracy for each value, a panel for each hyper-parameter; whiskers span 90 % of the members."""
    shown = [entry for entry in varying if entry.kind != "seed"]
    figure = panels(shown, "test accuracy")
    for place, entry in enumerate(shown):
        row, column = divmod(place, COLUMNS)
        levels = [level for level in entry.levels if level.test_accuracy.count]
        add_boxes(figure, {level.value: level.test_accuracy for level in levels}, BLUE, row + 1, column + 1)
    figure.update_yaxes(tickformat=PERCENT)
    return figure


def class_accuracy(behavior: BehaviorFacts) -> go.Figure:
    """Accuracy by class."""
    groups = {str(facts.label): facts.accuracy for facts in behavior.classes}
    return _boxes(groups, 300, "class", "accuracy on its images")


def agreement(facts: Sequence[AgreementFacts]) -> go.Figure:
    """Histogram of the agreement of each two members."""
    names = {"last": "last snapshots", "one": "one snapshot a member"}
    parts = {names[entry.snapshots]: entry.histogram for entry in facts}
    figure = _pairs(parts, 380, "agreement of two members", DIVERSE_AGREEMENT)
    figure.update_xaxes(tickformat=PERCENT)
    return figure


def agreement_matrix(facts: AgreementFacts) -> go.Figure:
    """The agreement of each two of some members, by rising accuracy."""
    names = [f"member {member}" for member in facts.matrix_members]
    figure = go.Figure(
        go.Heatmap(
            z=facts.matrix,
            x=names,
            y=names,
            colorscale=HEAT,
            zmax=1,
            colorbar={"tickformat": PERCENT, "thickness": 12, "len": 0.9, "outlinewidth": 0},
            hovertemplate="%{x}<br>%{y}<br>agree on %{z:.1%}<extra></extra>",
        )
    )
    figure.update_layout(base_layout(380), margin={"l": 40, "r": 10})
    figure.update_xaxes(showticklabels=False, ticks="", title_text="members by rising accuracy", constrain="domain")
    figure.update_yaxes(showticklabels=False, ticks="", scaleanchor="x", autorange="reversed")
    return figure


def tensor_values(layout: LayoutFacts) -> go.Figure:
    """Boxes of the entries of each tensor; whiskers span 98 % of them."""
    names = [f"{facts.name}  {'×'.join(map(str, facts.shape))}" for facts in layout.tensors]
    values = [facts.values for facts in layout.tensors]
    figure = go.Figure(
        go.Box(
            y=names,
            orientation="h",
            q1=[v.p25 for v in values],
            median=[v.median for v in values],
            q3=[v.p75 for v in values],
            lowerfence=[v.p1 for v in values],
            upperfence=[v.p99 for v in values],
            marker={"color": BLUE},
            line={"width": 1.3},
        )
    )
    figure.update_layout(base_layout(110 + 28 * len(names)), showlegend=False)
    figure.update_xaxes(title_text="value of an entry")
    figure.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return figure


def tensor_histograms(layout: LayoutFacts) -> go.Figure:
    """How the entries of each tensor are distributed, a panel for each."""
    shown = layout.tensors
    rows = max(1, math.ceil(len(shown) / COLUMNS))
    figure = make_subplots(
        rows, COLUMNS, subplot_titles=[facts.name for facts in shown], vertical_spacing=row_gap(rows, 0.32)
    )
    for place, facts in enumerate(shown):
        row, column = divmod(place, COLUMNS)
        part = go.Figure()
        add_outline(part, facts.histogram, BLUE if facts.trainable else GRAY, "entries", filled=True, share=True)
        figure.add_traces(part.data, rows=[row + 1], cols=[column + 1])
    set_style(figure, 40 + 190 * rows)
    figure.update_yaxes(tickformat=PERCENT, rangemode="tozero", nticks=4)
    return figure


def norms(layout: LayoutFacts) -> go.Figure:
    """The norm of each tensor over epochs: median, and for weights the range of 90 % of the members."""
    figure = go.Figure()
    for place, facts in enumerate(layout.tensors):
        found = [(entry.epoch, entry.norm) for entry in facts.norms if entry.norm.count]
        add_band(figure, found, PALETTE[place % len(PALETTE)], facts.name, band=len(facts.shape) > 1)
    figure.update_layout(base_layout(max(320, 60 + 20 * len(layout.tensors))), hovermode="x unified")
    figure.update_xaxes(
        title_text="epoch", **whole_epochs(max(entry.epoch for facts in layout.tensors for entry in facts.norms))
    )
    figure.update_yaxes(title_text="norm of the tensor", rangemode="tozero")
    return figure


def distances(facts: DistanceFacts) -> go.Figure:
    """How far two members lie apart, as stored and aligned."""
    parts = {"as stored": facts.raw_histogram}
    if facts.aligned_histogram is not None:
        parts["aligned"] = facts.aligned_histogram
    return _pairs(parts, 320, "relative distance of two members", math.sqrt(2))


def _pairs(parts: Mapping[str, Histogram], height: int, title: str, mark: float) -> go.Figure:
    """Histograms over pairs of members, one on the other; a line marks a value."""
    figure = go.Figure()
    for (name, histogram), color in zip(parts.items(), (BLUE, ORANGE), strict=False):
        add_outline(figure, histogram, color, name, filled=True, share=True)
    figure.add_vline(x=mark, line=DOTTED)
    figure.update_layout(base_layout(height), hovermode="x")
    figure.update_layout(LEGEND_ABOVE)
    figure.update_xaxes(title_text=title)
    figure.update_yaxes(title_text="share of pairs", tickformat=PERCENT, rangemode="tozero")
    return figure


def task_accuracy(tasks: Sequence[TaskFacts]) -> go.Figure:
    """Test accuracy of each task: a matrix where all are of one class against one other, else boxes."""
    pairs = [facts.task.split("-") for facts in tasks]
    if all(len(pair) == 2 for pair in pairs):
        labels = sorted({label for pair in pairs for label in pair}, key=int)
        by_pair = {tuple(pair): facts.test_accuracy.mean for pair, facts in zip(pairs, tasks, strict=True)}
        figure = go.Figure(
            go.Heatmap(
                z=[[by_pair.get((row, column)) for column in labels] for row in labels],
                x=labels,
                y=labels,
                colorscale=HEAT,
                zmax=1,
                colorbar={"tickformat": PERCENT, "thickness": 12, "outlinewidth": 0},
                hovertemplate="task %{y}-%{x}: %{z:.1%}<extra></extra>",
                hoverongaps=False,
            )
        )
        figure.update_layout(base_layout(420))
        figure.update_xaxes(title_text="class with label 1", type="category", constrain="domain", showgrid=False)
        figure.update_yaxes(
            title_text="class with label 0", type="category", scaleanchor="x", autorange="reversed", showgrid=False
        )
        return figure
    return _boxes({facts.task or "all classes": facts.test_accuracy for facts in tasks}, 340, "task", "test accuracy")


def _boxes(groups: Mapping[str, Distribution], height: int, x_title: str, y_title: str) -> go.Figure:
    """A box of shares for each group; whiskers span 90 %."""
    figure = make_subplots(1, 1)
    add_boxes(figure, groups, BLUE, 1, 1)
    figure.update_layout(base_layout(height), showlegend=False)
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes(title_text=y_title, tickformat=PERCENT)
    return figure
