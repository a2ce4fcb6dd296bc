"""The look of the report's charts, and those without a rate; every codec has the same color in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from analysis.pages.figures import MUTED, base_layout
from analysis.pages.numbers import usable
from analysis.results import Result

LEARNED_COLORS = ("#c6312b", "#e2793f", "#a3195b", "#8a3b12", "#e0559a")
CLASSICAL_COLORS = (
    "#1f5fa8", "#2a9d8f", "#8456b8", "#c29a12", "#4aa3df", "#5b8c2a", "#6b6f9c", "#a0714f", "#00798c",
)  # fmt: skip
CONTROL_COLORS = ("#6b7a8a", "#8391a0", "#b0926a", "#9aa88f", "#6f7f95", "#a8a29e")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "star", "cross")
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot", "6px,2px")


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How a codec looks in every chart."""

    color: str
    symbol: str
    dash: str


def styles(results: Sequence[Result]) -> dict[str, Style]:
    """Gives each codec a color, a marker and a dash, by family and order of appearance."""
    palettes = {"learned": LEARNED_COLORS, "classical": CLASSICAL_COLORS, "control": CONTROL_COLORS}
    seen: dict[str, list[str]] = {family: [] for family in palettes}
    for result in results:
        if result.name not in seen[result.family]:
            seen[result.family].append(result.name)
    return {
        codec: Style(
            color=palettes[family][number % len(palettes[family])],
            symbol="x" if family == "control" else SYMBOLS[number % len(SYMBOLS)],
            dash=DASHES[number % len(DASHES)],
        )
        for family, codecs in seen.items()
        for number, codec in enumerate(codecs)
    }


def label(result: Result) -> str:
    """Names a result: codec, setting, and the trial that found it."""
    trial = "" if result.trial is None else f"trial {result.trial}"
    return " · ".join(part for part in (result.name, result.setting, trial) if part)


def scatter(results: Sequence[Result], names: tuple[str, str], *, shares: bool) -> go.Figure:
    """An empty scatter of two values of each member with the identity line.

    The page fills it with the members of the chosen result. Both axes share one range over all results, so that
    one result's picture can be compared with another's.

    Args:
        results: What can be chosen.
        names: The values, as the results name them: horizontal, vertical.
        shares: Whether they are shares, written in per cent.
    """
    values = [v for result in results for name in names for v in result.values.get(name, ()) if usable(v)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.03 * (high - low) or 0.05
    limits = [low - margin, high + margin]
    if shares:
        limits = [max(limits[0], -0.01), min(limits[1], 1.01)]
    form = ".1%" if shares else ".3g"
    words = [name.rpartition("_")[2] for name in names]
    figure = go.Figure()
    figure.add_scatter(
        x=limits, y=limits, mode="lines", line={"color": MUTED, "width": 1, "dash": "dash"}, name="identity",
        hoverinfo="skip", meta={"role": "identity"},
    )  # fmt: skip
    figure.add_scatter(
        x=[], y=[], mode="markers", name="members", marker={"size": 5.5, "opacity": 0.6},
        hovertemplate=f"{words[0]} %{{x:{form}}}<br>{words[1]} %{{y:{form}}}<extra></extra>", meta={"role": "members"},
    )  # fmt: skip
    figure.update_layout(base_layout(height=430), showlegend=False, margin_r=30)
    for update, title in zip((figure.update_xaxes, figure.update_yaxes), names, strict=True):
        update(range=limits, title_text=title)
        if shares:
            update(tickformat=".0%", dtick=0.1 if limits[1] - limits[0] < 0.55 else 0.2)
    return figure


def importances(values: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Bars of how much each parameter of a search mattered, a group for each objective.

    Args:
        values: Objective → parameter → importance; an objective's importances add up to 1.
    """
    totals: dict[str, float] = {}
    for by_parameter in values.values():
        for parameter, value in by_parameter.items():
            totals[parameter] = totals.get(parameter, 0.0) + value
    order = sorted(totals, key=lambda parameter: -totals[parameter])
    colors = ("#1f5fa8", "#c6312b", "#2a9d8f", "#c29a12")
    figure = go.Figure()
    for number, (objective, by_parameter) in enumerate(values.items()):
        shares = [by_parameter.get(parameter, 0.0) for parameter in order]
        figure.add_bar(
            x=shares,
            y=[escape(parameter) for parameter in order],
            orientation="h",
            name=escape(objective),
            marker={"color": colors[number % len(colors)]},
            hovertemplate="%{y}: %{x:.2f}<extra>" + escape(objective) + "</extra>",
        )
    figure.update_layout(base_layout(height=110 + 13 * len(order) * (1 + len(values))), barmode="group", bargap=0.3)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"})
    figure.update_xaxes(title_text="importance (share of the variance that the parameter explains)", rangemode="tozero")
    figure.update_yaxes(gridcolor="rgba(0,0,0,0)", autorange="reversed")
    return figure
