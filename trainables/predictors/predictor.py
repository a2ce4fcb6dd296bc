"""The seam of predictors: what one is, how it is fitted and judged on validation members, and what they predict.

Shape letters: M members, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, runtime_checkable

import numpy as np

from trainables.closed_form import ClosedFormFit
from trainables.predictors.scores import is_numeric, scores
from trainables.trainable import FitData, Reference, resolved
from zoo.population import Member, Population

# How members are trained, without what only tells them apart.
CHOSEN = tuple(
    field.name
    for field in fields(Member)
    if field.name not in ("id", "seed", "order_seed", "subset_seed", "subset_index")
)


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
    true_M = np.concatenate([target_of(population, predictor.target) for population in data.validation])
    predicted_M = np.concatenate([predictor.predict(population) for population in data.validation])
    kept = known(true_M)
    return scores(true_M[kept], predicted_M[kept])


def target_of(population: Population, target: str) -> np.ndarray:
    """A column of a population as it is predicted: numbers, or categories as text.

    Raises:
        ValueError: There is no such column; the message lists those there are.
    """
    column_M = population.column(target)
    return column_M.astype(np.float64) if is_numeric(column_M) else column_M.astype(str)


def strata_of(population: Population) -> np.ndarray:
    """A text that members of equal hyper-parameters, epoch and architecture have in common: ``[M]``."""
    chosen = [population.column(name) for name in (*CHOSEN, "epoch", "activation")]
    return np.array([repr((population.parameters, *values)) for values in zip(*chosen, strict=True)])


def known(target_M: np.ndarray) -> np.ndarray:
    """Which targets are known and finite, bool ``[M]``."""
    return np.isfinite(target_M) if is_numeric(target_M) else np.ones(len(target_M), dtype=bool)


def decided(outputs_MK: np.ndarray, categories: Sequence[str]) -> np.ndarray:
    """Numbers, or the names of the categories with the largest output; of two categories one output's sign decides."""
    if not categories:
        return outputs_MK[:, 0]
    number_M = outputs_MK.argmax(1) if outputs_MK.shape[1] > 1 else (outputs_MK[:, 0] > 0).astype(int)
    return np.array(categories)[number_M]
