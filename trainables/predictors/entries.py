"""The predictors, a line or two each; free of torch."""

from __future__ import annotations

from trainables.predictors.config import BoostingConfig, RidgeConfig
from trainables.predictors.metrics import PREDICTOR_METRICS
from trainables.trainable import Trainable


def _predictor(name: str, config: type[RidgeConfig] | type[BoostingConfig], description: str) -> Trainable:
    return Trainable(
        name=name,
        kind="predictor",
        config=config,
        metrics=PREDICTOR_METRICS,
        begin="trainables.predictors.fitting:begin",
        load="trainables.predictors.predictor:StatisticsPredictor.from_files",
        description=description,
    )


PREDICTORS: dict[str, Trainable] = {
    predictor.name: predictor
    for predictor in (
        _predictor("statistics-ridge", RidgeConfig, "Ridge regression on mean, variance and quantiles of each tensor."),
        _predictor(
            "statistics-boosting", BoostingConfig, "Gradient boosting on mean, variance and quantiles of each tensor."
        ),
    )
}
