"""Configurations of predictors; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.encoders.config import STATISTICS
from trainables.readouts.config import BoostingReadout, LinearReadout
from zoo.config import require


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgeConfig(LinearReadout):
    """A linear readout of statistics of weights.

    Attributes:
        target: What is predicted: a column of the zoo. Numbers are regressed, names classified.
        statistics: Of each weight and bias tensor: "moments" (mean, variance), "quantiles" (1, 25, 50, 75, 99 %) or
            "all".
    """

    target: str = "test_accuracy"
    statistics: str = "all"

    def __post_init__(self) -> None:
        LinearReadout.__post_init__(self)
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoostingConfig(BoostingReadout):
    """Gradient boosting of trees on statistics of weights.

    Attributes:
        target: As in :class:`RidgeConfig`.
        statistics: As in :class:`RidgeConfig`.
    """

    target: str = "test_accuracy"
    statistics: str = "all"

    def __post_init__(self) -> None:
        BoostingReadout.__post_init__(self)
        _check(self)


def _check(config: RidgeConfig | BoostingConfig) -> None:
    require(bool(config.target), config, "target", "the name of a column of the zoo")
    require(config.statistics in STATISTICS, config, "statistics", ", ".join(STATISTICS))
