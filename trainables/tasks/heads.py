"""Heads of a probe network: softmax regression on its features, for one task each.

Shape letters: N examples, D features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

STEPS = 300


@dataclass(frozen=True)
class Head:
    """A linear classifier.

    Attributes:
        weight_CD: For each class, the weights of features.
        bias_C: What is added.
    """

    weight_CD: np.ndarray
    bias_C: np.ndarray

    def outputs(self, features_ND: np.ndarray) -> np.ndarray:
        """Logits ``[N, C]``."""
        logits_NC: np.ndarray = features_ND @ self.weight_CD.T + self.bias_C
        return logits_NC

    def error(self, features_ND: np.ndarray, labels_N: np.ndarray) -> float:
        """Share of misclassified examples, each class weighing the same."""
        wrong_N = self.outputs(features_ND).argmax(1) != labels_N
        return float((wrong_N * class_weights(labels_N)).sum())


def class_weights(labels_N: np.ndarray) -> np.ndarray:
    """Weights of examples that sum to 1, and to the same for each class that occurs."""
    counts = np.bincount(labels_N)
    weights_N: np.ndarray = 1.0 / (np.count_nonzero(counts) * counts[labels_N])
    return weights_N


def fit_head(features_ND: np.ndarray, labels_N: np.ndarray, classes: int, penalty: float) -> Head:
    """The head of least mean cross-entropy, classes weighing the same, with a penalty on weights.

    Args:
        features_ND: Of training examples.
        labels_N: Their labels, 0 to ``classes`` - 1.
        classes: C.
        penalty: What half the sum of squared weights, on standardized features, counts. The same for all tasks that are
            compared: chosen for each, it would be large for hard tasks, whose Fisher information would be small.
    """
    mean_D, deviation_D = features_ND.mean(0), features_ND.std(0)
    scale_D = np.where(deviation_D > 1e-6 * max(float(deviation_D.max(initial=0.0)), 1e-30), deviation_D, np.inf)
    weight_CD, bias_C = _minimized((features_ND - mean_D) / scale_D, labels_N, classes, penalty)
    return Head(weight_CD / scale_D, bias_C - weight_CD @ (mean_D / scale_D))


def _minimized(
    inputs_ND: np.ndarray, labels_N: np.ndarray, classes: int, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    one_hot_NC, weights_N1 = np.eye(classes)[labels_N], class_weights(labels_N)[:, None]
    width = inputs_ND.shape[1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight_CD, bias_C = flat[:-classes].reshape(classes, width), flat[-classes:]
        logits_NC = inputs_ND @ weight_CD.T + bias_C
        value = -(weights_N1 * one_hot_NC * log_softmax(logits_NC, axis=1)).sum()
        away_NC = weights_N1 * (softmax(logits_NC, axis=1) - one_hot_NC)
        gradient = np.concatenate([(away_NC.T @ inputs_ND + penalty * weight_CD).ravel(), away_NC.sum(0)])
        return float(value + penalty / 2 * (weight_CD**2).sum()), gradient

    start = np.zeros(classes * (width + 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    return found[:-classes].reshape(classes, width), found[-classes:]
