"""The seam of predictors: what one is, and how it is judged on validation members.

Shape letters: M members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from trainables.closed_form import ClosedFormFit
from trainables.readouts.columns import known, targets_of
from trainables.readouts.scores import scores
from trainables.trainable import FitData, Reference, resolved
from zoo.population import Population


@runtime_checkable
class Predictor(Protocol):
    """Tells something of networks from their weights: what a fit of this kind leaves behind."""

    @property
    def target(self) -> str:
        """What it predicts: a column of populations."""
        ...

    def predict(self, population: Population) -> np.ndarray:
        """For each member a number, float64, or the name of a category: ``[M]``."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        ...


class PredictorType(Protocol):
    """What a predictor's class offers beside the predictor itself."""

    def fit(self, config: Any, data: FitData) -> Predictor:
        """The predictor for a configuration, which has a field ``target``, from training members of any layouts."""
        ...

    def from_files(self, files: Mapping[str, bytes]) -> Predictor:
        """The inverse of the predictor's ``to_files``."""
        ...


def begin(predictor: Reference, config: Any, data: FitData) -> ClosedFormFit:
    """Begins a fit of a predictor's class, in closed form; see :class:`PredictorType`."""
    predictor_type: PredictorType = resolved(predictor)  # type: ignore[assignment]
    return ClosedFormFit(config, data, fit=predictor_type.fit, measure=validate, load=predictor_type.from_files)


def load_predictor(predictor: Reference, files: Mapping[str, bytes]) -> Predictor:
    """The predictor that a fit has left."""
    predictor_type: PredictorType = resolved(predictor)  # type: ignore[assignment]
    return predictor_type.from_files(files)


def validate(predictor: Predictor, data: FitData) -> dict[str, float]:
    """The metrics on validation members."""
    true_M = targets_of(data.validation, predictor.target)
    predicted_M = np.concatenate([predictor.predict(population) for population in data.validation])
    kept = known(true_M)
    return scores(true_M[kept], predicted_M[kept])
