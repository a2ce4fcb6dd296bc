"""An encoder of networks of any layout: features of their weights and of what they do.

Features need reference points only: which inputs networks are applied to, what the training networks take them for.
A head, fitted to all that is known of the training networks, makes some numbers for each column: of some hundred
features, and of the weights one by one. None depends on the order of hidden units.

Shape letters: M members, F features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.encoders.layouts import require_finite
from trainables.encoders.weights_and_behavior.behavior import Behavior
from trainables.encoders.weights_and_behavior.columns import Columns, stacked, under
from trainables.encoders.weights_and_behavior.config import WeightsAndBehaviorConfig
from trainables.encoders.weights_and_behavior.head import OF_WEIGHTS, Head
from trainables.encoders.weights_and_behavior.inputs import Inputs
from trainables.encoders.weights_and_behavior.weights import weight_columns
from trainables.large_weights import bounded
from trainables.trainable import FitData
from zoo.config import from_json, to_json
from zoo.data.examples import Dataset
from zoo.population import Population

CONFIG_FILE, REFERENCE_FILE = "config.json", "reference.safetensors"
# Features that tell accuracy as they are: an embedding has them beside the head's outputs.
PLAIN = tuple(f"{name} {what}" for name in ("seen", "unseen") for what in ("agreement", "wanted log loss"))
# What differs by less, relative to the largest value or to this, differs by rounding.
LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class WeightsAndBehaviorEncoder:
    """See the module; an :class:`trainables.encoders.encoder.Encoder`.

    Attributes:
        config: Which features.
        inputs: What networks are applied to.
        activations: Those of the training networks, where a network's own is not to be used; else empty.
        names: The features, in order.
        range_2F: The least and the largest value of each feature among training networks. Others are moved to these:
            readouts are linear and would be led astray by a network that is far from all.
        head: What makes an embedding of features; ``None`` where they are the embedding.
    """

    config: WeightsAndBehaviorConfig
    inputs: Inputs
    activations: tuple[str, ...]
    names: tuple[str, ...]
    range_2F: Tensor
    head: Head | None

    @classmethod
    def fit(cls, config: WeightsAndBehaviorConfig, data: FitData) -> WeightsAndBehaviorEncoder:
        """Draws inputs, notes features of training networks, and fits the head to these.

        Raises:
            ValueError: There are no training networks, or a weight is not finite; or there is to be a head, and they
                are of too few members or differ in nothing that is known of them.
            DivergedError: What a head fits is not finite.
        """
        if not any(map(len, data.training)):
            raise ValueError("the training population is empty; a fit needs networks")
        for population in data.training:
            require_finite(population)
        inputs = inputs_of(config, data.dataset, data.training)
        activations = () if config.activation_known else activations_of(data.training)
        start = cls(config, inputs, activations, (), torch.zeros(2, 0), None)
        columns = [start.columns(population) for population in data.training]
        names = tuple(dict.fromkeys(name for each in columns for name in each))
        features_MF = np.concatenate(
            [stacked(each, names, len(population)) for each, population in zip(columns, data.training, strict=True)]
        )
        kept_F = varying(features_MF)
        features_MF = features_MF[:, kept_F]
        names = tuple(name for name, kept in zip(names, kept_F, strict=True) if kept)
        range_2F = torch.from_numpy(np.stack([np.nanmin(features_MF, axis=0), np.nanmax(features_MF, axis=0)]))
        head = Head.fit(config, names, features_MF, data) if config.head else None
        return replace(start, names=names, range_2F=range_2F, head=head)

    def columns(self, population: Population) -> Columns:
        """All features of networks by name."""
        found: Columns = {}
        if self.config.statistics:
            columns = weight_columns(population.architecture, population.weights_MP)
            found |= {OF_WEIGHTS + name: values_M for name, values_M in columns.items()}
        if self.config.behavior:
            found |= Behavior(self.inputs, self.activations).columns(population)
        return found

    @torch.no_grad()
    def features(self, population: Population) -> np.ndarray:
        """All features, float32 ``[M, F]``; NaN for those that a network does not have."""
        require_finite(population)
        if not len(population):
            return np.zeros((0, len(self.names)), np.float32)
        features_MF = stacked(self.columns(bounded(population)), self.names, len(population))
        low_F, high_F = self.range_2F.numpy()
        clipped_MF: np.ndarray = np.clip(features_MF, low_F, high_F)
        return clipped_MF

    def embed(self, population: Population) -> np.ndarray:
        """The features; or some of them, as far as there are such, and the head's outputs."""
        features_MF = self.features(population)
        if self.head is None:
            return features_MF
        plain = [number for number, name in enumerate(self.names) if name in PLAIN]
        return np.hstack([features_MF[:, plain], self.head.outputs(features_MF, bounded(population))])

    def on_inputs_of(self, dataset: Dataset, networks: Sequence[Population]) -> WeightsAndBehaviorEncoder:
        """See :class:`trainables.encoders.encoder.LooksAtInputs`; with ``labels`` those of the inputs are read."""
        if not self.config.adapt:
            return self
        return replace(self, inputs=inputs_of(self.config, dataset, networks))

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        tensors = {f"inputs/{name}": tensor for name, tensor in self.inputs.tensors().items()}
        tensors |= {"range": self.range_2F}
        if self.head is not None:
            tensors |= {f"head/{name}": tensor for name, tensor in self.head.tensors().items()}
        facts = {"config": self.config, "activations": self.activations, "names": self.names}
        return {
            REFERENCE_FILE: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
            CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> WeightsAndBehaviorEncoder:
        """The inverse of :meth:`to_files`."""
        facts, tensors = json.loads(files[CONFIG_FILE]), load(files[REFERENCE_FILE])
        config = from_json(WeightsAndBehaviorConfig, facts["config"])
        return cls(
            config=config,
            inputs=Inputs.from_tensors(under("inputs/", tensors)),
            activations=tuple(facts["activations"]),
            names=tuple(facts["names"]),
            range_2F=tensors["range"],
            head=Head.from_tensors(config, under("head/", tensors)) if config.head else None,
        )


def inputs_of(config: WeightsAndBehaviorConfig, dataset: Dataset, networks: Sequence[Population]) -> Inputs:
    """Inputs of a data set with what networks make of them."""
    return Inputs.of(
        dataset,
        networks,
        config.inputs,
        config.seed,
        consensus=config.behavior and config.consensus,
        labels=config.labels,
    )


def varying(features_MF: np.ndarray) -> np.ndarray:
    """Which features differ between networks by more than rounding: bool ``[F]``."""
    known_MF = np.ma.masked_invalid(features_MF)
    spread_F = np.ma.filled(np.ma.ptp(known_MF, axis=0), 0.0)
    kept_F: np.ndarray = spread_F > LEAST_SPREAD * np.ma.filled(np.abs(known_MF).max(0), np.inf).clip(min=LEAST_SPREAD)
    return kept_F


def activations_of(populations: Sequence[Population]) -> tuple[str, ...]:
    """The activation functions that occur, in alphabetical order."""
    found = {
        name for population in populations for each in population.architectures for name in each.activation.split(",")
    }
    return tuple(sorted(found - {""}))
