"""An encoder of networks of any layout: features of their weights, in the function metric, and of what they do.

Nothing is learned but reference points: which inputs networks are applied to, what the training networks take them
for, second moments of hidden units. What it tells of networks does not depend on the order of their hidden units.

Shape letters: M members, F features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.encoders.layouts import require_finite
from trainables.encoders.weights_and_behavior.behavior import Behavior
from trainables.encoders.weights_and_behavior.columns import Columns, stacked
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.encoders.weights_and_behavior.inputs import Inputs
from trainables.encoders.weights_and_behavior.metric import ReferenceMetric
from trainables.encoders.weights_and_behavior.weights import weight_columns
from trainables.trainable import FitData
from zoo.config import from_json, to_json
from zoo.population import Population

CONFIG_FILE, REFERENCE_FILE = "config.json", "reference.safetensors"
# Weights beyond this make no network; their squares would be infinite.
LARGEST_WEIGHT = 1e6


@dataclass(frozen=True)
class WeightsAndBehaviorEncoder:
    """See the module; an :class:`trainables.encoders.encoder.Encoder`.

    Attributes:
        config: Which features.
        inputs: What networks are applied to.
        metric: Second moments of hidden units.
        activations: Those of the training networks, where a network's own is not to be used; else empty.
        names: The features, in order.
        range_2F: The least and the largest value of each feature among training networks. Others are moved to these:
            readouts are linear and would be led astray by a network that is far from all.
    """

    config: WeightsAndBehaviorConfig
    inputs: Inputs
    metric: ReferenceMetric
    activations: tuple[str, ...]
    names: tuple[str, ...]
    range_2F: Tensor

    @classmethod
    def fit(cls, config: WeightsAndBehaviorConfig, data: FitData) -> WeightsAndBehaviorEncoder:
        """Draws inputs, pools moments of training networks, and notes which features they have and how large."""
        for population in data.training:
            require_finite(population)
        consensus, labels = config.behavior and config.consensus, config.labels
        inputs = Inputs.of(data.dataset, data.training, config.inputs, config.seed, consensus=consensus, labels=labels)
        metric = ReferenceMetric.fit(data.training, data.dataset.train) if config.metric else ReferenceMetric({})
        activations = () if config.activation_known else activations_of(data.training)
        start = cls(config, inputs, metric, activations, (), torch.zeros(2, 0))
        columns = [start.columns(population) for population in data.training]
        names = tuple(dict.fromkeys(name for each in columns for name in each))
        features_MF = np.concatenate(
            [stacked(each, names, len(population)) for each, population in zip(columns, data.training, strict=True)]
        )
        some = np.isfinite(features_MF).any(axis=0)
        features_MF, names = features_MF[:, some], tuple(name for name, kept in zip(names, some, strict=True) if kept)
        range_2F = torch.from_numpy(np.stack([np.nanmin(features_MF, axis=0), np.nanmax(features_MF, axis=0)]))
        return cls(config, inputs, metric, activations, names, range_2F)

    def columns(self, population: Population) -> Columns:
        """All features of networks by name."""
        population = population.with_weights(population.weights_MP.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT))
        found: Columns = {}
        if self.config.statistics:
            found |= weight_columns(population.architecture, population.weights_MP)
        if self.config.metric:
            sets = self.inputs.adapted(population.architecture.input_shape)
            seen = None if sets is None else self.inputs.examples(sets["seen"])
            found |= self.metric.columns(population.architecture, population.weights_MP, seen)
        if self.config.behavior:
            found |= Behavior(self.inputs, self.activations).columns(population)
        return found

    @torch.no_grad()
    def embed(self, population: Population) -> np.ndarray:
        """``[M, F]``, NaN for features that a network does not have."""
        require_finite(population)
        if not len(population):
            return np.zeros((0, len(self.names)), np.float32)
        features_MF = stacked(self.columns(population), self.names, len(population))
        low_F, high_F = self.range_2F.numpy()
        return np.clip(features_MF, low_F, high_F)

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        tensors = {f"inputs/{name}": tensor for name, tensor in self.inputs.tensors().items()}
        tensors |= {f"metric/{name}": tensor for name, tensor in self.metric.tensors().items()}
        facts = {"config": self.config, "activations": self.activations, "names": self.names}
        return {
            REFERENCE_FILE: save({name: t.contiguous() for name, t in (tensors | {"range": self.range_2F}).items()}),
            CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> WeightsAndBehaviorEncoder:
        """The inverse of :meth:`to_files`."""
        facts, tensors = json.loads(files[CONFIG_FILE]), load(files[REFERENCE_FILE])

        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        return cls(
            config=from_json(WeightsAndBehaviorConfig, facts["config"]),
            inputs=Inputs.from_tensors(under("inputs/")),
            metric=ReferenceMetric.from_tensors(under("metric/")),
            activations=tuple(facts["activations"]),
            names=tuple(facts["names"]),
            range_2F=tensors["range"],
        )


def activations_of(populations: Sequence[Population]) -> tuple[str, ...]:
    """The activation functions that occur, in alphabetical order."""
    found = {
        name for population in populations for each in population.architectures for name in each.activation.split(",")
    }
    return tuple(sorted(found - {""}))
