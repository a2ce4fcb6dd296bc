"""Sets of values as pages show them: quantiles and moments as a row of a table, edges of the bins of a histogram."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

QUANTILES = {"minimum": 0, "p1": 1, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "p99": 99, "maximum": 100}
DESCRIBED = ("count", "missing", "mean", "sd", *QUANTILES)
# More bins than twice the root of the number of values would show noise; fewer than these hardly a shape.
FEWEST_BINS = 8


def described(values: Iterable[float]) -> dict[str, float]:
    """What is said of a set of values of any shape, a value for each of ``DESCRIBED``.

    Returns:
        The ``count`` of finite values and of ``missing`` ones that are not; ``mean``, ``sd`` (of the values given,
        divided by their number) and ``QUANTILES`` of the finite ones, NaN where there are none.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    row = dict.fromkeys(DESCRIBED, math.nan) | {"count": len(finite), "missing": len(flat) - len(finite)}
    if len(finite):
        row |= {"mean": finite.mean(), "sd": finite.std()}
        row |= dict(zip(QUANTILES, np.percentile(finite, list(QUANTILES.values())), strict=True))
    return row


def described_each(sets: Iterable[Iterable[float]]) -> pd.DataFrame:
    """A row of :func:`described` for each set of values, as bands and boxes are drawn of."""
    return pd.DataFrame([described(values) for values in sets], columns=DESCRIBED)


def even_edges(values: Iterable[float], number: int, *, logarithmic: bool = False) -> np.ndarray:
    """Edges of so many bins, equally wide (in logarithms, if so wished); of fewer where there are few values.

    Args:
        values: What they are for.
        number: How many bins, at most.
        logarithmic: Whether bins are equally wide in logarithms; the values are above 0 then.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    number = min(number, max(FEWEST_BINS, round(2 * math.sqrt(len(finite)))))
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    if high <= low:
        margin = max(abs(low), 1.0) * 1e-3
        low, high = low - margin, high + margin
    return np.geomspace(low, high, number + 1) if logarithmic else np.linspace(low, high, number + 1)
