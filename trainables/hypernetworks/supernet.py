"""The module that is fitted: the generator of weights, and vectors of tasks, learned or computed from descriptions.

Shape letters: T tasks, Z width of z, D width of a description.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.autoencoders.coordinates import Coordinates
from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.generator import WeightGenerator
from zoo.architecture import Architecture


class SuperNet(nn.Module):
    """The generator with the vectors of its training tasks.

    Args:
        config: Sizes.
        architecture: Of the networks.
        tasks: Names of the training tasks.
        described: Width of their descriptions; 0 where they are not described.
        embedding: What is made of examples before they are averaged to descriptions, if it is learned.
        coordinates: In which weights are made; see :class:`WeightGenerator`.

    Raises:
        ValueError: z has fewer entries than there are tasks though it is to be one-hot.
    """

    description_TD: Tensor
    center_D: Tensor
    scale: Tensor

    def __init__(
        self,
        config: HypernetworkConfig,
        architecture: Architecture,
        tasks: Sequence[str],
        described: int = 0,
        embedding: Embedding | None = None,
        coordinates: Coordinates | None = None,
    ) -> None:
        super().__init__()
        self.config, self.architecture, self.tasks = config, architecture, tuple(tasks)
        if config.one_hot and config.z < len(tasks):
            raise ValueError(
                f"HypernetworkConfig.z is {config.z}; allowed: {len(tasks)} or more, one entry for each training task, "
                "or --set one_hot=false"
            )
        self.generator = WeightGenerator(config, architecture, coordinates)
        self.embedding = embedding
        if described:
            self.encoder = nn.Linear(described, config.z)
            nn.init.zeros_(self.encoder.bias)
            if embedding is None:
                # From zero, so that nothing comes of what no training task differs in.
                nn.init.zeros_(self.encoder.weight)
            self.register_buffer("description_TD", torch.zeros(len(tasks), described))
            self.register_buffer("center_D", torch.zeros(described))
            self.register_buffer("scale", torch.ones(()))
            return
        start_TZ = torch.eye(config.z)[: len(tasks)] if config.one_hot else torch.randn(len(tasks), config.z)
        self.z_TZ = nn.Parameter(start_TZ, requires_grad=config.learn_z)

    def know(self, description_TD: Tensor) -> None:
        """Keeps the descriptions of the training tasks, about whose mean others are seen."""
        self.description_TD.copy_(description_TD)
        if self.embedding is not None:  # which sees examples about their mean itself
            return
        self.center_D.copy_(description_TD.mean(0))
        self.scale.copy_((description_TD - self.center_D).square().mean().sqrt().clamp_min(1e-12))

    def computed(self, description_TD: Tensor) -> Tensor:
        """Vectors of tasks from their descriptions: ``[T, Z]``."""
        z_TZ: Tensor = self.encoder((description_TD - self.center_D) / self.scale)
        return z_TZ

    @property
    def trained_vectors(self) -> Tensor:
        """Vectors of the training tasks: ``[T, Z]``."""
        return self.computed(self.description_TD) if self.config.describe else self.z_TZ


class Embedding(nn.Module):
    """Makes a vector of each example.

    Args:
        example: Width of an example.
        width: Of the vector.
    """

    center_F: Tensor
    scale: Tensor

    def __init__(self, example: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(example, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.register_buffer("center_F", torch.zeros(example))
        self.register_buffer("scale", torch.ones(()))

    def know(self, examples_NF: Tensor) -> None:
        """Examples are seen about the mean of these, by their deviation."""
        self.center_F.copy_(examples_NF.mean(0))
        self.scale.copy_((examples_NF - self.center_F).square().mean().sqrt().clamp_min(1e-12))

    def forward(self, examples_NF: Tensor) -> Tensor:
        """``[N, width]``."""
        embedded: Tensor = self.net((examples_NF - self.center_F) / self.scale)
        return embedded
