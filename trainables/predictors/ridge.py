"""Ridge regression in closed form, with what is missing set to the mean.

Shape letters: M members, F features, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainables.predictors.config import RidgeConfig

PENALTIES = tuple(10.0**exponent for exponent in range(3, -6, -1))


@dataclass(frozen=True)
class Ridge:
    """A linear map of standardized features; further columns say which features are there, where some are missing.

    Attributes:
        mean_F: What is subtracted from the features, and stands for missing ones.
        scale_F: What they are divided by.
        gaps_G: Features that are missing in some training networks; each has a column that is 1 where it is there.
        coefficients_FK: The map.
        offset_K: What is added.
    """

    mean_F: np.ndarray
    scale_F: np.ndarray
    gaps_G: np.ndarray
    coefficients_FK: np.ndarray
    offset_K: np.ndarray

    @classmethod
    def fit(
        cls,
        features_MF: np.ndarray,
        target_MK: np.ndarray,
        config: RidgeConfig,
        error: Callable[[Callable[[np.ndarray], np.ndarray]], float],
    ) -> Ridge:
        """Solves for every penalty that is to be tried, and keeps the best.

        Args:
            features_MF: Of training networks, NaN where missing.
            target_MK: What they are to be mapped to.
            config: The penalty, or 0 to choose it.
            error: What a map of features errs on validation networks.
        """
        mean_F = np.nan_to_num(np.nanmean(features_MF, axis=0))
        deviation_F = np.nan_to_num(np.nanstd(features_MF, axis=0))
        scale_F = np.where(deviation_F > 0, deviation_F, 1.0)
        gaps_G = np.flatnonzero(np.isnan(features_MF).any(axis=0))
        prepared_MF = _prepared(features_MF, mean_F, scale_F, gaps_G)
        center_F, offset_K = prepared_MF.mean(0), target_MK.mean(0)
        left, values, right = np.linalg.svd(prepared_MF - center_F, full_matrices=False)
        projected = left.T @ (target_MK - offset_K)

        def solved(penalty: float) -> Ridge:
            coefficients_FK = right.T @ ((values / (values**2 + penalty))[:, None] * projected)
            return cls(mean_F, scale_F, gaps_G, coefficients_FK, offset_K - center_F @ coefficients_FK)

        tried = [solved(penalty) for penalty in ((config.penalty,) if config.penalty else PENALTIES)]
        return min(tried, key=lambda ridge: error(ridge.outputs))

    def outputs(self, features_MF: np.ndarray) -> np.ndarray:
        """The outputs ``[M, K]``."""
        prepared_MF = _prepared(features_MF, self.mean_F, self.scale_F, self.gaps_G)
        outputs_MK: np.ndarray = prepared_MF @ self.coefficients_FK + self.offset_K
        return outputs_MK


def _prepared(features_MF: np.ndarray, mean_F: np.ndarray, scale_F: np.ndarray, gaps_G: np.ndarray) -> np.ndarray:
    present_MG = (~np.isnan(features_MF[:, gaps_G])).astype(np.float64)
    return np.hstack([(np.where(np.isnan(features_MF), mean_F, features_MF) - mean_F) / scale_F, present_MG])
