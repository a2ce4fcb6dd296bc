"""Second moments of what the layers of a population read, over examples and positions.

Shape letters: M members, N examples, S positions, U units that a layer reads, B entries of each, D inputs of an output
with the bias.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.weight_layers import WeightLayer, watched, weight_layers

# More examples than this change nothing in the second moment of some hundred inputs.
MOMENT_EXAMPLES = 10_000
POOLED_MEMBERS = 256
POOLED_EXAMPLES = 1000
# Numbers that one member's inputs of one layer may take up, and those of a batch of members.
PATCH_ENTRIES = 2**21
BATCH_ENTRIES = 2**24


def second_moment(patches: Tensor) -> Tensor:
    """E[p pᵀ] of patches ``[N, S, D]`` or ``[M, N, S, D]`` over examples and positions."""
    rows = patches.flatten(-3, -2)
    return rows.transpose(-1, -2) @ rows / rows.shape[-2]


def input_moments(population: Population, examples: Examples) -> list[Tensor]:
    """E[p pᵀ] of what each weight layer reads, 1 appended where the layer has a bias.

    Inputs with names have a moment of their own. Hidden units have none, so theirs is pooled over units and members:
    the mean moment of a unit's entries (one, or those of a patch or of a flattened image), that of two different
    units', and their mean. Each member counts in proportion to its own mean square, and the whole has the median of
    these over (at most 256) members, evenly spaced: a few with huge activations must not set the scale for all.

    Args:
        population: Training members; rows with weights or activations that are not finite do not count.
        examples: Training examples.

    Returns:
        For each of :func:`zoo.views.weight_layers.weight_layers` ``[D, D]`` float64.

    Raises:
        ValueError: Activations are finite for no member.
    """
    step = -(-len(population) // POOLED_MEMBERS)
    chosen = population.select(range(0, len(population), step))
    layers = weight_layers(population.architecture)
    moments: list[list[Tensor]] = [[] for _ in layers]
    for architecture, rows in chosen.groups():
        count = pooled_examples(architecture, len(examples))
        size = max(1, BATCH_ENTRIES // max(1, count * patch_entries(architecture)))
        for batch in rows.split(size):
            with torch.no_grad():
                inputs, _, _ = watched(architecture, chosen.weights_MP[batch], examples.first(count).inputs)
            for layer, found in zip(layers, moments, strict=True):
                if not _from_data(layer, inputs[layer.name]):
                    found.append(second_moment(layer.patches(inputs[layer.name])).double())
    return [
        _pooled(layer, torch.cat(found)) if found else data_moment(population.architecture, layer, examples)
        for layer, found in zip(layers, moments, strict=True)
    ]


def _from_data(layer: WeightLayer, x: Tensor) -> bool:
    """Whether a layer reads the examples themselves, the same for all members."""
    return x.ndim == len(layer.place.shape) + 1


def patch_entries(architecture: Architecture) -> int:
    """The most numbers that a layer reads of one example."""
    return max(layer.positions * layer.width for layer in weight_layers(architecture))


def pooled_examples(architecture: Architecture, available: int) -> int:
    """On how many examples members are measured: fewer where they have many positions."""
    return max(1, min(POOLED_EXAMPLES, available, PATCH_ENTRIES // patch_entries(architecture)))


def data_moment(architecture: Architecture, layer: WeightLayer, examples: Examples) -> Tensor:
    """The second moment of a layer that reads the examples themselves: ``[D, D]`` float64, of at most 10 000."""
    count = min(MOMENT_EXAMPLES, max(1, 8 * PATCH_ENTRIES // (layer.positions * layer.width)))
    weights_1P = torch.zeros(1, architecture.parameters)
    with torch.no_grad():
        inputs, _, _ = watched(architecture, weights_1P, examples.first(count).inputs)
    return second_moment(layer.patches(inputs[layer.name]).double())


def _pooled(layer: WeightLayer, moment_MDD: Tensor) -> Tensor:
    """One moment for all members, the same however their units are ordered."""
    members = len(moment_MDD)
    moment_MDD = moment_MDD[torch.isfinite(moment_MDD).all(dim=(1, 2))]
    if not len(moment_MDD):
        raise ValueError(f"none of {members} members has finite activations; no metric can be fitted on them")
    read, units, entries = layer.units * layer.entries, layer.units, layer.entries
    square_M = moment_MDD[:, :read, :read].diagonal(dim1=1, dim2=2).mean(dim=1)
    scale = float(square_M.median())
    if bool((square_M > 0).any()):
        moment_MDD, square_M = moment_MDD[square_M > 0], square_M[square_M > 0]
    share_M11 = (1 / square_M.clamp_min(torch.finfo(torch.float64).tiny))[:, None, None]
    blocks = (moment_MDD[:, :read, :read] * share_M11).mean(dim=0).unflatten(1, (units, entries))
    blocks_UBUB = blocks.unflatten(0, (units, entries))
    own_BB = torch.einsum("ubuc->bc", blocks_UBUB) / units
    other_BB = (blocks_UBUB.sum(dim=(0, 2)) - units * own_BB) / max(units * (units - 1), 1)
    pooled_UBUB = other_BB[None, :, None, :].expand(units, -1, units, -1).clone()
    pooled_UBUB.diagonal(dim1=0, dim2=2).copy_(own_BB.unsqueeze(2).expand(-1, -1, units))
    pooled_DD = scale * pooled_UBUB.reshape(read, read)
    if layer.bias is None:
        return pooled_DD
    mean_D = (moment_MDD[:, :read, -1] * share_M11[:, :, 0].sqrt()).mean(dim=0) * scale**0.5
    mean_B = mean_D.unflatten(0, (units, entries)).mean(dim=0)
    pooled_DD = torch.nn.functional.pad(pooled_DD, (0, 1, 0, 1))
    pooled_DD[-1, :-1] = pooled_DD[:-1, -1] = mean_B.repeat(units)
    pooled_DD[-1, -1] = 1
    return pooled_DD
