"""Amortization, envelopes and Bjøntegaard differences against arithmetic done by hand."""

import math

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from analysis.compression.rates import (
    Point,
    amortization,
    bd_rate,
    break_even_models,
    compression_ratio,
    envelope,
    point_at_quality,
    total_bits_per_weight,
)
from trainables.pareto import pareto_rows


def test_total_is_code_plus_share():
    # 1000 weights; 250 bytes of code are 2 bits a weight, 1 MB over 4000 models another 2.
    assert total_bits_per_weight(2.0, 1_000_000, 1000, 4000) == pytest.approx(4.0)
    assert total_bits_per_weight(2.0, 1_000_000, 1000, math.inf) == 2.0
    assert compression_ratio(4.0) == 8.0
    assert compression_ratio(0.0) == math.inf
    with pytest.raises(ValueError, match="models is 0"):
        total_bits_per_weight(2.0, 1, 1000, 0)


def test_amortization_columns():
    columns = amortization(1.0, 1250, 1000)
    assert columns["total_bits_per_weight_1"] == 11.0
    assert columns["total_bits_per_weight_1000"] == pytest.approx(1.01)
    assert columns["compression_ratio_inf"] == 32.0
    assert len(columns) == 10


def test_break_even_is_where_totals_meet():
    models = break_even_models(0.5, 80_000, 1210, 2.0)
    assert total_bits_per_weight(0.5, 80_000, 1210, models) == pytest.approx(2.0)
    assert break_even_models(2.0, 80_000, 1210, 2.0) is None
    assert break_even_models(0.5, 0, 1210, 2.0) == 1.0
    assert break_even_models(0.5, 1210, 1210, math.inf) == 1.0


def test_pareto_rows_equal_brute_force():
    generator = np.random.default_rng(0)
    rates, qualities = generator.integers(0, 12, 60).tolist(), generator.integers(0, 12, 60).tolist()
    points = list(zip(rates, qualities, strict=True))
    best = {point for point in points if not any(o[0] <= point[0] and o[1] >= point[1] and o != point for o in points)}
    rows = pareto_rows(rates, qualities)
    assert {points[row] for row in rows} == best
    assert len(rows) == len(best)
    assert [points[row] for row in rows] == sorted(best)


CURVE = [
    Point(rate=1.0, quality=0.90, shared_bytes=100),
    Point(rate=4.0, quality=0.98, shared_bytes=300),
    Point(rate=2.0, quality=0.80, shared_bytes=0),  # beaten by the first
    Point(rate=8.0, quality=0.99, shared_bytes=300),
]


def test_rate_at_quality_is_linear_in_the_logarithm():
    point = point_at_quality(CURVE, 0.94)
    assert point.rate == pytest.approx(2.0)  # half-way from 1 to 4 in logarithms
    assert point.shared_bytes == pytest.approx(200)
    assert [p.rate for p in envelope(CURVE)] == [1.0, 4.0, 8.0]


def test_rate_at_quality_does_not_extrapolate():
    assert point_at_quality(CURVE, 0.995) is None
    assert point_at_quality([], 0.5) is None
    assert point_at_quality(CURVE, 0.5).rate == 1.0
    assert point_at_quality([Point(rate=0.0, quality=0.7), *CURVE], 0.85).rate == 1.0
    assert point_at_quality(CURVE, 0.98).rate == pytest.approx(4.0)


def test_between_codecs_of_their_own_there_is_nothing():
    assert point_at_quality(CURVE, 0.94, between=False) == CURVE[1]
    assert point_at_quality(CURVE, 0.90, between=False) == CURVE[0]
    assert point_at_quality(CURVE, 0.995, between=False) is None


RATES = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
KL = np.array([1.0, 0.3, 0.08, 0.01, 0.0005])


def test_bd_rate_of_a_scaled_curve_is_its_factor():
    assert bd_rate(0.5 * RATES, KL, RATES, KL) == pytest.approx(-50)
    assert bd_rate(3 * RATES, KL, RATES, KL) == pytest.approx(200)
    assert bd_rate(RATES, KL, RATES, KL) == pytest.approx(0, abs=1e-9)


def test_bd_rate_is_antisymmetric_and_equals_a_numeric_integral():
    other_rates, other_kl = np.array([0.3, 0.9, 2.5, 5.0]), np.array([0.8, 0.2, 0.02, 0.002])
    there, back = bd_rate(other_rates, other_kl, RATES, KL), bd_rate(RATES, KL, other_rates, other_kl)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)
    grid = np.linspace(-math.log(0.8), -math.log(0.002), 20_001)
    gap = PchipInterpolator(-np.log(other_kl), np.log(other_rates))(grid) - PchipInterpolator(
        -np.log(KL), np.log(RATES)
    )(grid)
    assert there == pytest.approx(100 * (math.exp(np.trapezoid(gap, grid) / (grid[-1] - grid[0])) - 1), rel=1e-6)


def test_bd_rate_uses_the_envelope():
    worse = (np.append(RATES, 6.0), np.append(KL, 0.5))
    assert bd_rate(*worse, RATES, KL) == pytest.approx(0, abs=1e-9)


def test_bd_rate_needs_overlap_and_logarithms():
    assert bd_rate(RATES, KL * 1e-6, RATES, KL) is None
    assert bd_rate(RATES[:1], KL[:1], RATES, KL) is None
    assert bd_rate([0.0, 16.0], [0.5, 0.0], RATES, KL) is None
