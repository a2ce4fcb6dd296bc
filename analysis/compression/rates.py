"""Rates: amortization of what is shared, Pareto envelopes, rates at a stated quality, Bjøntegaard differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from trainables.pareto import pareto_rows

FLOAT_BITS = 32
AMORTIZED_OVER = (1, 1_000, 10_000, 100_000, math.inf)


def total_bits_per_weight(
    code_bits_per_weight: float, shared_bytes: int | float, parameters: int, models: float
) -> float:
    """Code plus this model's part of what is shared: ``8·(payload_bytes/M + shared_bytes/N)/P``.

    Args:
        code_bits_per_weight: ``8·payload_bytes/(M·P)``.
        shared_bytes: What the receiver must hold before the first payload.
        parameters: P.
        models: N, the number of models over which the shared part is spread; may be infinite.
    """
    if models < 1:
        raise ValueError(f"models is {models}; allowed: 1 or more")
    return code_bits_per_weight + 8 * shared_bytes / (models * parameters)


def compression_ratio(total: float) -> float:
    """32 / total bits per weight; infinite where nothing is sent."""
    return FLOAT_BITS / total if total > 0 else math.inf


def amortization(code_bits_per_weight: float, shared_bytes: int | float, parameters: int) -> dict[str, float]:
    """``total_bits_per_weight`` and ``compression_ratio`` at each N of ``AMORTIZED_OVER``, a column each."""
    columns: dict[str, float] = {}
    for models in AMORTIZED_OVER:
        name = "inf" if math.isinf(models) else f"{models:.0f}"
        total = total_bits_per_weight(code_bits_per_weight, shared_bytes, parameters, models)
        columns[f"total_bits_per_weight_{name}"] = total
        columns[f"compression_ratio_{name}"] = compression_ratio(total)
    return columns


def break_even_models(
    code_bits_per_weight: float, shared_bytes: int | float, parameters: int, rival_bits_per_weight: float
) -> float | None:
    """N*: how many models it takes until sending the shared part has paid off against a codec without one.

    Returns:
        A number of models, at least 1; ``None`` where the codec never pays off.
    """
    saved = rival_bits_per_weight - code_bits_per_weight
    if saved <= 0:
        return None
    return max(1.0, 8 * shared_bytes / (parameters * saved))


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One setting of a codec on a rate–quality curve; the larger the quality, the better."""

    rate: float
    quality: float
    shared_bytes: float = 0.0


def envelope(points: Sequence[Point]) -> list[Point]:
    """The Pareto front of a curve by increasing rate."""
    return [points[row] for row in pareto_rows([p.rate for p in points], [p.quality for p in points])]


def point_at_quality(points: Sequence[Point], quality: float, *, between: bool = True) -> Point | None:
    """Where a curve's Pareto envelope first reaches a quality.

    Between two settings the quality is taken as linear in the logarithm of the rate. There is no extrapolation:
    a curve whose cheapest setting is already good enough is credited with that setting's rate.

    Args:
        points: The settings measured.
        quality: What is asked for.
        between: Whether there are settings between those measured. Where each point is a codec of its own, as
            fitted autoencoders are, there are none: the point is the cheapest measured one that is good enough.

    Returns:
        The point, its shared bytes interpolated likewise; ``None`` where the quality is not reached.
    """
    before: Point | None = None
    for point in envelope(points):
        if point.quality >= quality:
            if not between or before is None or before.rate <= 0:
                return point
            share = (quality - before.quality) / (point.quality - before.quality)
            return Point(
                rate=math.exp((1 - share) * math.log(before.rate) + share * math.log(point.rate)),
                quality=quality,
                shared_bytes=(1 - share) * before.shared_bytes + share * point.shared_bytes,
            )
        before = point
    return None


def bd_rate(
    rates: Sequence[float], kl: Sequence[float], anchor_rates: Sequence[float], anchor_kl: Sequence[float]
) -> float | None:
    """Bjøntegaard's average difference in rate at equal KL divergence, in per cent; negative is better.

    Logarithm of the rate as a function of the logarithm of the divergence, along each curve's Pareto envelope,
    by monotone piecewise cubics (Bjøntegaard, VCEG-M33, 2001, with the interpolation that the JVET common test
    conditions have since adopted), averaged over the divergences that both curves cover.

    Returns:
        ``None`` where a curve has fewer than two usable points or the two do not overlap. Points without rate
        or without divergence have no logarithm and are left out.
    """
    curves = []
    for rate, divergence in ((rates, kl), (anchor_rates, anchor_kl)):
        usable = [Point(rate=r, quality=-math.log(d)) for r, d in zip(rate, divergence, strict=True) if r > 0 and d > 0]
        curve = envelope(usable)
        if len(curve) < 2:
            return None
        curves.append((np.array([p.quality for p in curve]), np.log([p.rate for p in curve])))
    low = max(quality[0] for quality, _ in curves)
    high = min(quality[-1] for quality, _ in curves)
    if low >= high:
        return None
    mine, anchor = (
        float(PchipInterpolator(quality, log_rate).integrate(low, high)) / (high - low) for quality, log_rate in curves
    )
    return 100 * math.expm1(mine - anchor)
