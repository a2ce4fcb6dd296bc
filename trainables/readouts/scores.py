"""What predictions are worth.

Shape letters: M members.
"""

from __future__ import annotations

import numpy as np

from trainables.readouts.columns import is_numeric
from trainables.readouts.metrics import (
    ACCURACY,
    KENDALL_TAU,
    KENDALL_TAU_SHARE,
    KENDALL_TAU_WITHIN,
    MEAN_ABSOLUTE_ERROR,
    R2,
)

# Pairs of members of equal hyper-parameters from which their order is measured.
FEWEST_PAIRS = 100
# For so many values, comparing each two takes a fraction of the time of SciPy's way of sorting them.
FEW = 64


def scores(true_M: np.ndarray, predicted_M: np.ndarray, strata_M: np.ndarray | None = None) -> dict[str, float]:
    """The metrics that suit the target: numbers or categories.

    Args:
        true_M: Targets.
        predicted_M: Predictions.
        strata_M: Equal for members of equal hyper-parameters; ``None`` where that is not asked.
    """
    if not is_numeric(true_M):
        return {ACCURACY.name: float((true_M == predicted_M).mean())}
    tau, largest = kendall_tau(true_M, predicted_M), largest_tau(true_M)
    within = {} if strata_M is None else {KENDALL_TAU_WITHIN.name: tau_within(true_M, predicted_M, strata_M)}
    return {
        R2.name: r2(true_M, predicted_M),
        KENDALL_TAU.name: tau,
        KENDALL_TAU_SHARE.name: tau / largest if largest else 0.0,
        **within,
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
    if len(true_M) > FEW:
        from scipy.stats import kendalltau  # half a second to import, which codecs need not wait for

        tau = float(kendalltau(true_M, predicted_M).statistic)
        return 0.0 if np.isnan(tau) else tau
    true_MM, predicted_MM = (np.sign(values_M[:, None] - values_M) for values_M in (true_M, predicted_M))
    untied = float(np.square(true_MM).sum() * np.square(predicted_MM).sum())
    return float((true_MM * predicted_MM).sum()) / untied**0.5 if untied else 0.0


def largest_tau(true_M: np.ndarray) -> float:
    """The largest τ_b of predictions without ties: √(1 - share of pairs with equal targets)."""
    counts = np.unique(true_M, return_counts=True)[1].astype(np.float64)
    pairs = len(true_M) * (len(true_M) - 1)
    return float(np.sqrt(1 - (counts * (counts - 1)).sum() / pairs)) if pairs else 0.0


def tau_within(true_M: np.ndarray, predicted_M: np.ndarray, strata_M: np.ndarray) -> float:
    """Kendall's τ_b in each stratum, the mean weighted by their pairs; strata of equal targets do not count."""
    order = np.argsort(strata_M, kind="stable")
    strata = np.split(order, np.flatnonzero(strata_M[order][1:] != strata_M[order][:-1]) + 1)
    counted = [rows for rows in strata if len(rows) > 1 and np.ptp(true_M[rows]) > 0]
    pairs = [len(rows) * (len(rows) - 1) for rows in counted]
    taus = [kendall_tau(true_M[rows], predicted_M[rows]) for rows in counted]
    return float(np.average(taus, weights=pairs)) if pairs else 0.0


def have_pairs(strata_M: np.ndarray) -> bool:
    """Whether enough members share their hyper-parameters for :func:`tau_within`."""
    counts = np.unique(strata_M, return_counts=True)[1]
    return int((counts * (counts - 1)).sum()) // 2 >= FEWEST_PAIRS
