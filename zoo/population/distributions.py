"""Distributions of initial weights, those of ``torch.nn.init``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zoo.architecture import TensorSpec
from zoo.config import lookup

Draw = Callable[[np.random.Generator, TensorSpec, float], np.ndarray]


@dataclass(frozen=True, slots=True)
class Initialization:
    """A distribution for the weights of linear layers and convolutions; biases start at zero.

    Batch norms start as the identity whatever the distribution.

    Attributes:
        draw: Draws the entries of a tensor, flat float32, given their standard deviation.
        std: Standard deviation for a tensor with (fan_in, fan_out).
    """

    draw: Draw
    std: Callable[[int, int], float]


def _normal(generator: np.random.Generator, spec: TensorSpec, std: float) -> np.ndarray:
    return generator.standard_normal(spec.size, dtype=np.float32) * np.float32(std)


def _uniform(generator: np.random.Generator, spec: TensorSpec, std: float) -> np.ndarray:
    return (2 * generator.random(spec.size, dtype=np.float32) - 1) * np.float32(std * math.sqrt(3))


def _positive(generator: np.random.Generator, spec: TensorSpec, high: float) -> np.ndarray:
    """Uniform from 0: what ``torch.nn.init.uniform_`` draws by default."""
    return generator.random(spec.size, dtype=np.float32) * np.float32(high)


def _truncated(generator: np.random.Generator, spec: TensorSpec, std: float) -> np.ndarray:
    """Normal without what is further than two standard deviations from zero, which is drawn again."""
    draw = generator.standard_normal(spec.size, dtype=np.float32)
    while (far := np.abs(draw) > 2).any():
        draw[far] = generator.standard_normal(int(far.sum()), dtype=np.float32)
    return draw * np.float32(std)


def _orthogonal(generator: np.random.Generator, spec: TensorSpec, gain: float) -> np.ndarray:
    """Saxe et al. (2014): orthonormal rows or columns of ``[out, in * kernel]``, uniformly distributed."""
    rows, columns = spec.shape[0], math.prod(spec.shape[1:])
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return (gain * (q if rows >= columns else q.T)).astype(np.float32).reshape(-1)


def _xavier(fan_in: int, fan_out: int) -> float:
    """Glorot and Bengio (2010), gain 1."""
    return math.sqrt(2 / (fan_in + fan_out))


def _kaiming(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    """He et al. (2015), fan-in mode, gain √2."""
    return math.sqrt(2 / fan_in)


def _tenth(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    """The plain distributions: uniform on [-0.1·√3, 0.1·√3] or normal with this standard deviation."""
    return 0.1


def _one(fan_in: int, fan_out: int) -> float:  # noqa: ARG001
    return 1.0


INITIALIZATIONS: dict[str, Initialization] = {
    "uniform": Initialization(_uniform, _tenth),
    "normal": Initialization(_normal, _tenth),
    "truncated_normal": Initialization(_truncated, _tenth),
    "unit_uniform": Initialization(_positive, _one),
    "unit_normal": Initialization(_normal, _one),
    "xavier_uniform": Initialization(_uniform, _xavier),
    "xavier_normal": Initialization(_normal, _xavier),
    "kaiming_uniform": Initialization(_uniform, _kaiming),
    "kaiming_normal": Initialization(_normal, _kaiming),
    "orthogonal": Initialization(_orthogonal, _one),
}


def fans(spec: TensorSpec) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight tensor ``[out, in, *kernel]``, as torch counts them."""
    receptive = math.prod(spec.shape[2:])
    return spec.shape[1] * receptive, spec.shape[0] * receptive


def find_initialization(name: str) -> Initialization:
    """The distribution of a name in ``INITIALIZATIONS``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is none, or it is no :class:`Initialization`.
    """
    found = lookup(INITIALIZATIONS, name, "initialization")
    if not isinstance(found, Initialization):
        raise ValueError(
            f"initialization {name!r} is a {type(found).__name__}; it must be a "
            "zoo.population.distributions.Initialization"
        )
    return found
