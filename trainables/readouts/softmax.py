"""Softmax regression on standardized features.

Shape letters: M members, F features, K categories.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from trainables.readouts.ridge import Ridge, RidgeBasis

STEPS = 200


class SoftmaxBasis:
    """Features of training networks, rotated once to their principal axes, for any number of targets and penalties.

    Args:
        basis: Their decomposition.
    """

    def __init__(self, basis: RidgeBasis) -> None:
        kept = basis.squares > basis.squares.max(initial=0.0) * 1e-12
        self.axes_FR = (
            basis.vectors[:, kept]
            if basis.tall
            else basis.centered_MF.T @ basis.vectors[:, kept] / np.sqrt(basis.squares[kept])
        )
        self.rotated_MR = basis.centered_MF @ self.axes_FR
        self.basis = basis

    def fit(self, number_M: np.ndarray, categories: int, penalty: float) -> Ridge:
        """The map to one output a category; the penalty weighs the squared coefficients against the summed loss."""
        one_hot_MK = np.eye(categories)[number_M]
        width = self.rotated_MR.shape[1]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights, offset_K = flat[:-categories].reshape(width, categories), flat[-categories:]
            outputs_MK = self.rotated_MR @ weights + offset_K
            value = -(one_hot_MK * log_softmax(outputs_MK, axis=1)).sum() + penalty / 2 * (weights**2).sum()
            error_MK = softmax(outputs_MK, axis=1) - one_hot_MK
            gradient = np.concatenate([(self.rotated_MR.T @ error_MK + penalty * weights).ravel(), error_MK.sum(0)])
            return float(value), gradient

        start = np.concatenate([np.zeros(width * categories), np.log(one_hot_MK.mean(0) + 1e-9)])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
        coefficients_FK = self.axes_FR @ found[:-categories].reshape(width, categories)
        offset_K = found[-categories:] - self.basis.center_F @ coefficients_FK
        return Ridge(self.basis.standardization, coefficients_FK, offset_K)
