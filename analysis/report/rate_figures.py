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

from analysis.headlines import TARGET_AGREEMENT, TARGET_SHIFT_PP
from analysis.measurement import CodecResult
from analysis.pages.figures import INK, MUTED, base_layout
from analysis.pages.numbers import usable
from analysis.rates import FLOAT_BITS
from analysis.report.figures import Style, label, styles
from analysis.report.glossary import METRICS
from trainables.study_files import pareto_rows

# Points of a line across the chart: enough that it answers to the pointer everywhere.
LINE_STEPS = 40
HOVER = (
    "code_bits_per_weight",
    "shared_bytes",
    "agreement",
    "agreement_p5",
    "accuracy_shift_pp",
    "accuracy_drop_pp",
    "kl",
)
LEGEND_RANK = {"learned": 10, "classical": 20, "control": 30}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """A vertical axis: a metric drawn by what is lost, on a logarithmic scale with the best at the top.

    Attributes:
        metric: Field of ``CodecResult``.
        perfect: Its value for a lossless codec.
        ticks: Values of the metric, in its shown unit, that the axis may name.
        floor: Losses below this, in the shown unit, are drawn at this value.
        target: A value of the metric to mark with a line.
    """

    metric: str
    perfect: float
    ticks: tuple[float, ...]
    floor: float
    target: float

    def lost(self, value: float) -> float:
        """Turns a value as stored into the distance from perfect in the shown unit."""
        return max(abs(self.perfect - value) * METRICS[self.metric].factor, self.floor)

    def tick_label(self, tick: float) -> str:
        """Writes a tick by what is kept."""
        return f"{100 - tick:g}" if self.perfect else f"{tick:g}"


AGREEMENT = Loss(
    metric="agreement",
    perfect=1.0,
    ticks=(0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 30, 50, 80),
    floor=0.05,
    target=TARGET_AGREEMENT,
)
ACCURACY_SHIFT = Loss(
    metric="accuracy_shift_pp",
    perfect=0.0,
    ticks=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100),
    floor=0.03,
    target=TARGET_SHIFT_PP,
)


def rate_agreement(results: Sequence[CodecResult]) -> go.Figure:
    """Agreement against code rate, with 95 % intervals, controls and the Pareto front."""
    return _rate_figure(results, AGREEMENT, amortized=False)


def rate_accuracy(results: Sequence[CodecResult]) -> go.Figure:
    """Mean absolute change of accuracy against code rate, with 95 % intervals, controls and the Pareto front."""
    return _rate_figure(results, ACCURACY_SHIFT, amortized=False)


def amortized(results: Sequence[CodecResult]) -> go.Figure:
    """Agreement against ``total_bits_per_weight(N)``, drawn for infinite N.

    Every trace's ``meta`` holds ``code`` and ``shared`` (bits per weight for N = 1), so that the page computes
    x = code + shared / N for the N of its slider. The axis is fixed to what any N can give.
    """
    return _rate_figure(results, AGREEMENT, amortized=True)


def shared_bits_per_weight(result: CodecResult) -> float:
    """What the shared part costs a weight if only one network uses it."""
    return 8 * result.shared_bytes / result.parameters


def _rate_figure(results: Sequence[CodecResult], axis: Loss, amortized: bool) -> go.Figure:
    style = styles(results)
    shown = [r for r in results if usable(getattr(r, axis.metric)) and usable(r.code_bits_per_weight)]
    codecs = [r for r in shown if r.family != "control" and r.code_bits_per_weight > 0]
    # A control that sends next to nothing has no place on a logarithmic axis: it is a line across it.
    lowest = min((r.code_bits_per_weight for r in codecs), default=FLOAT_BITS) / 20
    marked = [r for r in shown if r.family == "control" and r.code_bits_per_weight >= lowest]
    lines = [r for r in shown if r.family == "control" and r.code_bits_per_weight < lowest]
    drawn = [*codecs, *marked]
    ends = [FLOAT_BITS, *(r.code_bits_per_weight for r in drawn)]
    if amortized:
        ends += [r.code_bits_per_weight + shared_bits_per_weight(r) for r in drawn]
    x_range = (min(ends) / 1.5, max(ends) * 1.5)

    figure = go.Figure()
    figure.add_trace(_front_trace(shown, axis, x_range))
    for codec in dict.fromkeys(r.codec for r in drawn):
        settings = sorted((r for r in drawn if r.codec == codec), key=lambda r: r.code_bits_per_weight)
        figure.add_trace(_codec_trace(settings, axis, style[codec]))
    for line in lines:
        figure.add_trace(_control_line(line, axis, style[line.codec], x_range))
    rate = "total_bits_per_weight(N)" if amortized else "code_bits_per_weight"
    return _laid_out(figure, axis, [*drawn, *lines], x_range, rate)


def _front_trace(results: Sequence[CodecResult], axis: Loss, x_range: tuple[float, float]) -> go.Scatter:
    """The Pareto front over codecs and controls; to the right it holds as far as the chart goes."""
    lost = [axis.lost(getattr(r, axis.metric)) for r in results]
    front = pareto_rows([r.code_bits_per_weight for r in results], [-loss for loss in lost])
    rates = [max(results[row].code_bits_per_weight, x_range[0] / 10) for row in front]
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


def _codec_trace(results: Sequence[CodecResult], axis: Loss, style: Style) -> go.Scatter:
    family = results[0].family
    lost = [axis.lost(getattr(r, axis.metric)) for r in results]
    ends = [[axis.lost(bound) for bound in _interval(r, axis.metric)] for r in results]
    return go.Scatter(
        x=[r.code_bits_per_weight for r in results],
        y=lost,
        error_y={
            "array": [max(max(end) - y, 0) for y, end in zip(lost, ends, strict=True)],
            "arrayminus": [max(y - min(end), 0) for y, end in zip(lost, ends, strict=True)],
            "thickness": 1,
            "width": 2.5,
        },
        name=escape(results[0].codec),
        # Trials of a search are separate autoencoders, not settings of one: no line between them.
        mode="lines+markers" if family == "classical" else "markers",
        line={"width": 1.6, "color": style.color},
        marker={"size": 9 if family == "learned" else 7.5, "symbol": style.symbol, "color": style.color},
        text=[_hover(r) for r in results],
        hovertemplate="%{text}<extra></extra>",
        legendrank=LEGEND_RANK[family],
        meta=_meta("control" if family == "control" else "codec", results),
    )


def _control_line(result: CodecResult, axis: Loss, style: Style, x_range: tuple[float, float]) -> go.Scatter:
    low, high = x_range
    return go.Scatter(
        x=[low * (high / low) ** (step / LINE_STEPS) for step in range(LINE_STEPS + 1)],
        y=[axis.lost(getattr(result, axis.metric))] * (LINE_STEPS + 1),
        name=escape(result.codec),
        mode="lines",
        line={"width": 1.6, "color": style.color, "dash": style.dash},
        text=[_hover(result)] * (LINE_STEPS + 1),
        hovertemplate="%{text}<extra></extra>",
        legendrank=LEGEND_RANK["control"],
        meta=_meta("line", [result]) | {"range": [low, high]},
    )


def _meta(role: str, results: Sequence[CodecResult]) -> dict[str, Any]:
    """What the page needs to move a trace along N."""
    return {
        "role": role,
        "code": [r.code_bits_per_weight for r in results],
        "shared": [shared_bits_per_weight(r) for r in results],
        "labels": [label(r) for r in results],
        "agreement": [r.agreement for r in results],
    }


def _interval(result: CodecResult, metric: str) -> tuple[float, float]:
    value = getattr(result, metric)
    low, high = getattr(result, f"{metric}_low", None), getattr(result, f"{metric}_high", None)
    return (low if usable(low) else value, high if usable(high) else value)


def _hover(result: CodecResult) -> str:
    rows = [f"<b>{escape(label(result))}</b>"]
    for name in HOVER:
        metric, value = METRICS[name], getattr(result, name)
        row = f"{name}  {metric.format(value)} {metric.unit}"
        low, high = getattr(result, f"{name}_low", None), getattr(result, f"{name}_high", None)
        if usable(low) and usable(high):
            row += f"  [{metric.format(low)}, {metric.format(high)}]"
        rows.append(row)
    return "<br>".join(rows)


def _laid_out(
    figure: go.Figure, axis: Loss, results: Sequence[CodecResult], x_range: tuple[float, float], rate: str
) -> go.Figure:
    lost = [axis.lost(bound) for r in results for bound in (getattr(r, axis.metric), *_interval(r, axis.metric))]
    worst, best = max(lost, default=100.0) * 1.25, min([*lost, axis.lost(axis.target) / 4]) / 1.35
    ticks = [tick for tick in axis.ticks if best <= tick <= worst]
    texts = [axis.tick_label(tick) for tick in ticks]
    if best <= axis.floor:
        ticks, texts = [axis.floor, *ticks], [axis.tick_label(0), *texts]
    figure.update_layout(base_layout(height=520))
    figure.update_xaxes(
        type="log",
        range=[math.log10(end) for end in x_range],
        title_text=f"{rate} (bits, log scale)",
        dtick="D2" if x_range[1] / x_range[0] < 3e3 else 1,
        tickformat=",~g",
    )
    figure.update_yaxes(
        type="log",
        range=[math.log10(worst), math.log10(best)],
        tickvals=ticks,
        ticktext=texts,
        title_text=METRICS[axis.metric].title,
    )
    target = axis.lost(axis.target)
    figure.add_hline(y=target, line={"color": MUTED, "width": 0.8, "dash": "2px,3px"}, layer="below")
    figure.add_vline(x=FLOAT_BITS, line={"color": MUTED, "width": 0.8, "dash": "2px,3px"}, layer="below")
    figure.add_annotation(
        x=math.log10(FLOAT_BITS), y=0, yref="paper", yanchor="bottom", xanchor="right", text="float32", showarrow=False,
        font={"size": 11, "color": MUTED},
    )  # fmt: skip
    return figure
