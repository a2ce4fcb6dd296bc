"""Initial weights, in the distributions of ``torch.nn.init``.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture, TensorSpec
from zoo.training.streams import Purpose, stream

if TYPE_CHECKING:
    from zoo.population import Member


@dataclass(frozen=True, slots=True)
class Initialisation:
    """A zero-mean distribution for weight tensors; biases start at zero.

    Attributes:
        normal: Whether normal (else uniform).
        std: Standard deviation for a tensor with (fan_in, fan_out).
    """

    normal: bool
    std: Callable[[int, int], float]


def _xavier(fan_in: int, fan_out: int) -> float:
    """Glorot and Bengio (2010), gain 1."""
    return math.sqrt(2 / (fan_in + fan_out))


def _kaiming(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    """He et al. (2015), fan-in mode, gain √2."""
    return math.sqrt(2 / fan_in)


def _constant(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    """The plain distributions: uniform on [-0.1·√3, 0.1·√3] or normal with this standard deviation."""
    return 0.1


INITIALISATIONS: dict[str, Initialisation] = {
    "uniform": Initialisation(normal=False, std=_constant),
    "normal": Initialisation(normal=True, std=_constant),
    "xavier_uniform": Initialisation(normal=False, std=_xavier),
    "xavier_normal": Initialisation(normal=True, std=_xavier),
    "kaiming_uniform": Initialisation(normal=False, std=_kaiming),
    "kaiming_normal": Initialisation(normal=True, std=_kaiming),
}


def fans(spec: TensorSpec) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight tensor ``[out, in, *kernel]``, as torch counts them."""
    receptive = math.prod(spec.shape[2:])
    return spec.shape[1] * receptive, spec.shape[0] * receptive


def initial_weights(architecture: Architecture, members: Sequence[Member]) -> Tensor:
    """Draws every member's initial weights from its own stream.

    Returns:
        ``weights_MP`` float32; a member's row depends on the member and the architecture alone.
    """
    weights_MP = np.zeros((len(members), architecture.parameters), dtype=np.float32)
    for row, member in enumerate(members):
        distribution = INITIALISATIONS[member.initialisation]
        generator = stream(Purpose.INITIALISATION, member.seed)
        for spec in architecture.layout:
            if len(spec.shape) < 2:
                continue
            std = distribution.std(*fans(spec)) * member.init_scale
            if distribution.normal:
                draw = generator.standard_normal(spec.size, dtype=np.float32) * np.float32(std)
            else:
                bound = np.float32(std * math.sqrt(3))
                draw = (2 * generator.random(spec.size, dtype=np.float32) - 1) * bound
            weights_MP[row, spec.span] = draw
    return torch.from_numpy(weights_MP)
