"""Probing: networks are told by what they make of learned inputs, in their outputs and in their hidden layers.

Outputs and the generator of inputs: Kahana, Horwitz, Shuval and Hoshen, "Deep Linear Probe Generators for Weight Space
Learning" (ICLR 2025, arXiv 2410.10811), sections 3 and 4. That hidden layers are read too is the idea of HiddenProbe
(github.com/yonatansverdlov/HiddenProbe, 2026); here by a network that sees each unit over all probes and is averaged
over units (Zaheer et al., "Deep Sets", arXiv 1703.06114), or by moments over units.

Networks are applied as they are, each with its own padding, normalization and activation.

Shape letters: B networks of a batch, N probes, U units of a hidden layer, F features, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainables.encoders.probing.config import ProbingConfig
from trainables.encoders.probing.inputs import FreeProbes, GeneratedProbes
from trainables.encoders.probing.responses import (
    MOMENTS,
    ROLES,
    by_role,
    compressed,
    moments,
    profiles,
    responses,
    units,
)
from trainables.encoders.supervised import NetworkModule
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.population import Population

# Features that hardly differ among training networks are not blown up to a deviation of 1.
SMALLEST_SCALE = 0.05
# Features are standardized by all networks of a layout, or where there are many by so many to twice as many of them.
STANDARDIZED_BY = 512


class HiddenReader(nn.Module):
    """Reads hidden layers of any number and width, whatever the order of their units.

    Args:
        config: What is read.

    Attributes:
        features: F, how many numbers it gives of a network.
    """

    def __init__(self, config: ProbingConfig) -> None:
        super().__init__()
        self.moments = config.hidden in ("moments", "both")
        self.unit = None
        if config.hidden in ("profiles", "both"):
            self.unit = nn.Sequential(
                nn.Linear(2 * config.count, config.units), nn.ReLU(), nn.Linear(config.units, config.units), nn.ReLU()
            )
        of_layer = self.moments * len(MOMENTS) * config.count + (self.unit is not None) * config.units
        self.features = len(ROLES) * of_layer

    def forward(self, layers: Sequence[Tensor], members: int) -> Tensor:
        """``[B, F]`` of layers ``[B, N, U, *positions]`` of so many members; zeros where there is no layer."""
        return by_role([self._of_layer(given) for given in layers]) if layers else torch.zeros(members, self.features)

    def _of_layer(self, given: Tensor) -> Tensor:
        of, found = units(given), []
        if self.moments:
            found.append(moments(given, of).flatten(1))
        if self.unit is not None:
            found.append(self.unit(profiles(of)).mean(1))
        return torch.cat(found, dim=1)


class Probing(NetworkModule):
    """Probes, what is read of responses, and a network that makes an embedding of it."""

    config_type: ClassVar = ProbingConfig
    # Hidden values of four times as many no longer fit into a core's cache, and take twice as long a network.
    embedded_at_once: ClassVar = 16
    config: ProbingConfig
    mean_F: Tensor
    scale_F: Tensor

    def __init__(self, config: ProbingConfig, facts: Mapping[str, Any]) -> None:
        super().__init__(config, facts)
        shape = tuple(facts["input_shape"])
        self.probes: FreeProbes | GeneratedProbes = (
            GeneratedProbes(config, shape) if config.probes == "generator" else FreeProbes(config, shape)
        )
        reads = config.hidden != "none"
        self.weighed = HiddenReader(config) if reads else None
        self.activated = HiddenReader(config) if reads else None
        features = config.count * facts["outputs"]
        features += sum(reader.features for reader in (self.weighed, self.activated) if reader is not None)
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("scale_F", torch.ones(features))
        parts: list[nn.Module] = []
        for number in range(config.layers):
            parts += [nn.Linear(config.width if number else features, config.width), nn.ReLU()]
        self.readout = nn.Sequential(*parts, nn.Linear(config.width, config.latent))

    @classmethod
    def facts_of(cls, config: ProbingConfig, data: FitData) -> dict[str, Any]:  # noqa: ARG003
        """The shape of an input and the number of outputs, which all networks must have in common."""
        architecture = data.training[0].architecture
        facts = {"input_shape": list(architecture.input_shape), "outputs": architecture.classes}
        for population in data.training:
            _require_ends(population.architecture, facts)
        return facts

    @torch.no_grad()
    def initialize(self, data: FitData) -> None:
        """Starts the probes, and standardizes features over the training networks."""
        self.probes.begin(data.dataset.train)
        features_MF = torch.cat(
            [
                self.features(population.select(some))
                for population in data.training
                for some in _spread(len(population), STANDARDIZED_BY).split(self.embedded_at_once)
            ]
        )
        self.mean_F.copy_(features_MF.mean(0))
        self.scale_F.copy_(features_MF.std(0, correction=0).clamp_min(SMALLEST_SCALE))

    def require(self, population: Population) -> None:
        """Refuses other inputs and outputs than those of the training networks."""
        _require_ends(population.architecture, self.facts)
        super().require(population)

    def forward(self, batch: Population) -> Tensor:
        """``embedding_BE``."""
        embedding_BE: Tensor = self.readout((self.features(batch) - self.mean_F) / self.scale_F)
        return embedding_BE

    def features(self, batch: Population) -> Tensor:
        """What is read of the networks' responses to the probes, ``[B, F]``."""
        x = self.probes()
        groups = list(batch.groups())
        parts = [self._of_architecture(architecture, batch.weights_MP[rows], x) for architecture, rows in groups]
        order = torch.cat([rows for _, rows in groups])
        return torch.cat(parts)[torch.argsort(order)]

    def _of_architecture(self, architecture: Architecture, weights_BP: Tensor, x: Tensor) -> Tensor:
        found = responses(architecture, weights_BP, x)
        features = [compressed(found.outputs_MNC).flatten(1)]
        for reader, layers in ((self.weighed, found.weighed), (self.activated, found.activated)):
            if reader is not None:
                features.append(reader(layers, len(weights_BP)))
        return torch.cat(features, dim=1)


def _require_ends(architecture: Architecture, facts: Mapping[str, Any]) -> None:
    """Raises a ``ValueError`` where networks have other inputs or another number of outputs than ``facts``."""
    if list(architecture.input_shape) != facts["input_shape"] or architecture.classes != facts["outputs"]:
        wanted, given = (
            f"inputs {'×'.join(map(str, shape))} and {outputs} outputs"
            for shape, outputs in (
                (facts["input_shape"], facts["outputs"]),
                (architecture.input_shape, architecture.classes),
            )
        )
        raise ValueError(
            f"probing gives all networks the same inputs and compares their outputs: these have {given}, others have "
            f"{wanted}; fit it to each kind on its own, or take an encoder that reads weights"
        )


def _spread(count: int, fewest: int) -> Tensor:
    """Numbers below ``count`` in equal steps, ``fewest`` to twice as many; all where there are fewer."""
    return torch.arange(0, count, max(1, count // fewest))
