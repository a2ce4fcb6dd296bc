"""What distances and norms of task embeddings agree with, with intervals over tasks.

Shape letters: T tasks or targets, S sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from analysis.statistics.intervals import Bootstrap, Interval
from zoo.metric import Metric

TAXONOMY_CORRELATION = Metric(
    name="taxonomy_correlation",
    label="rank correlation with taxonomy",
    direction="max",
    description="Spearman's ρ over pairs of tasks between their distance and whether their groups differ.",
)
TAXONOMY_ORDER = Metric(
    name="taxonomy_order",
    label="pairs in order",
    unit="share",
    direction="max",
    description="How often two tasks of one group are nearer than two of different groups; one half by chance.",
)
NEAREST_IN_GROUP = Metric(
    name="nearest_in_group",
    label="nearest in group",
    unit="share",
    direction="max",
    description="Share of tasks whose nearest other task is of their group.",
)
DIFFICULTY_CORRELATION = Metric(
    name="difficulty_correlation",
    label="rank correlation with error",
    direction="max",
    description="Spearman's ρ over tasks between the norm of the embedding and the error of the task's classifier.",
)
RELATION_METRICS = (TAXONOMY_CORRELATION, TAXONOMY_ORDER, NEAREST_IN_GROUP, DIFFICULTY_CORRELATION)


def with_taxonomy(
    distances_TT: np.ndarray, groups: Sequence[str], bootstrap: Bootstrap | None = None
) -> dict[str, Interval]:
    """How distances of tasks agree with the groups that they are of.

    Args:
        distances_TT: Distances of tasks, symmetric.
        groups: Of each task.
        bootstrap: How tasks are resampled; a task is never compared with itself.

    Raises:
        ValueError: There are not as many groups as tasks, no two tasks of one group, or of one group alone.
    """
    numbers_T = np.unique(np.asarray(groups), return_inverse=True)[1]
    if distances_TT.shape != (len(groups), len(groups)):
        raise ValueError(f"distances have shape {distances_TT.shape}; expected one row and column for each group given")
    if not 1 < len(set(groups)) < len(groups):
        raise ValueError("agreement with groups needs two tasks of one group, and tasks of two groups")

    def statistics(_: int, rows: np.ndarray) -> dict[str, float]:
        first, second = np.triu_indices(len(rows), 1)
        first, second = rows[first], rows[second]
        others = first != second
        first, second = first[others], second[others]
        differ = numbers_T[first] != numbers_T[second]
        found = _rank_agreement(distances_TT[first, second], differ)
        to_others = np.where(rows[:, None] == rows[None], np.inf, distances_TT[np.ix_(rows, rows)])
        nearest = rows[to_others.argmin(1)]
        return found | {NEAREST_IN_GROUP.name: float((numbers_T[nearest] == numbers_T[rows]).mean())}

    bounds = {
        TAXONOMY_CORRELATION.name: (-1.0, 1.0),
        TAXONOMY_ORDER.name: (0.0, 1.0),
        NEAREST_IN_GROUP.name: (0.0, 1.0),
    }
    return (bootstrap or Bootstrap()).of_statistics(statistics, len(groups), bounds=bounds)


def with_difficulty(norms_T: np.ndarray, errors_T: np.ndarray, bootstrap: Bootstrap | None = None) -> Interval:
    """Spearman's ρ between norms of embeddings and errors of classifiers."""

    def statistics(_: int, rows: np.ndarray) -> dict[str, float]:
        return {DIFFICULTY_CORRELATION.name: _spearman(norms_T[rows], errors_T[rows])}

    bounds = {DIFFICULTY_CORRELATION.name: (-1.0, 1.0)}
    found = (bootstrap or Bootstrap()).of_statistics(statistics, len(norms_T), bounds=bounds)
    return found[DIFFICULTY_CORRELATION.name]


def choice_of_source(
    errors_ST: np.ndarray, distances_ST: Mapping[str, np.ndarray], bootstrap: Bootstrap | None = None
) -> dict[str, Interval]:
    """The error on targets of the source that is nearest to each, beside what other choices give.

    Args:
        errors_ST: Error on each target with the features of each source.
        distances_ST: By name, distances of sources from targets; the nearest source is chosen.
        bootstrap: How targets are resampled.

    Returns:
        The mean error over targets for each distance by its name, of "random" (the mean over sources), "best on
        average" (for each target the source with the least mean error on all others) and "oracle" (the best source for
        each target); and as "gain of …" how much less a distance has than random choice, target by target.
    """
    targets = errors_ST.shape[1]
    every = np.arange(targets)
    # A target's own error takes no part in the choice of the source that is best for the others.
    on_others_ST = errors_ST.sum(1, keepdims=True) - errors_ST
    by_choice = {
        **{name: errors_ST[distances.argmin(0), every] for name, distances in distances_ST.items()},
        "random": errors_ST.mean(0),
        "best on average": errors_ST[on_others_ST.argmin(0), every],
        "oracle": errors_ST.min(0),
    }
    by_choice |= {f"gain of {name}": by_choice["random"] - by_choice[name] for name in distances_ST}

    def statistics(_: int, rows: np.ndarray) -> dict[str, float]:
        return {name: float(values_T[rows].mean()) for name, values_T in by_choice.items()}

    return (bootstrap or Bootstrap()).of_statistics(statistics, targets)


def _rank_agreement(distances: np.ndarray, differ: np.ndarray) -> dict[str, float]:
    """Spearman's ρ, and the area under the curve: how often a pair of one group is nearer than one of two."""
    apart, together = int(differ.sum()), int((~differ).sum())
    if not apart or not together:  # a resample that has drawn no two of one group tells nothing
        return {TAXONOMY_CORRELATION.name: 0.0, TAXONOMY_ORDER.name: 0.5}
    ranks = rankdata(distances)
    wins = ranks[differ].sum() - apart * (apart + 1) / 2
    return {TAXONOMY_CORRELATION.name: _spearman(ranks, differ), TAXONOMY_ORDER.name: wins / (apart * together)}


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    ranks = rankdata(first), rankdata(second)
    if min(ranks[0].std(), ranks[1].std()) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])
