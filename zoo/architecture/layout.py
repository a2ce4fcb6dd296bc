"""Where the tensors and the layers of an architecture are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.architecture.layers import Layer, Shape


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor: its name in the ``state_dict``, its shape, and where it begins in the flat vector.

    Attributes:
        name: Its name in the ``state_dict``.
        shape: Its shape.
        offset: Where it begins in the flat vector.
        trainable: Whether it is a parameter; else a buffer, stored but not optimized.
    """

    name: str
    shape: Shape
    offset: int
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def span(self) -> slice:
        """Where the tensor lies in the flat vector."""
        return slice(self.offset, self.offset + self.size)


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer in its place.

    Attributes:
        name: Its name in the ``state_dict``: "3", or "3.body.0" inside a residual.
        layer: Its specification.
        shape: The shape of one example at its input.
    """

    name: str
    layer: Layer
    shape: Shape

    @property
    def output_shape(self) -> Shape:
        """The shape of one example at its output."""
        return self.layer.output_shape(self.shape)
