"""Zoos by zoos: how well readouts of each are measured on each other, and which encoder is the best on average.

Cells are compared by Kendall's τ_b, since a readout may keep the order of another zoo's networks and miss their level.
An encoder that cannot embed a zoo's networks orders them at random: 0.

Shape letters: Z zoos.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.measuring.results import Result, sum_of_means
from analysis.reading.scopes import LAST
from analysis.statistics.intervals import Bootstrap, Interval
from trainables.readouts.metrics import KENDALL_TAU


@dataclass(frozen=True, kw_only=True)
class ZooMatrix:
    """What several encoders reach from zoo to zoo.

    Attributes:
        target: The column.
        zoos: Names of zoos.
        cells: For each encoder or baseline its results by (fitted on, told of), without labelled networks.
    """

    target: str
    zoos: tuple[str, ...]
    cells: Mapping[str, Mapping[tuple[str, str], Result]]

    @classmethod
    def of(cls, results: Sequence[Result], zoos: Sequence[str], target: str) -> ZooMatrix:
        """The matrix of a column; of several trials of an encoder the best on validation networks counts.

        Encoders that were not fitted to each zoo are left out.

        Args:
            results: All results; of each encoder the best trial first.
            zoos: Names of zoos.
            target: The column.
        """
        cells: dict[str, dict[tuple[str, str], Result]] = {}
        for result in results:
            asked = result.question
            if asked is None or (asked.target, asked.snapshots, asked.labelled) != (target, LAST, 0):
                continue
            if asked.fitted_on in zoos and asked.told_of in zoos:
                name = f"{result.name}, boosting" if asked.readout == "boosting" else result.name
                cells.setdefault(name, {}).setdefault((asked.fitted_on, asked.told_of), result)
        sources = {name: {source for source, _ in found} for name, found in cells.items()}
        whole = {name: found for name, found in cells.items() if sources[name] == set(zoos)}
        return cls(target=target, zoos=tuple(zoos), cells=whole)

    def table(self, name: str) -> np.ndarray:
        """τ_b of an encoder, ``[Z, Z]``: rows are the zoos fitted on, columns those told of; NaN where not measured."""
        return np.array([[self._value(name, source, zoo) for zoo in self.zoos] for source in self.zoos])

    def average(self, name: str, bootstrap: Bootstrap) -> Interval:
        """The mean over all cells in which another zoo is told of."""
        return self._mean({name: 1.0}, bootstrap)

    def margin(self, name: str, other: str, bootstrap: Bootstrap) -> Interval:
        """How much larger that mean is than another's, on the same networks."""
        return self._mean({name: 1.0, other: -1.0}, bootstrap)

    def ranked(self) -> list[str]:
        """Encoders and baselines, that with the largest mean first."""
        return sorted(self.cells, key=lambda name: -self.average(name, Bootstrap(replicates=2)).estimate)

    def learned(self, name: str) -> bool:
        """Whether it is an encoder, not a baseline."""
        return all(result.family != "control" for result in self.cells[name].values())

    @property
    def others(self) -> list[tuple[str, str]]:
        """The cells in which another zoo is told of, as far as anything was measured there."""
        told = {pair for found in self.cells.values() for pair, result in found.items() if result.metrics}
        return [(a, b) for a in self.zoos for b in self.zoos if a != b and (a, b) in told]

    def _value(self, name: str, source: str, zoo: str) -> float:
        result = self.cells[name].get((source, zoo))
        if result is None:
            return math.nan
        return result.metrics[KENDALL_TAU.name].estimate if result.metrics else 0.0

    def _mean(self, weights: Mapping[str, float], bootstrap: Bootstrap) -> Interval:
        """The mean over cells of a weighted sum over encoders, with its interval."""
        pairs = self.others
        if not pairs:
            return Interval(math.nan)
        measured = [(weight, [self.cells[name].get(pair) for pair in pairs]) for name, weight in weights.items()]
        weighed = [(w, [(one, KENDALL_TAU.name) for one in found if one and one.metrics]) for w, found in measured]
        return sum_of_means(weighed, len(pairs), bootstrap)
