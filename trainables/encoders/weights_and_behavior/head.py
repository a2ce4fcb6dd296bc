"""What makes an embedding of networks whose features are known: perceptrons and graphs, fitted across folds.

Shape letters: M networks, F features, V views of the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from trainables.encoders.encoder import differing
from trainables.encoders.weights_and_behavior.columns import under
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.encoders.weights_and_behavior.feature_perceptrons import FeaturePerceptrons
from trainables.encoders.weights_and_behavior.folds import Folds, drawn, keys_of
from trainables.encoders.weights_and_behavior.graphs import Graphs
from trainables.readouts.columns import targets_of
from trainables.trainable import FitData
from zoo.population import Population

OF_WEIGHTS = "weights, "


@dataclass(frozen=True)
class Head:
    """Fitted to all columns in which training networks differ.

    Attributes:
        folds: Which networks each part was fitted without.
        perceptrons: What reads features.
        graphs: What reads weights one by one; ``None`` where nothing is to.
    """

    folds: Folds
    perceptrons: FeaturePerceptrons
    graphs: Graphs | None

    @classmethod
    def fit(
        cls, config: WeightsAndBehaviorConfig, names: Sequence[str], features_MF: np.ndarray, data: FitData
    ) -> Head:
        """Fits perceptrons and graphs.

        Args:
            config: Sizes.
            names: The features.
            features_MF: Of the training networks, populations one after the other; NaN where missing.
            data: What the fit sees.

        Raises:
            ValueError: The training networks are of too few members or differ in nothing that is known of them.
        """
        columns = differing(partial(targets_of, data.training))
        if not columns:
            raise ValueError(
                "the training networks differ in nothing that the zoo knows of them; take a zoo with measured "
                "accuracies, or head=false for the features alone"
            )
        wanted = [targets_of(data.training, name) for name in columns]
        generator = torch.Generator().manual_seed(config.seed)
        fold_M = drawn(targets_of(data.training, "id"), generator)
        perceptrons = FeaturePerceptrons.fit(config, features_MF, wanted, fold_M, views_of(names), generator)
        graphs = Graphs.fit(config, data, fold_M) if config.graph_passes else None
        key_M = np.concatenate([keys_of(population.weights_MP) for population in data.training])
        return cls(Folds.of(fold_M, key_M), perceptrons, graphs)

    def outputs(self, features_MF: np.ndarray, population: Population) -> np.ndarray:
        """Of networks with these features, those of perceptrons before those of graphs: float32 ``[M, outputs]``."""
        by_fold = self.perceptrons.outputs(features_MF)
        if self.graphs is not None:
            by_fold = np.concatenate([by_fold, self.graphs.outputs(population)], axis=2)
        return self.folds.chosen(by_fold, keys_of(population.weights_MP))

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors; :meth:`from_tensors` is the inverse."""
        found = {f"folds/{name}": tensor for name, tensor in self.folds.tensors().items()}
        found |= {f"perceptrons/{name}": tensor for name, tensor in self.perceptrons.tensors().items()}
        if self.graphs is not None:
            found |= {f"graphs/{name}": tensor for name, tensor in self.graphs.tensors().items()}
        return found

    @classmethod
    def from_tensors(cls, config: WeightsAndBehaviorConfig, tensors: Mapping[str, Tensor]) -> Head:
        """The inverse of :meth:`tensors`."""
        return cls(
            Folds.from_tensors(under("folds/", tensors)),
            FeaturePerceptrons.from_tensors(under("perceptrons/", tensors)),
            Graphs.from_tensors(config, under("graphs/", tensors)) if config.graph_passes else None,
        )


def views_of(names: Sequence[str]) -> np.ndarray:
    """Which features the perceptrons of a fold see: all; and, where there are others, those of weights: ``[V, F]``."""
    of_weights_F = np.array([name.startswith(OF_WEIGHTS) for name in names])
    every_F = np.ones_like(of_weights_F)
    return np.stack([every_F, of_weights_F] if of_weights_F.any() and not of_weights_F.all() else [every_F])
