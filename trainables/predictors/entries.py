"""The predictors, a line or two each; free of torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from trainables.predictors.config import BoostingConfig, RidgeConfig
from trainables.readouts.metrics import PREDICTOR_METRICS
from trainables.trainable import Reference, Trainable, call


def predictor(name: str, implementation: Reference, config: type[Any], *, description: str) -> Trainable:
    """A registry entry for a predictor that is fitted in one go.

    Args:
        name: Its name.
        implementation: Its class, with the methods of ``trainables.closed_form.ClosedFormType``; or
            ``module:Class``.
        config: Its settings, a field ``target`` among them.
        description: One sentence.
    """
    return Trainable(
        name=name,
        kind="predictor",
        config=config,
        metrics=PREDICTOR_METRICS,
        begin=partial(call, "trainables.closed_form:begin", implementation, "trainables.predictors.predictor:validate"),
        load=partial(call, "trainables.closed_form:load", implementation),
        description=description,
    )


STATISTICS_PREDICTOR = "trainables.predictors.statistics_predictor:StatisticsPredictor"
PREDICTORS: dict[str, Trainable] = {
    entry.name: entry
    for entry in (
        predictor(
            "statistics-ridge",
            STATISTICS_PREDICTOR,
            RidgeConfig,
            description="Ridge regression on mean, variance and quantiles of each tensor.",
        ),
        predictor(
            "statistics-boosting",
            STATISTICS_PREDICTOR,
            BoostingConfig,
            description="Gradient boosting on mean, variance and quantiles of each tensor.",
        ),
    )
}
