"""What predictions are worth.

Shape letters: M members.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau

from trainables.predictors.metrics import ACCURACY, KENDALL_TAU, KENDALL_TAU_SHARE, MEAN_ABSOLUTE_ERROR, R2


def is_numeric(target: np.ndarray) -> bool:
    """Whether a column is regressed; else it is classified."""
    return bool(np.issubdtype(target.dtype, np.number))


def scores(true_M: np.ndarray, predicted_M: np.ndarray) -> dict[str, float]:
    """The metrics that suit the target: numbers or categories."""
    if not is_numeric(true_M):
        return {ACCURACY.name: float((true_M == predicted_M).mean())}
    tau, largest = kendall_tau(true_M, predicted_M), largest_tau(true_M)
    return {
        R2.name: r2(true_M, predicted_M),
        KENDALL_TAU.name: tau,
        KENDALL_TAU_SHARE.name: tau / largest if largest else 0.0,
        MEAN_ABSOLUTE_ERROR.name: float(np.abs(true_M - predicted_M).mean()),
    }


def r2(true_M: np.ndarray, predicted_M: np.ndarray) -> float:
    """1 - Σ(predicted - true)² / Σ(true - mean)²; where all targets are equal 0, or 1 if they are met."""
    spread = float(((true_M - true_M.mean()) ** 2).sum())
    error = float(((predicted_M - true_M) ** 2).sum())
    if spread == 0:
        return float(error == 0)
    return 1 - error / spread


def kendall_tau(true_M: np.ndarray, predicted_M: np.ndarray) -> float:
    """Kendall's τ_b; 0 where all predictions or all targets are equal."""
    tau = float(kendalltau(true_M, predicted_M).statistic) if len(true_M) > 1 else 0.0
    return 0.0 if np.isnan(tau) else tau


def largest_tau(true_M: np.ndarray) -> float:
    """The largest τ_b of predictions without ties: √(1 - share of pairs with equal targets)."""
    counts = np.unique(true_M, return_counts=True)[1].astype(np.float64)
    pairs = len(true_M) * (len(true_M) - 1)
    return float(np.sqrt(1 - (counts * (counts - 1)).sum() / pairs)) if pairs else 0.0
