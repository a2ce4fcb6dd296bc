"""Second moments of what the layers of a population read.

Shape letters: M members, N examples, H units of a hidden layer, D inputs of a layer with the bias.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population

# More images than this change nothing in the second moment of some hundred pixels.
MOMENT_IMAGES = 10_000
POOLED_MEMBERS = 256
POOLED_IMAGES = 1000


def image_moment(images: Examples, *, bias: bool) -> Tensor:
    """E[x xᵀ] of flattened images.

    Args:
        images: The first 10 000 are used.
        bias: Whether a constant input of 1 is appended.

    Returns:
        ``[D, D]`` float64.
    """
    x_ND = images.first(MOMENT_IMAGES).inputs.flatten(1).double()
    if bias:
        x_ND = torch.cat([x_ND, torch.ones(len(x_ND), 1, dtype=x_ND.dtype)], dim=1)
    return x_ND.T @ x_ND / len(x_ND)


def hidden_statistics(architecture: Architecture, weights_MP: Tensor, images: Examples) -> list[Tensor]:
    """For each hidden layer, what its outputs' second moment is on average over its units.

    Args:
        architecture: The members' architecture; one activation follows each hidden layer.
        weights_MP: Members.
        images: All are used, at once.

    Returns:
        For each hidden layer ``[M, 3]`` float64: E[h_i²], E[h_i·h_j] for different units, and E[h_i].
    """
    statistics: list[Tensor] = []

    def record(_: int, outputs_MNH: Tensor) -> Tensor:
        h_MNH = outputs_MNH.double()
        units = h_MNH.shape[2]
        total_MN = h_MNH.sum(dim=2)
        diagonal_M = h_MNH.square().mean(dim=(1, 2))
        pairs = max(units * (units - 1), 1)
        other_M = (total_MN.square().mean(dim=1) - units * diagonal_M) / pairs
        statistics.append(torch.stack([diagonal_M, other_M, total_MN.mean(dim=1) / units], dim=1))
        return outputs_MNH

    architecture.logits(weights_MP, images.inputs, after_activation=record)
    hidden = len(architecture.linear_layers) - 1
    if len(statistics) != hidden:
        raise ValueError(
            f"{hidden} hidden layers are followed by {len(statistics)} activations; expected one after each"
        )
    return statistics


def input_moments(population: Population, images: Examples) -> list[Tensor]:
    """E[x xᵀ] of each linear layer's inputs, 1 appended where the layer has a bias.

    A hidden layer's units have no names, so its moment is pooled over units and over members: one mean square,
    one mean product of two units, one mean. Each is the median over (at most 256) members, evenly spaced, on at
    most 1000 images: a few members with huge activations must not set the scale for all.

    Args:
        population: Training members; rows with weights or activations that are not finite do not count.
        images: Training images.

    Returns:
        For each linear layer ``[D, D]`` float64.

    Raises:
        ValueError: A layer's statistics are finite for no member, or the networks are not multilayer perceptrons.
    """
    population.architecture.require_mlp("the second moment of layers' inputs", "use what needs no moments")
    layers = population.architecture.linear_layers
    moments = [image_moment(images, bias=layers[0][1] is not None)]
    step = -(-len(population) // POOLED_MEMBERS)
    chosen = population.select(range(0, len(population), step))
    pooled = [
        hidden_statistics(architecture, chosen.weights_MP[rows], images.first(POOLED_IMAGES))
        for architecture, rows in chosen.groups()
    ]
    for index, (weight, bias) in enumerate(layers[1:]):
        statistics_M3 = torch.cat([group[index] for group in pooled])
        statistics_M3 = statistics_M3[torch.isfinite(statistics_M3).all(dim=1)]
        if not len(statistics_M3):
            raise ValueError(f"none of {len(chosen)} members has finite activations; no metric can be fitted on them")
        square, product, mean = statistics_M3.median(dim=0).values.tolist()
        units = weight.shape[1]
        moment_DD = torch.full((units, units), product, dtype=torch.float64).fill_diagonal_(square)
        if bias is not None:
            moment_DD = torch.nn.functional.pad(moment_DD, (0, 1, 0, 1), value=mean)
            moment_DD[-1, -1] = 1
        moments.append(moment_DD)
    return moments
