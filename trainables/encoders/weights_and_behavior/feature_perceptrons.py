"""What perceptrons tell of networks from their features, one for each fold and view of the features; see ``folds``.

Ridge regressions and trees beside them told validation networks' columns no better, and readouts of the more outputs
worse. Some perceptrons see some of the features alone: where behavior tells most columns best, one that sees weights
alone tells initializations and optimizers better.

Shape letters: M members, F features, K outputs of a perceptron, V views of the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.encoders.weights_and_behavior.columns import under
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.encoders.weights_and_behavior.folds import FOLDS
from trainables.encoders.weights_and_behavior.normal_scores import NormalScores
from trainables.encoders.weights_and_behavior.perceptrons import Perceptrons
from trainables.readouts.columns import categories_of, known
from trainables.readouts.ridge import Standardization

FARTHEST = 4.0


@dataclass(frozen=True)
class FeaturePerceptrons:
    """Fitted without a fold of the training networks each.

    Attributes:
        scores: Of the features.
        standardization: Of what perceptrons see.
        perceptrons: One for each fold and view, folds first.
        range_2K: The least and the largest standardized target of each output; none is predicted beyond these.
    """

    scores: NormalScores
    standardization: Standardization
    perceptrons: Perceptrons
    range_2K: np.ndarray

    @classmethod
    def fit(
        cls,
        config: WeightsAndBehaviorConfig,
        features_MF: np.ndarray,
        columns: Sequence[np.ndarray],
        fold_M: np.ndarray,
        views_VF: np.ndarray,
        generator: torch.Generator,
    ) -> FeaturePerceptrons:
        """Fits the perceptrons.

        Args:
            config: Sizes.
            features_MF: Of training networks; NaN where missing.
            columns: What is learned, numbers or categories; see :func:`wanted_outputs`.
            fold_M: The fold of each.
            views_VF: Which features each perceptron of a fold sees, bool.
            generator: For all that is drawn.
        """
        scores = NormalScores.of(features_MF)
        both_MF = np.hstack([features_MF, scores(features_MF)]).astype(np.float64)
        wanted_MK, weight_K = wanted_outputs(columns)
        standardization = Standardization.of(both_MF)
        seen_VF = np.tile(views_VF, 2)
        # Which features a network has is seen by whoever sees the features.
        seen_VF = np.hstack([seen_VF, seen_VF[:, standardization.gaps_G]])
        perceptrons = Perceptrons.fit(
            _near(standardization, both_MF),
            torch.from_numpy(wanted_MK).float(),
            torch.from_numpy(weight_K).float(),
            [torch.from_numpy(np.flatnonzero(fold_M != fold)) for fold in range(FOLDS) for _ in views_VF],
            torch.from_numpy(np.tile(seen_VF, (FOLDS, 1))),
            width=config.width,
            passes=config.passes,
            learning_rate=config.learning_rate,
            generator=generator,
        )
        range_2K = np.stack([np.nanmin(wanted_MK, axis=0), np.nanmax(wanted_MK, axis=0)])
        return cls(scores, standardization, perceptrons, range_2K)

    def outputs(self, features_MF: np.ndarray) -> np.ndarray:
        """What each fold's perceptrons say, one view's outputs after another's: float32 ``[FOLDS, M, V K]``."""
        both_MF = np.hstack([features_MF, self.scores(features_MF)]).astype(np.float64)
        by_each = self.perceptrons.outputs(_near(self.standardization, both_MF)).numpy().clip(*self.range_2K[:, None])
        each, members, outputs = by_each.shape
        by_view = by_each.reshape(FOLDS, each // FOLDS, members, outputs).swapaxes(1, 2)
        return by_view.reshape(FOLDS, members, each // FOLDS * outputs)

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors; :meth:`from_tensors` is the inverse."""
        arrays = {"quantile": self.scores.quantile_QF, "range": self.range_2K}
        arrays |= {f"standardization/{name}": array for name, array in vars(self.standardization).items()}
        found = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        return found | {f"perceptrons/{name}": tensor for name, tensor in self.perceptrons.tensors().items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> FeaturePerceptrons:
        """The inverse of :meth:`tensors`."""
        return cls(
            scores=NormalScores(tensors["quantile"].numpy()),
            standardization=Standardization(
                **{name: tensor.numpy() for name, tensor in under("standardization/", tensors).items()}
            ),
            perceptrons=Perceptrons.from_tensors(under("perceptrons/", tensors)),
            range_2K=tensors["range"].numpy(),
        )


def wanted_outputs(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(standardized numbers, and a standardized indicator of each category: ``[M, K]``; what each counts: ``[K]``).

    What is not known is NaN. All columns count the same.
    """
    parts: list[np.ndarray] = []
    counts: list[float] = []
    for column_M in columns:
        categories = categories_of(column_M)
        several = [column_M == each for each in categories] if categories else [column_M]
        several_MK = np.stack(several, axis=1).astype(np.float64)
        several_MK[~known(column_M)] = np.nan
        parts.append((several_MK - np.nanmean(several_MK, axis=0)) / np.nanstd(several_MK, axis=0))
        counts += [1 / len(several)] * len(several)
    return np.concatenate(parts, axis=1), np.array(counts)


def _near(standardization: Standardization, both_MF: np.ndarray) -> Tensor:
    return torch.from_numpy(standardization(both_MF).clip(-FARTHEST, FARTHEST)).float()
