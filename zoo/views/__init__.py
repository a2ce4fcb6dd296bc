"""Views: coordinates of weights, each with its exact inverse; and permutations of hidden units."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.images import Images
from zoo.population import Population
from zoo.views.align import Alignment, align
from zoo.views.canonical import canonicalise, inverted, permute, zero_dead_inputs
from zoo.views.metric import FunctionMetric
from zoo.views.standardise import Standardised
from zoo.views.tokens import Flat, NeuronTokens

__all__ = [
    "VIEWS",
    "Alignment",
    "Flat",
    "FunctionMetric",
    "NeuronTokens",
    "Standardised",
    "View",
    "align",
    "canonicalise",
    "inverted",
    "permute",
    "zero_dead_inputs",
]


class View(Protocol):
    """Coordinates of weights: ``inverse(forward(w)).float()`` equals float32 ``w`` bit for bit.

    (Each view says what it asks of weights that are tiny beside others.) Both directions are differentiable.
    """

    architecture: Architecture

    @classmethod
    def fit(cls, training: Population, images: Images) -> View:
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


VIEWS: dict[str, type[View]] = {
    "flat": Flat,
    "tokens": NeuronTokens,
    "standardised": Standardised,
    "metric": FunctionMetric,
}
