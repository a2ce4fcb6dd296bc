"""The seam of predictors: what one is, and how it is judged on validation members.

Shape letters: M members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from trainables.readouts.columns import known, targets_of
from trainables.readouts.scores import scores
from trainables.trainable import FitData
from zoo.data.examples import Dataset
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


@runtime_checkable
class KnowsTasks(Predictor, Protocol):
    """A predictor that knows the tasks of networks beside their weights."""

    def for_tasks_of(self, dataset: Dataset, populations: Sequence[Population]) -> Predictor:
        """The predictor for networks of other tasks, if it knows of tasks at all; nothing is fitted anew.

        Args:
            dataset: What the networks were trained on; its training examples describe their tasks.
            populations: The networks, of which nothing but their tasks is read.
        """
        ...


def validate(predictor: Predictor, data: FitData) -> dict[str, float]:
    """The metrics on validation members whose target is known.

    Raises:
        ValueError: There are none.
    """
    true_M = targets_of(data.validation, predictor.target)
    kept = known(true_M)
    if not kept.any():
        raise ValueError(
            f"target {predictor.target!r} is known of none of the {len(true_M)} validation networks, on which "
            "predictors are judged; take more members, or a target that is known of some"
        )
    predicted_M = np.concatenate([predictor.predict(population) for population in data.validation])
    return scores(true_M[kept], predicted_M[kept])
