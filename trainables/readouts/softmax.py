"""Softmax regression on standardized features.

Shape letters: M members, F features, K categories.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from trainables.readouts.ridge import Ridge, RidgeBasis

STEPS = 200


class SoftmaxBasis:
    """Features of training networks, rotated once to their principal axes, for any number of targets and penalties.

    Args:
        basis: Their decomposition.
    """

    def __init__(self, basis: RidgeBasis) -> None:
        kept = basis.squares > basis.squares.max(initial=0.0) * 1e-12
        self.vectors, self.squares_R = basis.vectors[:, kept], basis.squares[kept]
        # With fewer networks than features the vectors are of networks: their places on the axes, but for scale.
        self.rotated_MR = basis.centered_MF @ self.vectors if basis.tall else self.vectors * np.sqrt(self.squares_R)
        self.basis = basis

    def fit(self, number_M: np.ndarray, categories: int, penalty: float) -> Ridge:
        """The map to one output a category; the penalty weighs the squared coefficients against the summed loss."""
        one_hot_MK = np.eye(categories)[number_M]
        # Axes are scaled by about the curvature of the loss along them, which it then takes far fewer steps to descend.
        scale_R = 1 / np.sqrt(self.squares_R / categories + penalty)
        scaled_MR, penalty_R = self.rotated_MR * scale_R, penalty * scale_R[:, None] ** 2
        width = self.rotated_MR.shape[1]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights, offset_K = flat[:-categories].reshape(width, categories), flat[-categories:]
            outputs_MK = scaled_MR @ weights + offset_K
            outputs_MK -= outputs_MK.max(1, keepdims=True)
            share_MK = np.exp(outputs_MK)
            total_M1 = share_MK.sum(1, keepdims=True)
            value = -(one_hot_MK * (outputs_MK - np.log(total_M1))).sum() + (penalty_R * weights**2).sum() / 2
            error_MK = share_MK / total_M1 - one_hot_MK
            gradient = np.concatenate([(scaled_MR.T @ error_MK + penalty_R * weights).ravel(), error_MK.sum(0)])
            return float(value), gradient

        start = np.concatenate([np.zeros(width * categories), np.log(one_hot_MK.mean(0) + 1e-9)])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
        coefficients_FK = self._on_features(scale_R[:, None] * found[:-categories].reshape(width, categories))
        offset_K = found[-categories:] - self.basis.center_F @ coefficients_FK
        return Ridge(self.basis.standardization, coefficients_FK, offset_K, self.basis.range_of())

    def _on_features(self, coefficients_RK: np.ndarray) -> np.ndarray:
        """Coefficients of features ``[F, K]`` from those of the axes."""
        if self.basis.tall:
            features_FK: np.ndarray = self.vectors @ coefficients_RK
            return features_FK
        return self.basis.centered_MF.T @ (self.vectors @ (coefficients_RK / np.sqrt(self.squares_R)[:, None]))
