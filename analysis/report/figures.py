"""The look of the report's charts, and those without a rate; every codec has the same color in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from analysis.compression.codec_rows import LEARNED, SEARCHED
from analysis.compression.codecs import CODECS
from analysis.compression.controls import ZERO_RATE
from analysis.measuring.results import Measured, Result, declared
from analysis.pages.figures import LEGEND_ABOVE, MUTED, PALETTE, PERCENT, base_layout, error_bars
from analysis.pages.numbers import usable
from analysis.reading.prediction import CONSTANT, HYPERPARAMETERS, MEASURED
from analysis.statistics.intervals import Interval
from trainables.registry import TRAINABLES
from zoo.config import digest
from zoo.metric import Metric

# As those of ``analysis.pages.figures``, legible on light and dark ground.
COLORS = {
    "learned": ("#d1382f", "#d9752a", "#c43a7f", "#b5592a", "#e0559a"),
    "classical": (
        "#2f74c4", "#23948a", "#8a5cc2", "#ab8614", "#3d97d3", "#5f9130", "#7377b8", "#a9744f", "#0b8597", "#6e8b3d",
    ),
    "control": ("#6b7a8a", "#9a7f5c", "#7f9073", "#7d8b9a", "#66799a", "#8c8680"),
}  # fmt: skip
# What has its color by its place here, the same in every report; all else by its name's hash.
KNOWN = {
    "learned": (LEARNED, *TRAINABLES),
    "classical": tuple(name for name, codec in CODECS.items() if codec.family == "classical"),
    "control": (*ZERO_RATE, "index", CONSTANT, HYPERPARAMETERS, MEASURED),
}
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "star", "cross")
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot", "6px,2px")


def error_bars_of(found: Sequence[Measured | Interval], *, thickness: float = 1, width: float = 2.5) -> dict[str, Any]:
    """The bars of values with intervals, of no length where there is no interval."""
    lows, highs = ([one.ends[end] for one in found] for end in (0, 1))
    return error_bars([one.estimate for one in found], lows, highs, thickness=thickness, width=width)


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How a codec looks in every chart."""

    color: str
    symbol: str
    dash: str


def style(name: str, family: str) -> Style:
    """The color, marker and dash of a codec: after its name, whatever else was measured."""
    name = name.removesuffix(SEARCHED)
    home = next((home for home in (family, "classical", "control", "learned") if name in KNOWN[home]), family)
    known, colors = KNOWN[home], COLORS[home]
    number = known.index(name) if name in known else len(known) + int(digest(name)[:8], 16)
    return Style(
        color=colors[number % len(colors)],
        symbol="x" if home == "control" else SYMBOLS[number % len(SYMBOLS)],
        dash=DASHES[number % len(DASHES)],
    )


def label(result: Result) -> str:
    """Names a result: codec, setting, and the trial that found it."""
    trial = "" if result.trial is None else f"trial {result.trial}"
    return " · ".join(part for part in (result.name, result.setting, trial) if part)


def scatter(
    results: Sequence[Result], names: tuple[str, str], *, shares: bool, words: tuple[str, str] | None = None
) -> go.Figure:
    """An empty scatter of two values of each member with the identity line.

    The page fills it with the members of the chosen result. Both axes share one range over all results, so that
    one result's picture can be compared with another's.

    Args:
        results: What can be chosen.
        names: The values, as the results name them: horizontal, vertical.
        shares: Whether they are shares, written in per cent.
        words: What they are called; as the metrics of these names where ``None``.
    """
    metrics = declared(results)
    titles = words or tuple(metrics[name].label for name in names)
    values = [v for result in results for name in names for v in result.values.get(name, ()) if usable(v)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.03 * (high - low) or 0.05
    limits = [low - margin, high + margin]
    if shares:
        limits = [max(limits[0], -0.01), min(limits[1], 1.01)]
    form = ".1%" if shares else ".3g"
    figure = go.Figure()
    figure.add_scatter(
        x=limits, y=limits, mode="lines", line={"color": MUTED, "width": 1, "dash": "dash"}, name="identity",
        hoverinfo="skip", meta={"role": "identity"},
    )  # fmt: skip
    figure.add_scatter(
        x=[], y=[], mode="markers", name="members", marker={"size": 5.5, "opacity": 0.6},
        hovertemplate=f"{titles[0]} %{{x:{form}}}<br>{titles[1]} %{{y:{form}}}<extra></extra>",
        meta={"role": "members"},
    )  # fmt: skip
    figure.update_layout(base_layout(height=430), showlegend=False, margin_r=30)
    for update, title in zip((figure.update_xaxes, figure.update_yaxes), titles, strict=True):
        update(range=limits, title_text=title)
        if shares:
            update(tickformat=".0%", dtick=0.1 if limits[1] - limits[0] < 0.55 else 0.2)
    return figure


def importances(values: Mapping[str, Mapping[str, float]], metrics: Mapping[str, Metric]) -> go.Figure:
    """Bars of how much each parameter of a search mattered, a group for each objective.

    Args:
        values: Objective → parameter → importance; an objective's importances add up to 1.
        metrics: The objectives among others, by name.
    """
    totals: dict[str, float] = {}
    for by_parameter in values.values():
        for parameter, value in by_parameter.items():
            totals[parameter] = totals.get(parameter, 0.0) + value
    order = sorted(totals, key=lambda parameter: -totals[parameter])
    figure = go.Figure()
    for number, (objective, by_parameter) in enumerate(values.items()):
        shares = [by_parameter.get(parameter, 0.0) for parameter in order]
        name = escape(metrics[objective].label if objective in metrics else objective)
        figure.add_bar(
            x=shares,
            y=[escape(parameter) for parameter in order],
            orientation="h",
            name=name,
            marker={"color": PALETTE[number % len(PALETTE)]},
            hovertemplate="%{y}: %{x:.2f}<extra>" + name + "</extra>",
        )
    figure.update_layout(base_layout(height=110 + 13 * len(order) * (1 + len(values))), barmode="group", bargap=0.3)
    figure.update_layout(LEGEND_ABOVE, legend_traceorder="normal")
    figure.update_xaxes(title_text="share of the variance that it explains", rangemode="tozero", tickformat=PERCENT)
    figure.update_yaxes(gridcolor="rgba(0,0,0,0)", autorange="reversed")
    return figure
