"""Configurations of predictors; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.encoders.config import STATISTICS
from trainables.readouts.config import BoostingReadout, LinearReadout
from trainables.tasks.config import DESCRIPTIONS
from zoo.config import require

NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgeConfig(LinearReadout):
    """A linear readout of statistics of weights.

    Attributes:
        target: What is predicted: a column of the zoo. Numbers are regressed, names classified.
        statistics: Of each weight and bias tensor: "moments" (mean, variance), "quantiles" (1, 25, 50, 75, 99 %) or
            "all"; "none" where the task alone is to tell.
        describe: What is known beside weights of the task that a network was trained for, also of a task that no
            training network has: the mean image of each class ("class-means") or the task's embedding in a probe
            network ("task2vec"), from labeled training examples. Empty where tasks are not known.
    """

    target: str = "test_accuracy"
    statistics: str = "all"
    describe: str = ""

    def __post_init__(self) -> None:
        LinearReadout.__post_init__(self)
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoostingConfig(BoostingReadout):
    """Gradient boosting of trees on statistics of weights.

    Attributes:
        target: As in :class:`RidgeConfig`.
        statistics: As in :class:`RidgeConfig`.
        describe: As in :class:`RidgeConfig`.
    """

    target: str = "test_accuracy"
    statistics: str = "all"
    describe: str = ""

    def __post_init__(self) -> None:
        BoostingReadout.__post_init__(self)
        _check(self)


def _check(config: RidgeConfig | BoostingConfig) -> None:
    require(bool(config.target), config, "target", "the name of a column of the zoo")
    require(config.statistics in (*STATISTICS, NONE), config, "statistics", ", ".join((*STATISTICS, NONE)))
    require(config.describe in DESCRIPTIONS, config, "describe", "class-means, task2vec, or empty")
    require(bool(config.describe) or config.statistics != NONE, config, "statistics", "others where describe is empty")
