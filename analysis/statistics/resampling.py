"""Scores of predictions on any resample of groups of members, all replicates of a bootstrap at once.

A resample is a vector of how often each group is drawn. R² and mean errors are functions of sums over groups;
Kendall's τ_b is one of sums over pairs of groups, so that a thousand replicates are two matrix products where sorting
each resample anew would take minutes.

Shape letters: M members (or snapshots of members), G groups of members, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from analysis.statistics.groups import evenly_spaced
from trainables.readouts.columns import is_numeric
from trainables.readouts.metrics import (
    ACCURACY,
    KENDALL_TAU,
    KENDALL_TAU_SHARE,
    KENDALL_TAU_WITHIN,
    MEAN_ABSOLUTE_ERROR,
    R2,
)
from trainables.readouts.scores import scores

# Pairs among more snapshots are not all looked at for the spread of τ: of each group some snapshots stand for it.
PAIRED = 2500


class ResampledScores:
    """Scores of one fit's predictions, whole and resampled.

    Args:
        true_M: Targets, numbers or categories.
        predicted_M: Predictions.
        group_M: For each the number of its group, 0 to G - 1.
        strata_M: Equal for members of equal hyper-parameters; ``None`` where τ within strata is not asked.
    """

    def __init__(
        self, true_M: np.ndarray, predicted_M: np.ndarray, group_M: np.ndarray, strata_M: np.ndarray | None = None
    ) -> None:
        self.whole = scores(true_M, predicted_M, strata_M)
        self.groups = int(group_M.max()) + 1
        if not is_numeric(true_M):
            self._sums = {"right": self._summed(true_M == predicted_M, group_M), "one": self._summed(1.0, group_M)}
            return
        moved_M = true_M - true_M.mean()  # so that variances do not cancel
        error_M = predicted_M - true_M
        terms = {"one": 1.0, "true": moved_M, "square": moved_M**2, "error": error_M**2, "distance": np.abs(error_M)}
        self._sums = {name: self._summed(values, group_M) for name, values in terms.items()}
        chosen = some_of_each(group_M, PAIRED)
        self._pairs = Pairs(true_M[chosen], predicted_M[chosen], group_M[chosen], self.groups)
        self._strata = None if strata_M is None else _Strata(true_M, predicted_M, group_M, strata_M)

    def resampled(self, counts_BG: np.ndarray) -> Mapping[str, np.ndarray]:
        """The scores of resamples, ``[B]`` each, under the names in :attr:`whole`."""
        counts_BG = counts_BG.astype(np.float64)
        sums = {name: counts_BG @ sums_G for name, sums_G in self._sums.items()}
        if "right" in sums:
            return {ACCURACY.name: sums["right"] / sums["one"]}
        spread_B = sums["square"] - sums["true"] ** 2 / sums["one"]
        even_B = spread_B <= 1e-12 * np.maximum(sums["square"], 1e-300)
        ratio_B = sums["error"] / np.where(even_B, 1.0, spread_B)
        tau_B, share_B = self._taus(counts_BG)
        # Of a subset of the snapshots: its spread about the value of all.
        whole_tau, whole_share = (values[0] for values in self._taus(np.ones((1, self.groups))))
        within = {} if self._strata is None else {KENDALL_TAU_WITHIN.name: self._strata.taus(counts_BG)}
        return {
            R2.name: np.where(even_B, (sums["error"] == 0).astype(np.float64), 1 - ratio_B),
            KENDALL_TAU.name: tau_B + (self.whole[KENDALL_TAU.name] - whole_tau),
            KENDALL_TAU_SHARE.name: share_B + (self.whole[KENDALL_TAU_SHARE.name] - whole_share),
            **within,
            MEAN_ABSOLUTE_ERROR.name: sums["distance"] / sums["one"],
        }

    def _taus(self, counts_BG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """τ_b, and its share of the largest one."""
        tau_B, largest_B = self._pairs.taus(counts_BG)
        return tau_B, _ratio(tau_B, largest_B)

    def _summed(self, values: np.ndarray | float, group_M: np.ndarray) -> np.ndarray:
        weights_M = np.broadcast_to(np.asarray(values, dtype=np.float64), group_M.shape)
        return np.bincount(group_M, weights=weights_M, minlength=self.groups)


class Pairs:
    """For each two groups how many pairs of their members are in the same order, less those in the opposite one.

    Args:
        true_M: Targets.
        predicted_M: Predictions.
        group_M: Numbers of groups.
        groups: G.
    """

    def __init__(self, true_M: np.ndarray, predicted_M: np.ndarray, group_M: np.ndarray, groups: int) -> None:
        order = np.argsort(group_M, kind="stable")
        present, starts = np.unique(group_M[order], return_index=True)
        signs_true, signs_predicted = (
            np.sign(values_M[order][:, None] - values_M[order]).astype(np.float32) for values_M in (true_M, predicted_M)
        )
        self._agree_GG = _between(signs_true * signs_predicted, present, starts, groups)
        self._true_GG = _between(np.abs(signs_true), present, starts, groups)
        self._predicted_GG = _between(np.abs(signs_predicted), present, starts, groups)
        self._size_G = np.bincount(group_M, minlength=groups).astype(np.float64)

    def taus(self, counts_BG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kendall's τ_b of resamples, and the largest that ties of the targets allow: ``[B]`` each."""
        drawn_BG = counts_BG.astype(np.float32)
        agree_B, true_B, predicted_B = (
            np.einsum("bg,bg->b", drawn_BG @ pairs_GG, drawn_BG, dtype=np.float64)
            for pairs_GG in (self._agree_GG, self._true_GG, self._predicted_GG)
        )
        size_B = counts_BG @ self._size_G
        return _ratio(agree_B, np.sqrt(true_B * predicted_B)), np.sqrt(_ratio(true_B, size_B * (size_B - 1)))


class _Strata:
    """Kendall's τ_b in each stratum, the mean weighted by pairs, of resamples; see ``scores.tau_within``."""

    def __init__(self, true_M: np.ndarray, predicted_M: np.ndarray, group_M: np.ndarray, strata_M: np.ndarray) -> None:
        order = np.argsort(strata_M, kind="stable")
        ends = np.flatnonzero(strata_M[order][1:] != strata_M[order][:-1]) + 1
        self._parts = []
        for rows in np.split(order, ends):
            if len(rows) > 1 and np.ptp(true_M[rows]) > 0:
                places, local = np.unique(group_M[rows], return_inverse=True)
                pairs = Pairs(true_M[rows], predicted_M[rows], local, len(places))
                self._parts.append((places, np.bincount(local).astype(np.float64), pairs))

    def taus(self, counts_BG: np.ndarray) -> np.ndarray:
        """The mean τ_b of resamples, ``[B]``; a stratum whose drawn members have equal targets does not count."""
        total_B, pairs_B = np.zeros(len(counts_BG)), np.zeros(len(counts_BG))
        for places, sizes_G, pairs in self._parts:
            drawn_BG = counts_BG[:, places]
            tau_B, largest_B = pairs.taus(drawn_BG)
            size_B = drawn_BG @ sizes_G
            weight_B = size_B * (size_B - 1) * (largest_B > 0)
            total_B += weight_B * tau_B
            pairs_B += weight_B
        return _ratio(total_B, pairs_B)


def some_of_each(group_M: np.ndarray, most: int) -> np.ndarray:
    """Rows of at most about ``most`` snapshots, evenly apart in each group and at least one of each: increasing."""
    if len(group_M) <= most:
        return np.arange(len(group_M))
    order = np.argsort(group_M, kind="stable")
    _, sizes = np.unique(group_M[order], return_counts=True)
    each = max(1, most // len(sizes))
    starts = np.cumsum([0, *sizes[:-1]])
    chosen = [start + np.array(evenly_spaced(size, each)) for start, size in zip(starts, sizes, strict=True)]
    return np.sort(order[np.concatenate(chosen)])


def _between(signs_MM: np.ndarray, present: np.ndarray, starts: np.ndarray, groups: int) -> np.ndarray:
    """Sums over pairs of groups ``[G, G]``, of a matrix whose rows and columns are sorted by group."""
    if len(present) == len(signs_MM) == groups:
        return signs_MM
    sums = np.add.reduceat(np.add.reduceat(signs_MM, starts, axis=0), starts, axis=1)
    all_GG = np.zeros((groups, groups), dtype=np.float32)
    all_GG[np.ix_(present, present)] = sums
    return all_GG


def _ratio(above_B: np.ndarray, below_B: np.ndarray) -> np.ndarray:
    """A quotient; 0 where nothing is below."""
    return np.divide(above_B, below_B, out=np.zeros_like(above_B), where=below_B > math.ulp(0.0))
