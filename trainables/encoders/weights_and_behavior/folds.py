"""Who of several that were fitted without a part of the training networks each may be asked about a network.

A readout that is fitted to what a head makes of the head's own training networks takes it for better than it is. So
one head is fitted without each fold of the members, as in stacking (Wolpert, "Stacked generalization", Neural Networks
5, 1992): a network of the training set gets what the one says that has not seen it, any other the mean of all. The
training networks are known again by the sum of their squared weights, which the order of hidden units does not change.
Folds are of members, not of all those that share a minibatch order: these may share other choices too, and a head that
has never met a category says nothing of what readouts may expect of it.

Shape letters: M networks, N training networks, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

FOLDS = 5
SAME = 1e-10


@dataclass(frozen=True)
class Folds:
    """The folds of training networks.

    Attributes:
        key_N: What training networks are known by, increasing, float64; see :func:`keys_of`.
        fold_N: The fold of each.
    """

    key_N: np.ndarray
    fold_N: np.ndarray

    @classmethod
    def of(cls, fold_N: np.ndarray, key_N: np.ndarray) -> Folds:
        """Of training networks in any order."""
        order = np.argsort(key_N, kind="stable")
        return cls(key_N[order], fold_N[order])

    def numbers(self, key_M: np.ndarray) -> np.ndarray:
        """The fold of each network, -1 for those that are not in the training set: int64 ``[M]``."""
        after_M = np.searchsorted(self.key_N, key_M)
        fold_M = np.full(len(key_M), -1)
        for place_M in (after_M.clip(max=len(self.key_N) - 1), (after_M - 1).clip(min=0)):
            same_M = np.abs(self.key_N[place_M] - key_M) <= SAME * np.abs(key_M)
            fold_M = np.where(same_M, self.fold_N[place_M], fold_M)
        return fold_M

    def chosen(self, by_fold: np.ndarray, key_M: np.ndarray) -> np.ndarray:
        """Of outputs ``[FOLDS, M, K]`` those of a network's own fold, else the mean of all: float32 ``[M, K]``."""
        fold_M = self.numbers(key_M)
        own_MK = by_fold[fold_M.clip(min=0), np.arange(len(fold_M))]
        return np.where((fold_M >= 0)[:, None], own_MK, by_fold.mean(0)).astype(np.float32)

    def tensors(self) -> dict[str, Tensor]:
        """Both as tensors; :meth:`from_tensors` is the inverse."""
        return {"key": torch.from_numpy(self.key_N), "fold": torch.from_numpy(self.fold_N)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Folds:
        """The inverse of :meth:`tensors`."""
        return cls(tensors["key"].numpy(), tensors["fold"].numpy())


def drawn(member_N: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """The fold of each training network, those of one member in one fold: int64 ``[N]``.

    Args:
        member_N: Number of each network's member.
        generator: For the draw.

    Raises:
        ValueError: There are fewer members than folds.
    """
    ids, number_N = np.unique(member_N, return_inverse=True)
    if len(ids) < FOLDS:
        raise ValueError(
            f"the training networks are of {len(ids)} members; a head needs {FOLDS} or more: take more members or "
            "head=false"
        )
    fold_N: np.ndarray = (torch.randperm(len(ids), generator=generator).numpy() % FOLDS)[number_N]
    return fold_N


def keys_of(weights_MP: Tensor) -> np.ndarray:
    """What networks are known by: float64 ``[M]``, to rounding the same whatever the order of hidden units."""
    return weights_MP.double().square().sum(1).numpy()
