"""Ridge regression in closed form, with what is missing set to the mean.

Shape letters: M members, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Of the distance between the least and the largest value of a feature among training networks: how far beyond these a
# linear map may follow it. Few validation networks lie further off: 4 of 352 by statistics of weights, at most 2 by
# other embeddings.
REACH = 0.25


@dataclass(frozen=True)
class Standardization:
    """Features with mean 0 and deviation 1; further columns say which are there, where some are missing.

    Attributes:
        mean_F: What is subtracted from the features, and stands for missing ones.
        scale_F: What they are divided by.
        gaps_G: Features that are missing in some training networks; each has a column that is 1 where it is there.
    """

    mean_F: np.ndarray
    scale_F: np.ndarray
    gaps_G: np.ndarray

    @classmethod
    def of(cls, features_MF: np.ndarray) -> Standardization:
        """That of training networks; NaN where a feature is missing."""
        missing_MF = np.isnan(features_MF)
        if not missing_MF.any():
            mean_F, deviation_F = features_MF.mean(0), features_MF.std(0)
        else:
            count_F = np.maximum((~missing_MF).sum(0), 1)
            mean_F = np.where(missing_MF, 0.0, features_MF).sum(0) / count_F
            deviation_F = np.sqrt((np.where(missing_MF, 0.0, features_MF - mean_F) ** 2).sum(0) / count_F)
        return cls(mean_F, np.where(deviation_F > 0, deviation_F, 1.0), np.flatnonzero(missing_MF.any(axis=0)))

    def __call__(self, features_MF: np.ndarray) -> np.ndarray:
        """Standardized features ``[M, F + G]``."""
        present_MG = (~np.isnan(features_MF[:, self.gaps_G])).astype(np.float64)
        filled_MF = np.where(np.isnan(features_MF), self.mean_F, features_MF)
        return np.hstack([(filled_MF - self.mean_F) / self.scale_F, present_MG])


@dataclass(frozen=True)
class Ridge:
    """A linear map of standardized features.

    Attributes:
        standardization: What comes first.
        coefficients_FK: The map.
        offset_K: What is added.
        range_2F: The least and the largest value of each feature; others are moved to these: see
            :meth:`RidgeBasis.range_of`.
    """

    standardization: Standardization
    coefficients_FK: np.ndarray
    offset_K: np.ndarray
    range_2F: np.ndarray

    def outputs(self, features_MF: np.ndarray) -> np.ndarray:
        """The outputs ``[M, K]``."""
        near_MF = features_MF.clip(*self.range_2F)
        outputs_MK: np.ndarray = self.standardization(near_MF) @ self.coefficients_FK + self.offset_K
        return outputs_MK

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything as arrays; :meth:`from_tensors` is the inverse."""
        own = {"coefficients_FK": self.coefficients_FK, "offset_K": self.offset_K, "range_2F": self.range_2F}
        return {**vars(self.standardization), **own}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Ridge:
        """The inverse of :meth:`tensors`."""
        first = Standardization(*(tensors[name] for name in ("mean_F", "scale_F", "gaps_G")))
        # Earlier files have no range.
        range_2F = tensors.get("range_2F", np.array([[-np.inf], [np.inf]]))
        return cls(first, tensors["coefficients_FK"], tensors["offset_K"], range_2F)


class RidgeBasis:
    """Features of training networks, decomposed once for any number of targets and penalties.

    Args:
        features_MF: Of training networks, NaN where missing.
    """

    def __init__(self, features_MF: np.ndarray) -> None:
        self.ends_2F = np.stack([np.nan_to_num(of.reduce(features_MF, axis=0)) for of in (np.fmin, np.fmax)])
        self.standardization = Standardization.of(features_MF)
        prepared_MF = self.standardization(features_MF)
        self.center_F = prepared_MF.mean(0)
        self.centered_MF = prepared_MF - self.center_F
        # The smaller of the two Gram matrices: its eigenvectors are those of a singular value decomposition.
        self.tall = len(prepared_MF) >= prepared_MF.shape[1]
        gram = self.centered_MF.T @ self.centered_MF if self.tall else self.centered_MF @ self.centered_MF.T
        self.squares, self.vectors = np.linalg.eigh(gram)
        self.squares = self.squares.clip(min=0.0)

    def range_of(self, reach: float = REACH) -> np.ndarray:
        """Between which values of a feature a linear map follows it: ``[2, F]``.

        What the map says of a network grows with its distance from all that it was fitted to: without an end, one far
        network would count more than all others of a column.

        Args:
            reach: How far it goes beyond the least and the largest value, of the distance between these.
        """
        least_F, largest_F = self.ends_2F
        beyond_F = reach * (largest_F - least_F)
        return np.stack([least_F - beyond_F, largest_F + beyond_F])

    def components(self, most: int) -> np.ndarray:
        """Directions of the largest variance among the standardized features, orthonormal ``[F, at most most]``."""
        kept = np.flatnonzero(self.squares > self.squares.max(initial=0.0) * 1e-12)
        kept = kept[np.argsort(-self.squares[kept], kind="stable")][:most]
        if self.tall:
            axes_FR: np.ndarray = self.vectors[:, kept]
            return axes_FR
        return self.centered_MF.T @ self.vectors[:, kept] / np.sqrt(self.squares[kept])

    def fit(self, target_MK: np.ndarray, penalty: float) -> Ridge:
        """The ridge regression of targets at one penalty, which weighs the squared coefficients."""
        offset_K = target_MK.mean(0)
        centered_MK = target_MK - offset_K
        if self.tall:
            projected = self.vectors.T @ (self.centered_MF.T @ centered_MK)
            coefficients_FK = self.vectors @ (projected / (self.squares + penalty)[:, None])
        else:
            projected = self.vectors.T @ centered_MK
            coefficients_FK = self.centered_MF.T @ (self.vectors @ (projected / (self.squares + penalty)[:, None]))
        offset_K = offset_K - self.center_F @ coefficients_FK
        return Ridge(self.standardization, coefficients_FK, offset_K, self.range_of())
