"""Fits of predictors, in closed form: one epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainables.closed_form import ClosedFormFit
from trainables.predictors.predictor import Predictor, PredictorType, validate
from trainables.trainable import FitData, Reference, resolved


def begin(predictor: Reference, config: Any, data: FitData) -> ClosedFormFit:
    """Begins a fit of a predictor's class; see :class:`trainables.predictors.predictor.PredictorType`."""
    predictor_type: PredictorType = resolved(predictor)  # type: ignore[assignment]
    return ClosedFormFit(config, data, fit=predictor_type.fit, measure=validate, load=predictor_type.from_files)


def load_predictor(predictor: Reference, files: Mapping[str, bytes]) -> Predictor:
    """The predictor that a fit has left."""
    predictor_type: PredictorType = resolved(predictor)  # type: ignore[assignment]
    return predictor_type.from_files(files)
