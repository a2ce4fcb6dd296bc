"""Sets of values as rows of a table: quantiles and moments, histograms; and which of many to measure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

QUANTILES = {"minimum": 0, "p1": 1, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "p99": 99, "maximum": 100}
# More bins than twice the root of the number of values would show noise; fewer than these hardly a shape.
FEWEST_BINS = 8
Row = dict[str, Any]
# Of what a set of values is: metric, layout and tensor where it is of one, what it is grouped by, and the group.
KEYS: Row = {"metric": "", "layout": -1, "tensor": "", "by": "", "value": ""}


class Findings:
    """Collects described sets of values, one after the other."""

    def __init__(self) -> None:
        self._distributions: list[Row] = []
        self._histograms: list[Row] = []

    def add(self, values: Iterable[float], metric: str, *, edges: np.ndarray | None = None, **keys: Any) -> None:
        """Describes values of any shape, and bins the finite ones where ``edges`` are given.

        Args:
            values: The values.
            metric: What they are of.
            edges: Of bins.
            keys: Further ones of :data:`KEYS`.
        """
        keys = {**KEYS, "metric": metric, **keys}
        flat = np.asarray(values, dtype=np.float64).ravel()
        finite = flat[np.isfinite(flat)]
        row = {**keys, "count": len(finite), "missing": len(flat) - len(finite)}
        row |= dict.fromkeys(("mean", "sd", *QUANTILES), np.nan)
        if len(finite):
            row |= {"mean": finite.mean(), "sd": finite.std()}
            row |= dict(zip(QUANTILES, np.percentile(finite, list(QUANTILES.values())), strict=True))
        self._distributions.append(row)
        if edges is not None and len(finite):
            counts, _ = np.histogram(finite, edges)
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
                self._histograms.append(
                    {**keys, "low": low, "high": high, "count": count, "share": count / len(finite)}
                )

    @property
    def distributions(self) -> pd.DataFrame:
        """A row for each set of values.

        Its ``KEYS``, the ``count`` of finite values and of ``missing`` ones that are not, ``mean``, ``sd`` (of the
        values given, divided by their number) and ``QUANTILES``; NaN where there is no finite value.
        """
        return pd.DataFrame(self._distributions, columns=[*KEYS, "count", "missing", "mean", "sd", *QUANTILES])

    @property
    def histograms(self) -> pd.DataFrame:
        """A row for each bin: ``KEYS``, ``low`` and ``high`` edge, ``count``, and ``share`` of all finite values."""
        return pd.DataFrame(self._histograms, columns=[*KEYS, "low", "high", "count", "share"])


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


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """At most ``most`` of the numbers from 0 to below ``count``, the first and the last among them, increasing."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
