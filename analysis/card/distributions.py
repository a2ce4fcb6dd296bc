"""Distributions as numbers: quantiles, moments and histograms of a set of values; and which of many to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A histogram of weights spans these quantiles: a few outliers would otherwise press it into one bar.
HISTOGRAM_QUANTILES = (0.001, 0.999)


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """A set of values in a few numbers; all ``None`` where there is no finite value.

    Attributes:
        count: Finite values.
        missing: Values that are NaN or infinite, and left out of all else.
        mean: Their mean.
        sd: Standard deviation (of the values given, divided by their number).
        minimum: Lowest.
        p1: 1st percentile; so on to ``p99``.
        p5: 5th percentile.
        p25: 25th percentile.
        median: 50th percentile.
        p75: 75th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
        maximum: Highest.
    """

    count: int
    missing: int
    mean: float | None = None
    sd: float | None = None
    minimum: float | None = None
    p1: float | None = None
    p5: float | None = None
    p25: float | None = None
    median: float | None = None
    p75: float | None = None
    p95: float | None = None
    p99: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Counts of values between edges; values beyond the outer edges are counted in ``below`` and ``above``."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0


def distribution(values: np.ndarray) -> Distribution:
    """Describes values of any shape."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    if not len(finite):
        return Distribution(count=0, missing=len(flat))
    percentiles = np.percentile(finite, (0, 1, 5, 25, 50, 75, 95, 99, 100)).tolist()
    names = ("minimum", "p1", "p5", "p25", "median", "p75", "p95", "p99", "maximum")
    return Distribution(
        count=len(finite),
        missing=len(flat) - len(finite),
        mean=float(finite.mean()),
        sd=float(finite.std()),
        **dict(zip(names, percentiles, strict=True)),
    )


def histogram(values: np.ndarray, edges: Sequence[float]) -> Histogram:
    """Counts finite values between increasing edges; the last bin includes its upper edge."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    counts, _ = np.histogram(flat, np.asarray(edges))
    return Histogram(
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        below=int((flat < edges[0]).sum()),
        above=int((flat > edges[-1]).sum()),
    )


def even_edges(values: np.ndarray, bins: int) -> tuple[float, ...]:
    """Edges of equally wide bins over all finite values."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    return _spread(float(flat.min()), float(flat.max()), bins) if len(flat) else _spread(0.0, 1.0, bins)


def core_edges(values: np.ndarray, bins: int) -> tuple[float, ...]:
    """Edges of equally wide bins over all finite values but the outermost; see ``HISTOGRAM_QUANTILES``."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    low, high = np.quantile(flat, HISTOGRAM_QUANTILES).tolist() if len(flat) else (0.0, 1.0)
    return _spread(low, high, bins)


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """At most ``most`` of the numbers from 0 to below ``count``, the first and the last among them, increasing."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def _spread(low: float, high: float, bins: int) -> tuple[float, ...]:
    if high <= low:
        margin = max(abs(low), 1.0) * 1e-3
        low, high = low - margin, high + margin
    return tuple(np.linspace(low, high, bins + 1).tolist())
