"""The one path by which members are applied to examples, without gradients.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.population.population import steps
from zoo.training.lanes import forward_obstacle
from zoo.training.lanes import logits as lanes_logits
from zoo.training.lanes.packing import LANES

# Outputs of a layer in one step of evaluation: 16 MB of float32, about where convolutions are fastest too.
OUTPUTS_AT_ONCE = 4_000_000
# Members in one step: enough to fill the products, few enough to leave each some examples.
MEMBERS_AT_ONCE = 64


@torch.no_grad()
def apply(
    population: Population, examples: Examples, weights_MP: Tensor | None = None
) -> Iterator[tuple[Tensor, slice, Tensor]]:
    """Applies all members to all examples, some at a time, without gradients.

    The kernel of ``zoo.training.lanes`` is several times faster than torch on convolutions, and on MLPs where it has
    members for all its lanes.

    Args:
        population: The members.
        examples: What they are applied to.
        weights_MP: Used instead of the population's own weights where given.

    Yields:
        Which rows (int64), which examples, and the outputs ``outputs_MNC`` float32 of the ones on the others.
    """
    every_MP = population.weights_MP if weights_MP is None else weights_MP
    for block in population.blocks():
        architecture = population.architectures[int(population.architecture_M[block[0]])]
        wanted = not architecture.is_mlp or len(block) >= LANES
        in_lanes = wanted and forward_obstacle(architecture, examples) is None
        for rows in steps(block, MEMBERS_AT_ONCE):
            rows_MP = every_MP[rows]
            size = _examples_at_once(architecture, LANES if in_lanes else len(rows))
            for start in range(0, len(examples), size):
                span = slice(start, min(start + size, len(examples)))
                part = examples.select(span)
                if in_lanes:
                    yield rows, span, lanes_logits(architecture, rows_MP, part)
                else:
                    yield rows, span, architecture.logits(rows_MP, part.inputs)


def outputs(population: Population, examples: Examples, weights_MP: Tensor | None = None) -> Tensor:
    """All outputs of :func:`apply` at once: ``outputs_MNC``."""
    outputs_MNC = torch.empty(len(population), len(examples), population.architecture.classes)
    for rows, span, part_MNC in apply(population, examples, weights_MP):
        outputs_MNC[rows, span] = part_MNC
    return outputs_MNC


def _examples_at_once(architecture: Architecture, members: int) -> int:
    """How many examples to apply members to, so that no layer's outputs take more than 16 MB."""
    largest = max(math.prod(place.output_shape) for place in architecture.placed if place.layer.kind != "flatten")
    return max(1, OUTPUTS_AT_ONCE // (members * largest))
