"""Features by their rank: values as quantiles of a normal distribution.

Shape letters: M members, F features, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

SCORES = ndtri(np.linspace(0.01, 0.99, 50))
# Between two quantiles lies at least this share of the spread of the middle half, or of all: where many networks have
# one value, rounding must not move it by many ranks.
LEAST_STEP, LEAST_STEP_OF_ALL = 1e-3, 1e-5


@dataclass(frozen=True)
class NormalScores:
    """Maps each feature so that it is about normal over the training networks; skewed and far ones come near.

    Attributes:
        quantile_QF: Of the training networks, increasing.
    """

    quantile_QF: np.ndarray

    @classmethod
    def of(cls, features_MF: np.ndarray) -> NormalScores:
        """Those of training networks; NaN where a feature is missing, of which there are some."""
        quantile_QF = np.nanquantile(features_MF, np.linspace(0.01, 0.99, len(SCORES)), axis=0)
        middle_F = np.subtract(*np.nanquantile(features_MF, (0.75, 0.25), axis=0))
        step_F = np.maximum(LEAST_STEP * middle_F, LEAST_STEP_OF_ALL * np.nanstd(features_MF, axis=0))
        return cls(quantile_QF + np.where(step_F > 0, step_F, 1.0) * np.arange(len(SCORES))[:, None])

    def __call__(self, features_MF: np.ndarray) -> np.ndarray:
        """Scores from -2.3 to 2.3, NaN where a feature is missing: ``[M, F]``."""
        columns = zip(features_MF.T, self.quantile_QF.T, strict=True)
        return np.stack([np.interp(values_M, knots_Q, SCORES) for values_M, knots_Q in columns], axis=1)
