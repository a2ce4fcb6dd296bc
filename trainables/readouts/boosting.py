"""Gradient boosting by scikit-learn, its trees kept as plain arrays: nothing is ever unpickled.

Shape letters: M members, F features, K outputs, T trees, L nodes of all trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.readouts.config import BoostingReadout


@dataclass(frozen=True)
class Trees:
    """Fitted trees. A row goes from a tree's root to the left where its feature is at most the threshold.

    Attributes:
        roots_TK: The first node of each tree.
        feature_L: Which feature a node looks at.
        threshold_L: What it compares with.
        missing_left_L: Whether a missing feature goes to the left, uint8.
        left_L: The next node to the left; a leaf has itself.
        right_L: The next node to the right; a leaf has itself.
        value_L: What a leaf adds.
        baseline_K: What the first tree adds to.
    """

    roots_TK: np.ndarray
    feature_L: np.ndarray
    threshold_L: np.ndarray
    missing_left_L: np.ndarray
    left_L: np.ndarray
    right_L: np.ndarray
    value_L: np.ndarray
    baseline_K: np.ndarray

    @classmethod
    def fit(cls, features_MF: np.ndarray, target_M: np.ndarray, config: BoostingReadout, *, classify: bool) -> Trees:
        """Fits by scikit-learn's histogram gradient boosting.

        Args:
            features_MF: NaN where missing.
            target_M: Numbers, or numbers of categories.
            config: How.
            classify: Whether the target are categories.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        model = (HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor)(
            max_iter=config.iterations,
            learning_rate=config.learning_rate,
            max_leaf_nodes=config.leaves,
            min_samples_leaf=config.leaf_members,
            l2_regularization=config.l2,
            early_stopping=False,
            random_state=config.seed,
        )
        # scikit-learn has no bins for a feature that is missing everywhere; as a constant it divides nothing either.
        features_MF = np.where(np.isnan(features_MF).all(axis=0), 0.0, features_MF)
        return cls.of(model.fit(features_MF, target_M))

    @classmethod
    def of(cls, model: Any) -> Trees:
        """The trees of a fitted model of scikit-learn."""
        starts: list[list[int]] = []
        parts: list[tuple[int, np.ndarray]] = []
        first = 0
        for iteration in model._predictors:
            starts.append([])
            for tree in iteration:
                starts[-1].append(first)
                parts.append((first, tree.nodes))
                first += len(tree.nodes)

        def joined(field: str) -> np.ndarray:
            return np.concatenate([nodes[field] for _, nodes in parts])

        own = np.arange(first)
        leaf = joined("is_leaf").astype(bool)
        left, right = (
            np.concatenate([nodes[side].astype(np.int64) + start for start, nodes in parts])
            for side in ("left", "right")
        )
        return cls(
            roots_TK=np.array(starts),
            feature_L=np.where(leaf, 0, joined("feature_idx")).astype(np.int64),
            threshold_L=joined("num_threshold").astype(np.float64),
            missing_left_L=joined("missing_go_to_left").astype(np.uint8),
            left_L=np.where(leaf, own, left),
            right_L=np.where(leaf, own, right),
            value_L=np.where(leaf, joined("value"), 0.0),
            baseline_K=np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1),
        )

    def outputs(self, features_MF: np.ndarray) -> np.ndarray:
        """The outputs ``[M, K]``: predictions, or what the largest of is the category; one for two categories."""
        rows_M = np.arange(len(features_MF))
        outputs_MK = np.tile(self.baseline_K, (len(features_MF), 1))
        for roots_K in self.roots_TK:
            for output, root in enumerate(roots_K):
                node_M = np.full(len(features_MF), root)
                while True:
                    value_M = features_MF[rows_M, self.feature_L[node_M]]
                    goes_left_M = np.where(
                        np.isnan(value_M), self.missing_left_L[node_M] == 1, value_M <= self.threshold_L[node_M]
                    )
                    next_M = np.where(goes_left_M, self.left_L[node_M], self.right_L[node_M])
                    if (next_M == node_M).all():
                        break
                    node_M = next_M
                outputs_MK[:, output] += self.value_L[node_M]
        return outputs_MK

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything as arrays; :meth:`from_tensors` is the inverse."""
        return dict(vars(self))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> Trees:
        """The inverse of :meth:`tensors`."""
        return cls(**tensors)
