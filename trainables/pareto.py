"""Which trials of a study keep to its limits, and which of them no other beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zoo.metric import Metric

if TYPE_CHECKING:
    import pandas as pd


def pareto_rows(rates: Sequence[float], qualities: Sequence[float]) -> list[int]:
    """Rows that no other row beats (rate at most as high, quality at least as high, one of them strictly).

    Returns:
        Row numbers by increasing rate; of rows that are equal in both, the first. Their rates and qualities
        both increase strictly.
    """
    front: list[int] = []
    best = -math.inf
    for row in sorted(range(len(rates)), key=lambda row: (rates[row], -qualities[row], row)):
        if qualities[row] > best:
            front.append(row)
            best = qualities[row]
    return front


def within(trials: pd.DataFrame, limits: Mapping[str, float], metrics: Mapping[str, Metric]) -> pd.Series:
    """Which trials keep to the limits; a metric that was not measured has none."""
    import pandas as pd

    kept = pd.Series(data=True, index=trials.index)
    for name, limit in limits.items():
        if name in trials:
            sign = -1 if metrics[name].direction == "max" else 1
            kept &= ~(sign * trials[name].astype(float) > sign * limit)
    return kept


def unbeaten(trials: pd.DataFrame, objectives: Sequence[str], directions: Sequence[str]) -> list[int]:
    """Numbers of the trials that no other beats, by increasing cost of the first objective.

    An objective that no trial has a value of does not count: predictors of numbers have no accuracy.
    """
    measured = {name: sign for name, sign in zip(objectives, directions, strict=True) if name in trials}
    measured = {name: sign for name, sign in measured.items() if trials[name].notna().any()}
    if not measured:
        return []
    trials = trials[trials[list(measured)].notna().all(axis=1)]
    costs = [
        [(-1 if direction == "max" else 1) * float(value) for value in trials[name]]
        for name, direction in measured.items()
    ]
    if len(costs) == 2:
        front = pareto_rows(costs[0], [-value for value in costs[1]])
    else:
        points = list(zip(*costs, strict=True))
        front = [row for row, point in enumerate(points) if not any(_beats(other, point) for other in points)]
        front.sort(key=lambda row: points[row])
    return [int(trials["trial"].iloc[row]) for row in front]


def _beats(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    """Whether costs are nowhere higher and somewhere lower."""
    return left != right and all(a <= b for a, b in zip(left, right, strict=True))
