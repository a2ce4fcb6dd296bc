"""Quality against rate as plotly figures.

Agreement and |Δaccuracy| run from useless to perfect over several orders of magnitude, so their axes are
logarithmic in what is *lost* and labelled with what is *kept*: 95, 97 and 99 % are as far apart as they matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from analysis.compression.headlines import Target
from analysis.compression.rates import FLOAT_BITS
from analysis.measuring.results import Result, declared
from analysis.pages.figures import INK, MUTED, base_layout
from analysis.pages.numbers import axis_title, shown, with_unit
from analysis.report.figures import Style, label, style
from trainables.pareto import pareto_rows

# Points of a line across the chart: enough that it answers to the pointer everywhere.
LINE_STEPS = 40
HOVER = (
    "code_bits_per_weight", "shared_bytes", "agreement", "agreement_p5", "output_r2", "output_r2_p5", "output_error",
    "accuracy_shift_pp", "accuracy_drop_pp", "kl",
)  # fmt: skip
LEGEND_RANK = {"learned": 10, "classical": 20, "control": 30}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """A vertical axis: a metric drawn by what is lost, on a logarithmic scale with the best at the top.

    Attributes:
        perfect: The metric's value for a lossless codec, in its shown unit.
        factor: What a stored value is multiplied with to be in its shown unit.
        ticks: Losses, in the shown unit, that the axis may name.
        floor: Losses below this, in the shown unit, are drawn at this value.
    """

    perfect: float
    factor: float
    ticks: tuple[float, ...]
    floor: float

    def lost(self, value: float) -> float:
        """Turns a value as stored into the distance from perfect in the shown unit."""
        return max(abs(self.perfect - value * self.factor), self.floor)

    def tick_label(self, tick: float) -> str:
        """Writes a tick by what is kept."""
        return f"{self.perfect - tick:g}" if self.perfect else f"{tick:g}"


AXES = {
    "agreement": Loss(perfect=100, factor=100, ticks=(0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 30, 50, 80), floor=0.05),
    "accuracy_shift_pp": Loss(perfect=0, factor=1, ticks=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100), floor=0.03),
    "output_r2": Loss(
        perfect=1, factor=1, ticks=(1e-5, 1e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10), floor=3e-6
    ),
}


def rate_quality(results: Sequence[Result], target: Target, *, amortized: bool = False) -> go.Figure:
    """A target's metric against rate, with 95 % intervals, controls and the Pareto front.

    Amortized, every trace's ``meta`` holds ``code`` and ``shared`` (bits per weight for N = 1), so that the page
    computes x = code + shared / N for the N of its slider; drawn for infinite N. The axis is fixed to what any N can
    give.
    """
    axis, name = AXES[target.metric], target.metric
    shown_results = [r for r in results if r.value(name) is not None and r.value("code_bits_per_weight") is not None]
    codecs = [r for r in shown_results if r.family != "control" and r.rate > 0]
    # A control that sends next to nothing has no place on a logarithmic axis: it is a line across it.
    lowest = min((r.rate for r in codecs), default=FLOAT_BITS) / 20
    marked = [r for r in shown_results if r.family == "control" and r.rate >= lowest]
    lines = [r for r in shown_results if r.family == "control" and r.rate < lowest]
    drawn = [*codecs, *marked]
    ends = [FLOAT_BITS, *(r.rate for r in drawn)]
    if amortized:
        ends += [r.rate + shared_bits_per_weight(r) for r in drawn]
    x_range = (min(ends) / 1.5, max(ends) * 1.5)

    figure = go.Figure()
    figure.add_trace(_front_trace(shown_results, name, x_range))
    for codec in dict.fromkeys(r.name for r in drawn):
        settings = sorted((r for r in drawn if r.name == codec), key=lambda r: r.rate)
        figure.add_trace(_codec_trace(settings, name, style(codec, settings[0].family)))
    for line in lines:
        figure.add_trace(_control_line(line, name, style(line.name, line.family), x_range))
    metrics = declared(shown_results)
    rate = "total bits per weight for N networks" if amortized else metrics["code_bits_per_weight"].label
    return _laid_out(
        figure, axis, target, [*drawn, *lines], x_range, (f"{rate} (log scale)", axis_title(metrics[name]))
    )


def shared_bits_per_weight(result: Result) -> float:
    """What the shared part costs a weight if only one network uses it."""
    return 8 * result.shared_bytes / result.parameters


def _front_trace(results: Sequence[Result], metric: str, x_range: tuple[float, float]) -> go.Scatter:
    """The Pareto front over codecs and controls; to the right it holds as far as the chart goes."""
    lost = [AXES[metric].lost(r.metrics[metric].estimate) for r in results]
    front = pareto_rows([r.rate for r in results], [-loss for loss in lost])
    rates = [max(results[row].rate, x_range[0] / 10) for row in front]
    return go.Scatter(
        x=[*rates, x_range[1]],
        y=[lost[row] for row in [*front, front[-1]]],
        name="Pareto front",
        mode="lines",
        line={"color": INK, "width": 1.1, "shape": "hv"},
        hoverinfo="skip",
        legendrank=1,
        meta={"role": "front", "range": list(x_range)},
    )


def _codec_trace(results: Sequence[Result], metric: str, look: Style) -> go.Scatter:
    family, axis = results[0].family, AXES[metric]
    lost = [axis.lost(r.metrics[metric].estimate) for r in results]
    ends = [[axis.lost(bound) for bound in r.metrics[metric].ends] for r in results]
    return go.Scatter(
        x=[r.rate for r in results],
        y=lost,
        error_y={
            "array": [max(max(end) - y, 0) for y, end in zip(lost, ends, strict=True)],
            "arrayminus": [max(y - min(end), 0) for y, end in zip(lost, ends, strict=True)],
            "thickness": 1,
            "width": 2.5,
        },
        name=escape(results[0].name),
        # Trials of a search are separate autoencoders, not settings of one: no line between them.
        mode="lines+markers" if family == "classical" else "markers",
        line={"width": 1.6, "color": look.color},
        marker={"size": 9 if family == "learned" else 7.5, "symbol": look.symbol, "color": look.color},
        text=[_hover(r) for r in results],
        hovertemplate="%{text}<extra></extra>",
        legendrank=LEGEND_RANK[family],
        meta=_meta("control" if family == "control" else "codec", results, metric),
    )


def _control_line(result: Result, metric: str, look: Style, x_range: tuple[float, float]) -> go.Scatter:
    low, high = x_range
    return go.Scatter(
        x=[low * (high / low) ** (step / LINE_STEPS) for step in range(LINE_STEPS + 1)],
        y=[AXES[metric].lost(result.metrics[metric].estimate)] * (LINE_STEPS + 1),
        name=escape(result.name),
        mode="lines",
        line={"width": 1.6, "color": look.color, "dash": look.dash},
        text=[_hover(result)] * (LINE_STEPS + 1),
        hovertemplate="%{text}<extra></extra>",
        legendrank=LEGEND_RANK["control"],
        meta=_meta("line", [result], metric) | {"range": [low, high]},
    )


def _meta(role: str, results: Sequence[Result], metric: str) -> dict[str, Any]:
    """What the page needs to move a trace along N."""
    return {
        "role": role,
        "code": [r.rate for r in results],
        "shared": [shared_bits_per_weight(r) for r in results],
        "labels": [label(r) for r in results],
        "quality": [r.metrics[metric].estimate for r in results],
    }


def _hover(result: Result) -> str:
    rows = [f"<b>{escape(label(result))}</b>"]
    for measured in (result.metrics[name] for name in HOVER if name in result.metrics):
        row = f"{measured.metric.label}  {with_unit(measured.metric, measured.estimate)}"
        if measured.low is not None:
            row += f"  [{shown(measured.metric, measured.low)}, {shown(measured.metric, measured.high)}]"
        rows.append(row)
    return "<br>".join(rows)


def _laid_out(
    figure: go.Figure,
    axis: Loss,
    target: Target,
    results: Sequence[Result],
    x_range: tuple[float, float],
    titles: tuple[str, str],
) -> go.Figure:
    measured = [r.metrics[target.metric] for r in results]
    lost = [axis.lost(bound) for one in measured for bound in (one.estimate, *one.ends)]
    worst, best = max(lost, default=axis.ticks[-1]) * 1.25, min([*lost, axis.lost(target.value) / 4]) / 1.35
    ticks = [tick for tick in axis.ticks if best <= tick <= worst]
    texts = [axis.tick_label(tick) for tick in ticks]
    if best <= axis.floor:
        ticks, texts = [axis.floor, *ticks], [axis.tick_label(0), *texts]
    figure.update_layout(base_layout(height=520))
    figure.update_xaxes(
        type="log",
        range=[math.log10(end) for end in x_range],
        title_text=titles[0],
        dtick="D2" if x_range[1] / x_range[0] < 3e3 else 1,
        tickformat=",~g",
    )
    figure.update_yaxes(
        type="log",
        range=[math.log10(worst), math.log10(best)],
        tickvals=ticks,
        ticktext=texts,
        title_text=titles[1],
    )
    lost_at_target = axis.lost(target.value)
    figure.add_hline(y=lost_at_target, line={"color": MUTED, "width": 0.8, "dash": "2px,3px"}, layer="below")
    figure.add_vline(x=FLOAT_BITS, line={"color": MUTED, "width": 0.8, "dash": "2px,3px"}, layer="below")
    figure.add_annotation(
        x=math.log10(FLOAT_BITS), y=0, yref="paper", yanchor="bottom", xanchor="right", text="float32", showarrow=False,
        font={"size": 11, "color": MUTED},
    )  # fmt: skip
    return figure
