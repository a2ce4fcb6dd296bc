"""Augmentations of networks: other weights for the same function, and weights with a part missing or noise.

Shape letters: M networks, P parameters, H units of a hidden layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.population import Population
from zoo.views import permute
from zoo.views.canonical import widths

# Shares of a network that are erased, from the smallest to the largest block.
ERASED = (0.02, 0.33)


def permuted(weights_MP: Tensor, architecture: Architecture, generator: torch.Generator) -> Tensor:
    """Every network with the units of each hidden layer in a random order of its own; the function stays the same."""
    orders = {
        name: torch.rand(len(weights_MP), width, generator=generator).argsort(dim=1).to(weights_MP.device)
        for name, width in widths(architecture).items()
    }
    return permute(weights_MP, architecture, orders)


def permuted_networks(population: Population, generator: torch.Generator) -> Population:
    """The same for networks of several architectures of one layout, each with the symmetry of its own."""
    groups = list(population.groups())
    moved = [permuted(population.weights_MP[rows], architecture, generator) for architecture, rows in groups]
    order = torch.cat([rows for _, rows in groups]).argsort()
    return population.with_weights(torch.cat(moved)[order])


def erased(weights_MP: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zero in place of one block of neighboring weights, of 2 to 33 % of the network, with some probability."""
    members, parameters = weights_MP.shape
    draws = torch.rand(3, members, 1, generator=generator).to(weights_MP.device)
    length_M1 = (ERASED[0] + (ERASED[1] - ERASED[0]) * draws[0]) * parameters * (draws[1] < probability)
    start_M1 = draws[2] * (parameters - length_M1)
    place_P = torch.arange(parameters, device=weights_MP.device)
    return weights_MP.masked_fill((place_P >= start_M1) & (place_P < start_M1 + length_M1), 0.0)


def noisy(weights_MP: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Normal noise on every weight, of so many root mean squares of its network."""
    if not noise:
        return weights_MP
    size_M1 = weights_MP.square().mean(dim=1, keepdim=True).sqrt()
    return weights_MP + noise * size_M1 * torch.randn(weights_MP.shape, generator=generator).to(weights_MP.device)
