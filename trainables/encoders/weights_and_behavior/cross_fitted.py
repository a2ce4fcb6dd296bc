"""A learned head whose outputs can be trusted on the networks that it was fitted to, too.

A readout that is fitted to outputs of a head on the head's own training networks takes them for better than they are.
So one head is fitted without each fold of the members, as in stacking (Wolpert, "Stacked generalization", Neural
Networks 5, 1992): a network of the training set gets the outputs of the one that has not seen it, any other the mean
of all. The training networks are known again by the sum of their squared weights, which the order of hidden units does
not change. Folds are of members, not of all those that share a minibatch order: these may share other choices too, and
a head that has never met a category says nothing of what readouts may expect of it.

Heads are perceptrons. Ridge regressions and trees beside them told validation networks' columns no better, and
readouts of the more outputs worse. Some perceptrons see some of the features alone: where behavior tells most columns
best, one that sees weights alone tells initializations and optimizers better.

Shape letters: M members, F features, K outputs of a perceptron, V views of the features, N training networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.encoders.weights_and_behavior.columns import under
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.encoders.weights_and_behavior.normal_scores import NormalScores
from trainables.encoders.weights_and_behavior.perceptrons import Perceptrons
from trainables.readouts.columns import categories_of, known
from trainables.readouts.ridge import Standardization

FOLDS = 5
FARTHEST = 4.0
SAME = 1e-10


@dataclass(frozen=True)
class CrossFitted:
    """Heads for all columns, one for each fold of the training members.

    Attributes:
        scores: Of the features.
        standardization: Of what perceptrons see.
        perceptrons: One for each fold and view, folds first.
        range_2K: The least and the largest standardized target of each output; none is predicted beyond these.
        key_N: What training networks are known by, increasing, float64.
        fold_N: The fold of each.
    """

    scores: NormalScores
    standardization: Standardization
    perceptrons: Perceptrons
    range_2K: np.ndarray
    key_N: np.ndarray
    fold_N: np.ndarray

    @classmethod
    def fit(
        cls,
        config: WeightsAndBehaviorConfig,
        features_MF: np.ndarray,
        columns: Sequence[np.ndarray],
        key_M: np.ndarray,
        member_M: np.ndarray,
        views_VF: np.ndarray,
    ) -> CrossFitted:
        """Fits the heads.

        Args:
            config: Sizes.
            features_MF: Of training networks; NaN where missing.
            columns: What is learned, numbers or categories; see :func:`wanted_outputs`.
            key_M: What the networks are known by; see :func:`keys_of`.
            member_M: Number of each network's member; snapshots of one lie in one fold.
            views_VF: Which features each perceptron of a fold sees, bool.

        Raises:
            ValueError: There are fewer members than folds.
        """
        ids, number_M = np.unique(member_M, return_inverse=True)
        if len(ids) < FOLDS:
            raise ValueError(
                f"the training networks are of {len(ids)} members; a head needs {FOLDS} or more: take more members "
                "or head=false"
            )
        generator = torch.Generator().manual_seed(config.seed)
        fold_M = (torch.randperm(len(ids), generator=generator).numpy() % FOLDS)[number_M]
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
        order = np.argsort(key_M, kind="stable")
        range_2K = np.stack([np.nanmin(wanted_MK, axis=0), np.nanmax(wanted_MK, axis=0)])
        return cls(scores, standardization, perceptrons, range_2K, key_M[order], fold_M[order])

    def outputs(self, features_MF: np.ndarray, key_M: np.ndarray) -> np.ndarray:
        """Outputs, those of one view after those of another: float32 ``[M, V K]``."""
        both_MF = np.hstack([features_MF, self.scores(features_MF)]).astype(np.float64)
        by_each = self.perceptrons.outputs(_near(self.standardization, both_MF)).numpy().clip(*self.range_2K[:, None])
        each, members, outputs = by_each.shape
        by_view = by_each.reshape(FOLDS, each // FOLDS, members, outputs).swapaxes(1, 2)
        by_fold = by_view.reshape(FOLDS, members, each // FOLDS * outputs)
        fold_M = self.folds(key_M)
        own_M = by_fold[fold_M.clip(min=0), np.arange(len(fold_M))]
        return np.where((fold_M >= 0)[:, None], own_M, by_fold.mean(0)).astype(np.float32)

    def folds(self, key_M: np.ndarray) -> np.ndarray:
        """The fold of each network, -1 for those that are not in the training set: int64 ``[M]``."""
        after_M = np.searchsorted(self.key_N, key_M)
        fold_M = np.full(len(key_M), -1)
        for place_M in (after_M.clip(max=len(self.key_N) - 1), (after_M - 1).clip(min=0)):
            same_M = np.abs(self.key_N[place_M] - key_M) <= SAME * np.abs(key_M)
            fold_M = np.where(same_M, self.fold_N[place_M], fold_M)
        return fold_M

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors; :meth:`from_tensors` is the inverse."""
        arrays = {"quantile": self.scores.quantile_QF, "range": self.range_2K, "key": self.key_N, "fold": self.fold_N}
        arrays |= {f"standardization/{name}": array for name, array in vars(self.standardization).items()}
        found = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        return found | {f"perceptrons/{name}": tensor for name, tensor in self.perceptrons.tensors().items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> CrossFitted:
        """The inverse of :meth:`tensors`."""
        return cls(
            scores=NormalScores(tensors["quantile"].numpy()),
            standardization=Standardization(
                **{name: tensor.numpy() for name, tensor in under("standardization/", tensors).items()}
            ),
            perceptrons=Perceptrons.from_tensors(under("perceptrons/", tensors)),
            range_2K=tensors["range"].numpy(),
            key_N=tensors["key"].numpy(),
            fold_N=tensors["fold"].numpy(),
        )


def keys_of(weights_MP: Tensor) -> np.ndarray:
    """What networks are known by: float64 ``[M]``, to rounding the same whatever the order of hidden units."""
    return weights_MP.double().square().sum(1).numpy()


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
