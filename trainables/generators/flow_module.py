"""The module of a flow: a velocity, and the way that it leads from noise to networks.

Shape letters: M networks, P parameters, D coordinates of the flow, B networks of a batch, Q numbers of a condition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainables.generators.config import FlowConfig

TIME_FEATURES = 32
# A path's share of noise below which a velocity is no longer told from the predicted network.
LEAST_NOISE = 0.02


class FlowModule(nn.Module):
    """Tells the velocity of the flow at a place and time.

    Args:
        config: Sizes.
        parameters: P.
        width: D.
        condition: Q.
    """

    directions_PD: Tensor
    center_P: Tensor
    deviation_P: Tensor
    scale_D: Tensor
    frequencies: Tensor

    def __init__(self, config: FlowConfig, parameters: int, width: int, condition: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("directions_PD", torch.zeros(parameters if config.components else 0, width))
        self.register_buffer("center_P", torch.zeros(parameters))
        self.register_buffer("deviation_P", torch.ones(parameters))
        self.register_buffer("scale_D", torch.ones(width))
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(200), TIME_FEATURES // 2)))
        self.enter = nn.Linear(width, config.width)
        self.told = nn.Linear(TIME_FEATURES + condition, config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.dropout) for _ in range(config.depth))
        self.leave = nn.Linear(config.width, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def coordinates(self, networks_MP: Tensor) -> Tensor:
        """The flow's coordinates of networks: ``[M, D]``, of deviation about 1."""
        centered_MP = networks_MP - self.center_P
        return (centered_MP @ self.directions_PD if self.config.components else centered_MP) / self.scale_D

    def networks(self, place_MD: Tensor) -> Tensor:
        """The inverse of :meth:`coordinates` within the components: ``[M, P]``."""
        scaled_MD = place_MD * self.scale_D
        return (scaled_MD @ self.directions_PD.T if self.config.components else scaled_MD) + self.center_P

    def forward(self, place_BD: Tensor, time_B: Tensor, condition_BQ: Tensor) -> Tensor:
        """What the configuration says is predicted: ``[B, D]``."""
        angle = time_B[:, None] * self.frequencies
        told = self.told(torch.cat([angle.sin(), angle.cos(), condition_BQ], dim=1))
        hidden = self.enter(place_BD)
        for block in self.blocks:
            hidden = block(hidden, told)
        predicted_BD: Tensor = self.leave(nn.functional.silu(hidden))
        return predicted_BD

    def velocity(self, place_BD: Tensor, time_B: Tensor, condition_BQ: Tensor) -> Tensor:
        """Of the flow: ``[B, D]``."""
        predicted_BD = self(place_BD, time_B, condition_BQ)
        if self.config.predicted == "velocity":
            return predicted_BD
        network, noise, network_rate, noise_rate = path(self.config.path, time_B[:, None])
        ratio = noise_rate / noise.clamp_min(LEAST_NOISE)
        return (network_rate - ratio * network) * predicted_BD + ratio * place_BD

    def made(self, condition_MQ: Tensor, generator: torch.Generator) -> Tensor:
        """Networks that the flow leads to, one for each condition: ``[M, P]``; differentiable in the parameters."""
        config, count = self.config, len(condition_MQ)
        place_MD = config.source * torch.randn(count, len(self.scale_D), generator=generator)
        for step in range(config.integration_steps):
            start, length = step / config.integration_steps, 1 / config.integration_steps
            place_MD = place_MD + length * self._slope(place_MD, start, length, condition_MQ)
        networks_MP = self.networks(place_MD)
        if config.noise:
            noise_MP = torch.randn(networks_MP.shape, generator=generator)
            networks_MP = networks_MP + self.deviation_P * noise_MP
        return networks_MP

    def _slope(self, place_MD: Tensor, time: float, step: float, condition_MQ: Tensor) -> Tensor:
        """The solver's mean velocity over a step."""
        one = self._guided(place_MD, time, condition_MQ)
        if self.config.solver == "euler":
            return one
        two = self._guided(place_MD + step / 2 * one, time + step / 2, condition_MQ)
        three = self._guided(place_MD + step / 2 * two, time + step / 2, condition_MQ)
        four = self._guided(place_MD + step * three, time + step, condition_MQ)
        return (one + 2 * two + 2 * three + four) / 6

    def _guided(self, place_MD: Tensor, time: float, condition_MQ: Tensor) -> Tensor:
        time_M, guidance = torch.full((len(place_MD),), time), self.config.guidance
        wanted_MD = self.velocity(place_MD, time_M, condition_MQ)
        if guidance == 1 or not condition_MQ.shape[1]:
            return wanted_MD
        free_MD = self.velocity(place_MD, time_M, torch.zeros_like(condition_MQ))
        return free_MD + guidance * (wanted_MD - free_MD)


class Block(nn.Module):
    """A residual block that is told the time and the condition."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.one, self.other = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, told: Tensor) -> Tensor:
        """``[B, width]``."""
        inner = nn.functional.silu(self.one(nn.functional.silu(self.norm(hidden) + told)))
        return hidden + self.other(self.dropout(inner))


def path(name: str, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shares of network and noise at times from 0 (noise) to 1 (network), and their rates of change."""
    if name == "linear":
        return time, 1 - time, torch.ones_like(time), -torch.ones_like(time)
    angle = 0.5 * math.pi * time
    return angle.sin(), angle.cos(), 0.5 * math.pi * angle.cos(), -0.5 * math.pi * angle.sin()
