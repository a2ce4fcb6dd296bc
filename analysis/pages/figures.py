"""The look of all charts, and what they are put together from: bands, outlines of histograms, boxes.

What is drawn comes as tables: quantiles in columns ``p5`` to ``p95``, bins in ``low``, ``high`` and a height. Colors of
traces stand on light and dark ground; text and grid follow the ground that a page stands on, see ``page.js``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.pages.numbers import axis_title
from zoo.metric import Metric

INK, MUTED, GRID = "#1b2430", "#5d6b7b", "#e9edf1"
# These have a contrast of 3 at least on white and on the dark page alike.
BLUE, ORANGE, GREEN, PURPLE, GRAY = "#3f83c9", "#d07a24", "#2a9d8f", "#9a6bc9", "#8391a0"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, "#a8851c", "#d1495b", "#3a95ab", "#77993c", "#b07d88", GRAY)
HEAT = [[0, "#20406b"], [0.35, "#2f78a8"], [0.65, "#59b39a"], [0.85, "#c8d96f"], [1, "#fff3a6"]]
DOTTED = {"color": GRAY, "width": 1, "dash": "dot"}
FONT = 'Inter, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", "DejaVu Sans", sans-serif'
LEGEND_ABOVE = {"legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, "margin": {"t": 40}}
# Ticks in percent, with a decimal where whole ones would repeat.
PERCENT = ".1~%"
# Characters of a label on an axis, and of all labels of one beyond which they are set smaller and steeper.
LONGEST_LABEL, CROWDED = 22, 120


def base_layout(height: int) -> dict[str, Any]:
    """Fonts, colors and margins of every chart; height in pixels."""
    axis = {
        "gridcolor": GRID, "linecolor": "#aab4bf", "zeroline": False, "ticks": "outside", "ticklen": 4,
        "tickcolor": "#aab4bf", "automargin": True, "title": {"font": {"size": 13.5}, "standoff": 10},
    }  # fmt: skip
    return {
        "template": "none",
        "height": height,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 64, "r": 16, "t": 26, "b": 56},
        "hovermode": "closest",
        "separators": ".\u202f",
        "hoverlabel": {
            "align": "left",
            "bgcolor": "#ffffff",
            "bordercolor": "#aab4bf",
            "font": {"size": 12.5, "color": INK},
        },
        "legend": {"x": 1.01, "y": 1, "font": {"size": 12.5}, "itemsizing": "trace", "tracegroupgap": 4},
        "xaxis": axis,
        "yaxis": axis,
    }


def axis_of(metric: Metric) -> dict[str, Any]:
    """Title and ticks of an axis with values of a metric as they are measured."""
    if metric.unit == "share":
        return {"title_text": metric.label, "tickformat": PERCENT}
    return {"title_text": axis_title(metric)}


def whole_numbers(values: Iterable[float]) -> dict[str, int]:
    """Keeps an axis that goes over few whole numbers, such as epochs, from halving them."""
    return {"dtick": 1} if max(values, default=0) <= 10 else {}


def over_epochs(epochs: Iterable[float], metric: Metric, pixels: int) -> go.Figure:
    """A figure of a metric over epochs, in which nothing is drawn yet."""
    figure = go.Figure(layout=base_layout(pixels))
    return figure.update_xaxes(title_text="epoch", **whole_numbers(epochs)).update_yaxes(**axis_of(metric))


def error_bars(
    values: Sequence[float], lows: Sequence[float], highs: Sequence[float], *, thickness: float = 1, width: float = 2.5
) -> dict[str, Any]:
    """The bars of points with intervals, for ``error_x`` or ``error_y``."""
    return {
        "array": [high - value for value, high in zip(values, highs, strict=True)],
        "arrayminus": [value - low for value, low in zip(values, lows, strict=True)],
        "thickness": thickness,
        "width": width,
    }


def add_band(figure: go.Figure, x: Sequence[Any], values: pd.DataFrame, color: str, name: str, band: bool) -> None:
    """A line through medians and, behind it, the range of 90 %."""
    if band and len(values) > 1:
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*values["p95"], *reversed(values["p5"].tolist())],
            fill="toself",
            fillcolor=_faint(color, 0.16),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
            mode="lines",
        )
    figure.add_scatter(
        x=list(x),
        y=values["median"].tolist(),
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={"size": 6},
        name=escape(name),
        legendgroup=name,
    )


def add_outline(
    figure: go.Figure,
    bins: pd.DataFrame,
    height: str,
    color: str,
    name: str,
    filled: bool = True,
) -> None:
    """A histogram as an outline, so that several can lie on each other; ``height`` is a column of ``bins``."""
    figure.add_scatter(
        x=[*bins["low"], *bins["high"].tail(1)],
        y=[*bins[height], *bins[height].tail(1)],
        mode="lines",
        line={"color": color, "width": 1.6, "shape": "hv"},
        fill="tozeroy" if filled else "none",
        fillcolor=_faint(color, 0.22),
        name=escape(name),
    )


@dataclass(frozen=True, slots=True)
class Outline:
    """One of several histograms on each other: its name, its bins, how it is drawn."""

    name: str
    bins: pd.DataFrame
    color: str = BLUE
    filled: bool = True


def histograms(
    parts: Sequence[Outline],
    metric: Metric | None,
    height: str = "count",
    title: str = "members",
    *,
    mark: float | None = None,
    pixels: int,
) -> go.Figure | None:
    """A figure of histograms on each other, of which there may be nothing to show.

    Args:
        parts: The histograms.
        metric: What they are of; none where it was not measured.
        height: The column of the bins that is drawn, "count" or "share".
        title: What is counted.
        mark: Where a line is drawn, if anywhere.
        pixels: Height of the figure.
    """
    if metric is None or not any(len(part.bins) for part in parts):
        return None
    figure = go.Figure(layout=base_layout(pixels))
    for part in parts:
        if len(part.bins):
            add_outline(figure, part.bins, height, part.color, part.name, part.filled)
    figure.update_layout(LEGEND_ABOVE if len(parts) > 1 else {"showlegend": False}, hovermode="x")
    if mark is not None:
        figure.add_vline(x=mark, line=DOTTED)
    ticks = {"tickformat": PERCENT} if height == "share" else {}
    figure.update_yaxes(title_text=title, rangemode="tozero", **ticks)
    return figure.update_xaxes(**axis_of(metric))


def boxes(
    labels: Sequence[str], values: pd.DataFrame, whiskers: tuple[str, str], metric: Metric, title: str, pixels: int
) -> go.Figure:
    """A figure of upright boxes of the middle half, each over its label, with whiskers to two further columns."""
    figure = go.Figure(layout=base_layout(pixels)).update_layout(showlegend=False)
    figure.add_box(x=list(range(len(values))), mean=values["mean"].tolist(), **_box(values, whiskers))
    write_labels(figure, labels)
    return figure.update_xaxes(title_text=title).update_yaxes(**axis_of(metric))


def lying_boxes(labels: Sequence[str], values: pd.DataFrame, whiskers: tuple[str, str]) -> go.Figure:
    """A figure of such boxes one below the other."""
    figure = go.Figure(layout=base_layout(110 + 28 * len(labels)))
    figure.add_box(y=[escape(label) for label in labels], orientation="h", **_box(values, whiskers))
    figure.update_layout(showlegend=False)
    figure.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return figure


def heat_map(values: pd.DataFrame, metric: Metric, said: str, height: int) -> go.Figure:
    """A figure of a table as colored fields; ``said`` of one when pointed at, with ``%{x}``, ``%{y}``, ``%{z}``."""
    ticks = {"tickformat": PERCENT} if metric.unit == "share" else {}
    figure = go.Figure(layout=base_layout(height))
    figure.add_heatmap(
        z=values.astype(object).where(values.notna(), None).to_numpy().tolist(),
        x=[str(name) for name in values.columns],
        y=[str(name) for name in values.index],
        colorscale=HEAT,
        zmax=1,
        colorbar={**ticks, "thickness": 12, "len": 0.9, "outlinewidth": 0},
        hovertemplate=f"{said}<extra></extra>",
        hoverongaps=False,
    )
    figure.update_xaxes(type="category", constrain="domain", showgrid=False)
    figure.update_yaxes(type="category", scaleanchor="x", autorange="reversed", showgrid=False)
    return figure


def write_labels(figure: go.Figure, labels: Sequence[str]) -> None:
    """Writes labels at 0, 1, …: two that are cut to the same text stay two."""
    crowded = {"tickangle": -65, "tickfont": {"size": 10}} if sum(map(len, labels)) > CROWDED else {}
    texts = [escape(cut(label)) for label in labels]
    # Else the last one is left out where it, slanted, would end beyond the chart.
    figure.update_xaxes(tickvals=list(range(len(labels))), ticktext=texts, ticklabeloverflow="allow", **crowded)


def cut(text: str) -> str:
    """A label, not longer than ``LONGEST_LABEL``."""
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"


def _box(values: pd.DataFrame, whiskers: tuple[str, str]) -> dict[str, Any]:
    columns = {"q1": "p25", "median": "median", "q3": "p75", "lowerfence": whiskers[0], "upperfence": whiskers[1]}
    drawn = {name: values[column].tolist() for name, column in columns.items()}
    return {**drawn, "marker": {"color": BLUE}, "line": {"width": 1.3}}


def _faint(color: str, opacity: float) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
