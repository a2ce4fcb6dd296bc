"""Configurations of predictors; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import require

STATISTICS = ("all", "moments", "quantiles")


@dataclass(frozen=True, kw_only=True, slots=True)
class StatisticsConfig:
    """What is predicted, and from which statistics of weights.

    Attributes:
        target: What is predicted: a column of the zoo. Numbers are regressed, names classified.
        statistics: Of each weight and bias tensor: "moments" (mean, variance), "quantiles" (1, 25, 50, 75, 99 %) or
            "all".
    """

    target: str = "test_accuracy"
    statistics: str = "all"

    def __post_init__(self) -> None:
        require(bool(self.target), self, "target", "the name of a column of the zoo")
        require(self.statistics in STATISTICS, self, "statistics", ", ".join(STATISTICS))


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgeConfig(StatisticsConfig):
    """Ridge regression.

    Attributes:
        penalty: Weight of the squared coefficients, features standardized; 0 for the one of 1e3 … 1e-5 that is best
            on validation members.
    """

    penalty: float = 0.0

    def __post_init__(self) -> None:
        StatisticsConfig.__post_init__(self)
        require(self.penalty >= 0, self, "penalty", "0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class BoostingConfig(StatisticsConfig):
    """Gradient boosting of trees.

    Attributes:
        iterations: How many trees follow each other.
        learning_rate: Share of each tree's prediction that is added.
        leaves: Most leaves of a tree.
        leaf_members: Fewest snapshots in a leaf.
        l2: Penalty on the values of leaves.
        seed: Of the choice of the snapshots that features are binned by, where there are very many.
    """

    iterations: int = 200
    learning_rate: float = 0.1
    leaves: int = 31
    leaf_members: int = 20
    l2: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        StatisticsConfig.__post_init__(self)
        require(1 <= self.iterations <= 100_000, self, "iterations", "1 to 100,000")
        require(0 < self.learning_rate <= 1, self, "learning_rate", "more than 0, at most 1")
        require(self.leaves >= 2, self, "leaves", "2 or more")
        require(self.leaf_members >= 1, self, "leaf_members", "1 or more")
        require(self.l2 >= 0, self, "l2", "0 or more")
