"""What makes weights of a vector z.

Heads: one linear map a tensor as in Ha, Dai and Le, "HyperNetworks" (ICLR 2017, arXiv 1609.09106), there for the
embedding of a layer; pieces with a vector of their own as in von Oswald et al., "Continual learning with hypernetworks"
(ICLR 2020, arXiv 1906.00695, section 2.2, chunked); weighted directions of the whole weight vector.

Shape letters: T tasks, P parameters, Z width of z, H width of what heads read, R directions, K pieces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainables.autoencoders.coordinates import Coordinates
from trainables.hypernetworks.config import HypernetworkConfig
from zoo.architecture import Architecture

# Fan-in initialization of a ReLU network: weights of deviation √(2 / fan-in).
GAIN = 2.0


class WeightGenerator(nn.Module):
    """Makes the weights of a network of each vector.

    Weights leave it scaled tensor by tensor by √(2 / inputs of a unit), or at coordinates whose size is that of trained
    networks, so that a generator that has just been drawn makes networks whose signals neither grow nor vanish.

    Args:
        config: Sizes.
        architecture: Of the networks.
        coordinates: In which weights are made; ``None`` for those scaled by the inputs of a unit.
    """

    scale_P: Tensor

    def __init__(
        self, config: HypernetworkConfig, architecture: Architecture, coordinates: Coordinates | None = None
    ) -> None:
        super().__init__()
        self.config, self.architecture, self.coordinates = config, architecture, coordinates
        self.register_buffer("scale_P", tensor_scales(architecture))
        self.trunk = nn.Sequential(nn.Linear(config.z, config.hidden), nn.ReLU()) if config.hidden else nn.Identity()
        self.head = HEADS[config.head](config, config.hidden or config.z, architecture)
        self.base = nn.Parameter(torch.randn(architecture.parameters)) if config.residual else None

    def forward(self, z_TZ: Tensor) -> Tensor:
        """``weights_TP``."""
        weights_TP = self.head(self.trunk(z_TZ))
        if self.base is not None:
            weights_TP = weights_TP + self.base
        if self.config.bounded:
            weights_TP = weights_TP.tanh()
        return weights_TP * self.scale_P if self.coordinates is None else self.coordinates.weights(weights_TP)


class LinearHead(nn.Module):
    """One linear map for each tensor, in one product."""

    def __init__(self, config: HypernetworkConfig, width: int, architecture: Architecture) -> None:  # noqa: ARG002
        super().__init__()
        self.map = nn.Linear(width, architecture.parameters)
        nn.init.normal_(self.map.weight, std=1 / math.sqrt(width))
        nn.init.zeros_(self.map.bias)

    def forward(self, read_TH: Tensor) -> Tensor:
        """``[T, P]``."""
        weights_TP: Tensor = self.map(read_TH)
        return weights_TP


class LowRankHead(nn.Module):
    """Few numbers that weigh directions of the whole weight vector."""

    def __init__(self, config: HypernetworkConfig, width: int, architecture: Architecture) -> None:
        super().__init__()
        self.weigh = nn.Linear(width, config.rank)
        self.directions_RP = nn.Parameter(torch.randn(config.rank, architecture.parameters) / math.sqrt(config.rank))

    def forward(self, read_TH: Tensor) -> Tensor:
        """``[T, P]``."""
        weights_TP: Tensor = self.weigh(read_TH) @ self.directions_RP
        return weights_TP


class ChunkedHead(nn.Module):
    """One small network for all pieces of the weight vector, told which piece by a vector that is learned."""

    def __init__(self, config: HypernetworkConfig, width: int, architecture: Architecture) -> None:
        super().__init__()
        self.parameters_made = architecture.parameters
        pieces = -(-architecture.parameters // config.chunk)
        self.piece_KH = nn.Parameter(torch.randn(pieces, width))
        self.map = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, config.chunk))

    def forward(self, read_TH: Tensor) -> Tensor:
        """``[T, P]``."""
        tasks, pieces = len(read_TH), len(self.piece_KH)
        both = torch.cat([read_TH.unsqueeze(1).expand(-1, pieces, -1), self.piece_KH.expand(tasks, -1, -1)], dim=2)
        weights_TP: Tensor = self.map(both).flatten(1)[:, : self.parameters_made]
        return weights_TP


HEADS: dict[str, type[LinearHead] | type[LowRankHead] | type[ChunkedHead]] = {
    "linear": LinearHead,
    "low-rank": LowRankHead,
    "chunked": ChunkedHead,
}


def tensor_scales(architecture: Architecture) -> Tensor:
    """√(2 / inputs of a unit) for weights and biases alike: ``[P]``; the inputs are those of the weights before."""
    scale_P = torch.empty(architecture.parameters)
    inputs = 1
    for spec in architecture.layout:
        if len(spec.shape) > 1:
            inputs = math.prod(spec.shape[1:])
        scale_P[spec.span] = math.sqrt(GAIN / inputs)
    return scale_P
