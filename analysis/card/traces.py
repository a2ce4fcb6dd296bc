"""What charts of a card are put together from: outlines of histograms, bands, boxes, panels.

Colors stand on light and dark ground; the page sets text and grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.card.distributions import Distribution, Histogram
from analysis.card.hyperparameters import HyperParameter
from analysis.card.weights import ARROW
from analysis.pages.figures import base_layout

BLUE, ORANGE, GREEN, PURPLE, GRAY = "#3f83c9", "#d9822b", "#2a9d8f", "#9a6bc9", "#8391a0"
COLUMNS = 3
# Characters of a label on an axis.
LONGEST_LABEL = 22
# Characters of all labels on one axis beyond which they are set smaller and steeper.
CROWDED = 120
FEW_EPOCHS = 10
# Ticks in percent, with a decimal where whole ones would repeat.
PERCENT = ".1~%"


def add_band(
    figure: go.Figure, found: Sequence[tuple[int, Distribution]], color: str, name: str, *, band: bool = True
) -> None:
    """A median line and, behind it, the range of 90 %."""
    if not found:
        return
    x = [epoch for epoch, _ in found]
    if band and len(found) > 1:
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*(values.p95 for _, values in found), *(values.p5 for _, values in reversed(found))],
            fill="toself",
            fillcolor=_faint(color, 0.16),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
            mode="lines",
        )
    figure.add_scatter(
        x=x,
        y=[values.median for _, values in found],
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 6},
        name=escape(name),
        legendgroup=name,
    )


def add_outline(
    figure: go.Figure, histogram: Histogram, color: str, name: str, *, filled: bool, share: bool = False
) -> None:
    """A histogram as an outline, so that several can lie on each other."""
    if not sum(histogram.counts):
        return
    total = sum(histogram.counts) + histogram.below + histogram.above
    heights = [count / total if share else count for count in histogram.counts]
    figure.add_scatter(
        x=histogram.edges,
        y=[*heights, heights[-1]],
        mode="lines",
        line={"color": color, "width": 1.6, "shape": "hv"},
        fill="tozeroy" if filled else "none",
        fillcolor=_faint(color, 0.22),
        name=escape(name),
    )


def add_number(figure: go.Figure, entry: HyperParameter, row: int, column: int) -> None:
    """The histogram of a number in a panel, on a logarithmic axis where it spreads over decades."""
    part = go.Figure()
    if entry.histogram is not None:
        add_outline(part, entry.histogram, GREEN, "members", filled=True)
    for trace in part.data:
        if entry.logarithmic:
            trace.x = [10**edge for edge in trace.x]
        figure.add_trace(trace, row=row, col=column)
    scale = {"type": "log", "dtick": 1, "exponentformat": "power"} if entry.logarithmic else {}
    figure.update_xaxes(tickangle=0, row=row, col=column, **scale)


def add_boxes(figure: go.Figure, groups: Mapping[str, Distribution], color: str, row: int, column: int) -> None:
    """A box for each group; whiskers span 90 %."""
    values = list(groups.values())
    figure.add_trace(
        go.Box(
            x=list(range(len(values))),
            q1=[v.p25 for v in values],
            median=[v.median for v in values],
            q3=[v.p75 for v in values],
            lowerfence=[v.p5 for v in values],
            upperfence=[v.p95 for v in values],
            mean=[v.mean for v in values],
            marker={"color": color},
            line={"width": 1.3},
        ),
        row=row,
        col=column,
    )
    write_labels(figure, list(groups), row, column)


def write_labels(figure: go.Figure, labels: Sequence[str], row: int, column: int) -> None:
    """Writes labels at 0, 1, …: two that are cut to the same text stay two."""
    crowded = {"tickangle": -65, "tickfont": {"size": 10}} if sum(map(len, labels)) > CROWDED else {}
    figure.update_xaxes(
        tickvals=list(range(len(labels))),
        ticktext=[escape(cut(label)) for label in _distinct(labels)],
        row=row,
        col=column,
        **crowded,
    )


def _distinct(labels: Sequence[str]) -> list[str]:
    """Architectures without inputs and logits where these are the same for all; other labels as they are."""
    layers = [label.split(ARROW) for label in labels]
    if len(layers) < 2 or any(len(parts) < 3 for parts in layers):
        return list(labels)
    first = 1 if len({parts[0] for parts in layers}) == 1 else 0
    last = 1 if len({parts[-1] for parts in layers}) == 1 else 0
    return [ARROW.join(parts[first : len(parts) - last]) for parts in layers]


def panels(shown: Sequence[HyperParameter], unit: str) -> go.Figure:
    """An empty panel for each hyper-parameter."""
    rows = max(1, math.ceil(len(shown) / COLUMNS))
    figure = make_subplots(
        rows,
        COLUMNS,
        subplot_titles=[escape(cut(entry.name)) for entry in shown],
        vertical_spacing=row_gap(rows, 0.48),
        horizontal_spacing=0.08,
    )
    set_style(figure, 40 + 265 * rows)
    figure.update_xaxes(tickangle=-35, tickfont={"size": 11})
    figure.update_yaxes(nticks=5)
    for row in range(rows):
        figure.update_yaxes(title_text=unit, row=row + 1, col=1)
    return figure


def set_style(figure: go.Figure, height: int) -> None:
    """Gives every panel the look of the other charts; height in pixels."""
    layout = base_layout(height)
    x_axis, y_axis = layout.pop("xaxis"), layout.pop("yaxis")
    figure.update_layout(layout, showlegend=False, margin={"t": 40, "l": 60})
    figure.update_xaxes(x_axis)
    figure.update_yaxes(y_axis)
    figure.update_annotations(font={"size": 13})


def row_gap(rows: int, share: float) -> float:
    """The space between rows of panels, as a share of the figure."""
    return share / rows if rows > 1 else 0.0


def whole_epochs(last: int) -> dict[str, int]:
    """Keeps an axis of few epochs from halving them."""
    return {"dtick": 1} if last <= FEW_EPOCHS else {}


def _faint(color: str, opacity: float) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def cut(text: str) -> str:
    """A label, not longer than ``LONGEST_LABEL``."""
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
