"""Views: coordinates of weights, each with its exact inverse; and permutations of hidden units."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.align import Alignment, align
from zoo.views.canonical import canonicalize, inverted, permute, without_dead_inputs, zero_dead_inputs
from zoo.views.standardize import Standardized
from zoo.views.tokens import Flat, NeuronTokens

__all__ = [
    "Alignment",
    "Flat",
    "NeuronTokens",
    "Standardized",
    "View",
    "align",
    "canonicalize",
    "inverted",
    "permute",
    "without_dead_inputs",
    "zero_dead_inputs",
]


class View(Protocol):
    """Coordinates of weights that ``inverse(forward(w)).float()`` returns to float32 ``w``.

    A weight that is 0, or at least 1e-7 of the largest in its neuron's row and of its layer's mean size, comes back
    bit for bit; a smaller one to within 1e-11, and bit for bit too where a view says so. That is float64's precision
    where weights are mixed or shifted; "flat" and "tokens", which move weights only, are always exact. Both
    directions are differentiable.
    """

    architecture: Architecture

    @classmethod
    def fit(cls, training: Population, images: Examples) -> View:
        """Fits what there is to fit on training members and training images."""
        ...

    @classmethod
    def from_state(cls, architecture: Architecture, state: dict[str, Tensor]) -> View:
        """The inverse of :meth:`state`."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What a receiver must hold to apply the inverse."""
        ...

    def forward(self, weights_MP: Tensor) -> Tensor:
        """Coordinates in float64: ``[M, P]``, or ``[M, T, D]`` for tokens."""
        ...

    def inverse(self, coordinates: Tensor) -> Tensor:
        """``weights_MP`` in float64."""
        ...
