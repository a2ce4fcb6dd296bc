"""Fits of predictors, in closed form: one epoch."""

from __future__ import annotations

from trainables.closed_form import ClosedFormFit
from trainables.predictors.config import BoostingConfig, RidgeConfig
from trainables.predictors.predictor import StatisticsPredictor, fit, validate
from trainables.trainable import FitData


def begin(config: RidgeConfig | BoostingConfig, data: FitData) -> ClosedFormFit:
    """Begins a fit."""
    return ClosedFormFit(config, data, fit=fit, measure=validate, load=StatisticsPredictor.from_files)
