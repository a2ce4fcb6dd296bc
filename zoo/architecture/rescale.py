"""A fixed affine map of a network's inputs: how others prepare the pixels that their networks read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from zoo.architecture.layers import Forward, Layer, Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescale(Layer):
    """``x * scale + offset``, without parameters.

    Data sets here give pixels from 0 to 1. A network trained on pixels from -1 to 1, or on normalized ones, computes
    the same when this layer comes first.
    """

    scale: float = 1.0
    offset: float = 0.0
    kind: ClassVar[str] = "rescale"

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise ValueError(f"Rescale.{name} is {value!r}; allowed: a finite number")
        if self.scale == 0:
            raise ValueError("Rescale.scale is 0; allowed: any other finite number")

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, run: Forward, name: str, x: Tensor, shape: Shape) -> Tensor:  # noqa: ARG002
        return x * self.scale + self.offset

    def module(self, shape: Shape) -> nn.Module:  # noqa: ARG002
        return RescaleModule(self.scale, self.offset)


class RescaleModule(nn.Module):
    """``x * scale + offset``."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``x``."""
        return x * self.scale + self.offset
