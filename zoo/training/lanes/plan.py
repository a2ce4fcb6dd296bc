"""What an architecture computes in the kernel: one move after the other, from values to values.

Values of one example lie as ``[height, width, channels]`` (vectors count as one position), so that the channels a
product sums over and writes are neighbors; images that a convolution pads lie inside a border of zeros. An
activation writes over its input where its derivative follows from its value and nobody else reads the input; a
residual's sum writes over what its body gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from zoo.architecture import (
    Activate,
    Architecture,
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool,
    Rescale,
    Residual,
    Shape,
)
from zoo.architecture.residual import named
from zoo.training.lanes.codes import (
    ACTIVATION,
    COPY,
    FUNCTIONS,
    KEEPS_VALUE,
    MAXIMUM,
    MEAN,
    MOMENTS,
    NORM,
    PRODUCT,
    SUM,
)

KINDS: dict[type[Layer], int] = {
    Linear: PRODUCT,
    Conv: PRODUCT,
    Activate: ACTIVATION,
    MaxPool: MAXIMUM,
    AveragePool: MEAN,
    GlobalAveragePool: MEAN,
    BatchNorm: NORM,
}


class NoPlanError(ValueError):
    """The kernel cannot compute an architecture; the message says why."""


@dataclass(eq=False)
class Image:
    """Values of one example; ``border`` is what the widest of the convolutions that read them pads."""

    height: int
    width: int
    channels: int
    border: int = 0
    begin: int = 0

    @classmethod
    def of(cls, shape: Shape) -> Image:
        """An image of a torch shape; a vector is one position."""
        channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
        return cls(height, width, channels)

    def alike(self) -> Image:
        """Another of the same lengths."""
        return Image(*self.lengths)

    @property
    def lengths(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def row(self) -> int:
        """From one row to the next."""
        return (self.width + 2 * self.border) * self.channels

    @property
    def size(self) -> int:
        """From one example to the next."""
        return (self.height + 2 * self.border) * self.row

    def interior(self) -> np.ndarray:
        """Where the channels of each position begin."""
        return self.windows(self.height, self.width, 1)

    def windows(self, height: int, width: int, stride: int, padding: int = 0) -> np.ndarray:
        """Where each of ``height`` by ``width`` windows begins."""
        y, x = np.mgrid[:height, :width] * stride + self.border - padding
        return (y * self.row + x * self.channels).ravel()

    def window(self, height: int, width: int) -> np.ndarray:
        """What is in a window, relative to its beginning, without channels."""
        return self.windows(height, width, 1, self.border)


@dataclass(eq=False)
class Move:
    """One step.

    Attributes:
        kind: Of step.
        name: The layer's name in the ``state_dict``.
        layer: What it does; a sum is part of a residual.
        shape: Of the layer's input, as torch has it.
        source: What it reads.
        target: What it writes; for some kinds the same.
        adds: Whether a later move gives its source a gradient too, to which it adds.
    """

    kind: int
    name: str
    layer: Layer
    shape: Shape
    source: Image
    target: Image
    adds: bool = False


@dataclass
class Plan:
    """Everything that an architecture computes.

    Attributes:
        inputs: The image that the first move reads.
        moves: In order.
        scale: Inputs are pixels times this,
        offset: plus this.
    """

    inputs: Image
    moves: list[Move] = field(default_factory=list)
    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, architecture: Architecture) -> Plan:
        """Makes the plan.

        Raises:
            NoPlanError: There is none.
        """
        shape = architecture.shapes[0]
        first = next(layer for layer in architecture.layers if not isinstance(layer, Flatten | Rescale))
        # Where a linear layer reads them, inputs may stay in torch's order.
        plan = cls(Image.of((math.prod(shape),) if isinstance(first, Linear) else shape))
        logits, _ = plan._sequence(named(architecture.layers, shape), plan.inputs)
        if logits.height * logits.width > 1:
            raise NoPlanError("it trains only networks whose logits are not the positions of an image")
        later: set[Image] = set()
        for move in reversed(plan.moves):
            if move.source is not move.target and move.kind != NORM:
                move.adds = move.source in later
                later.add(move.source)
        return plan

    def images(self) -> list[Image]:
        """What the moves write, each once."""
        return list(dict.fromkeys(move.target for move in self.moves))

    def _sequence(self, layers: Iterable[tuple[str, Layer, Shape]], image: Image) -> tuple[Image, bool]:
        """Plans layers that follow one another.

        Returns:
            What the last one writes, and whether it must stay as it is: others read it, or its gradient needs it.
        """
        kept = True
        for name, layer, shape in layers:
            if isinstance(layer, Flatten):
                continue
            if image is self.inputs and not isinstance(layer, Conv | Linear | Rescale):
                raise NoPlanError("it trains only networks that begin with a linear layer or a convolution")
            if isinstance(layer, Residual):
                image, kept = self._residual(name, layer, shape, image), False
            elif isinstance(layer, Rescale):
                self._rescale(layer, image)
            else:
                image = self._single(name, layer, shape, image, kept)
                kept = isinstance(layer, Activate)
        return image, kept

    def _rescale(self, layer: Rescale, image: Image) -> None:
        if image is not self.inputs:
            raise NoPlanError("it rescales only what the first linear layer or convolution reads")
        self.scale, self.offset = self.scale * layer.scale, self.offset * layer.scale + layer.offset

    def _single(self, name: str, layer: Layer, shape: Shape, source: Image, kept: bool) -> Image:
        """Plans a layer of one step."""
        if type(layer) not in KINDS:
            raise NoPlanError(f"it does not train {layer.kind} layers")
        target = Image.of(layer.output_shape(shape))
        if isinstance(layer, Activate):
            if layer.function not in FUNCTIONS:
                raise NoPlanError(f"it does not know the activation {layer.function!r}")
            in_place = not kept and FUNCTIONS.index(layer.function) in KEEPS_VALUE
            target = source if in_place else source.alike()
        elif isinstance(layer, BatchNorm):
            target = source.alike()
            # Forward they come before the values, backward they give the gradient.
            self.moves.append(Move(MOMENTS, name, layer, shape, source, target))
        elif isinstance(layer, Conv):
            source.border = max(source.border, layer.padding)
        self.moves.append(Move(KINDS[type(layer)], name, layer, shape, source, target))
        return target

    def _residual(self, name: str, layer: Residual, shape: Shape, image: Image) -> Image:
        body, kept = self._sequence(named(layer.body, shape, f"{name}.body."), image)
        shortcut, _ = self._sequence(named(layer.shortcut, shape, f"{name}.shortcut."), image)
        if body.lengths != shortcut.lengths:
            raise NoPlanError("it does not add a vector to an image that was flattened")
        total = body
        if kept:
            total = body.alike()
            self.moves.append(Move(COPY, name, layer, shape, body, total))
        self.moves.append(Move(SUM, name, layer, shape, shortcut, total))
        return total


def obstacle(architecture: Architecture) -> str | None:
    """Why the kernel has no plan for an architecture; ``None`` where it has."""
    try:
        Plan.of(architecture)
    except NoPlanError as error:
        return str(error)
    return None


def attack_obstacle(architecture: Architecture) -> str | None:
    """Why examples cannot be moved here for such networks; ``None`` where they can."""
    kinds = {type(place.layer) for place in architecture.placed}
    for kind, which in ((BatchNorm, "with batch norms"), (Rescale, "that rescale their inputs")):
        if kind in kinds:
            return f"it makes no adversarial examples (adversarial_epsilon) for networks {which}"
    return None
