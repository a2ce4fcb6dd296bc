"""An architecture as a program for the kernel: one record a layer, tables of offsets, sizes of buffers.

Values of one example lie as ``[height, width, channels]`` (vectors count as one), so that the channels a product sums
over and writes are neighbours; images that a convolution pads lie inside a border of zeros. An activation writes over
its input where its derivative follows from its value. Everything is worked out here once; the kernel only adds
offsets.

Shape letters: P parameters, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from zoo.architecture import (
    Activate,
    Architecture,
    AveragePool,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
)
from zoo.architecture import Layer as LayerSpec

# Kinds of step.
PRODUCT, ACTIVATION, MAXIMUM, MEAN = range(4)

FUNCTIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu")
RELU, LEAKY_RELU, TANH, SIGMOID, GELU, SILU = range(len(FUNCTIONS))
# Functions whose derivative is had from their value; for the others the argument is kept.
KEEPS_VALUE = (RELU, LEAKY_RELU, TANH, SIGMOID)

LANES = 16
# Inputs, values and gradients of the examples worked on at once stay in a core's second-level cache: 1 MiB.
WORK_VECTORS = 16_384
# Products are fastest for a multiple of as many rows.
ROWS_TOGETHER = 4

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw", "rmsprop")
SGD, MOMENTUM, ADAM, ADAMW, RMSPROP = range(len(OPTIMIZERS))

STEP = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",
            "function",  # of an activation
            "source",  # where the input of the first example begins
            "source_size",  # and how much further that of the next
            "target",
            "target_size",
            "positions",  # outputs of one example: positions x channels
            "channels",
            "rows",  # table: where in the input the window of each position begins
            "columns",  # table: what a window consists of, relative to its beginning
            "depth",  # its length
            "outs",  # table: where the outputs of each position begin
            "weight",  # of a product, [depth, channels]
            "bias",  # -1: none
            "weight_rows",  # table: where in the weight each row begins
            "taps",  # a product's kernel positions: depth / input channels
            "overlaps",  # whether the gradient of the input is a sum over windows, or windows leave some out
            "first",  # whether the input is the image
            "unit",  # an activation's first unit in the numbering of dropout
        )
    ]
)


@dataclass(frozen=True)
class Program:
    """What the kernel runs.

    Attributes:
        steps: One ``STEP`` a layer that computes.
        tables: All tables of offsets, int32; begins with 0, 1, 2, ...
        zeros: Where in the tables a run of zeros begins.
        order: For each parameter as the kernel has them, its place in the flat vector, int64 ``[P]``.
        places: For each input in torch's order, its place in the kernel's image, int32.
        image_size: Size of that image with its border.
        values: Vectors of values of one example.
        at_once: Examples worked on at once where members share them.
        own_at_once: The same where each member has its own: no more than the others.
        units: Units that dropout acts on.
        classes: Logits.
    """

    steps: np.ndarray
    tables: np.ndarray
    zeros: int
    order: np.ndarray
    places: np.ndarray
    image_size: int
    values: int
    at_once: int
    own_at_once: int
    units: int
    classes: int


def obstacle(architecture: Architecture) -> str | None:
    """Why the kernel has no program for an architecture; ``None`` where it has."""
    known = (Activate, AveragePool, Conv, Flatten, GlobalAveragePool, Linear, MaxPool)
    for layer in architecture.layers:
        if not isinstance(layer, known):
            return f"it does not train {layer.kind} layers"
        if isinstance(layer, Activate) and layer.function not in FUNCTIONS:
            return f"it does not know the activation {layer.function!r}"
    computing = [layer for layer in architecture.layers if not isinstance(layer, Flatten)]
    if not isinstance(computing[0], Conv | Linear):
        return "it trains only networks that begin with a linear layer or a convolution"
    if isinstance(architecture.layers[-1], Flatten) and math.prod(architecture.shapes[-2][1:]) > 1:
        return "it trains only networks whose logits are not the positions of an image"
    return None


@lru_cache(maxsize=64)
def compiled(architecture: Architecture, batch: int) -> Program:
    """The program of an architecture; nobody writes to its arrays, so that one is enough for all who ask.

    Args:
        architecture: One without :func:`obstacle`.
        batch: Examples a step. As many of them are worked on at once as the cache holds, in pieces of equal size.
    """
    single = _Compiler(architecture, 1, 1).program()
    values = 2 * single.values
    shared = _pieces(batch, values + single.image_size // LANES)
    return _Compiler(architecture, shared, _pieces(batch, values + single.image_size)).program()


def _pieces(batch: int, vectors: int) -> int:
    """How many examples are worked on at once, if each takes so many vectors."""
    pieces = -(-batch // max(1, WORK_VECTORS // max(1, vectors)))
    at_once = -(-batch // pieces)
    if pieces > 1 and at_once > ROWS_TOGETHER:
        at_once = -(-at_once // ROWS_TOGETHER) * ROWS_TOGETHER
    return at_once


@dataclass
class _Image:
    """Values of one example between two layers; ``border`` is what the next convolution pads."""

    height: int
    width: int
    channels: int
    border: int = 0
    begin: int = 0

    @property
    def row(self) -> int:
        return (self.width + 2 * self.border) * self.channels

    @property
    def size(self) -> int:
        return (self.height + 2 * self.border) * self.row

    def interior(self) -> np.ndarray:
        """Where the channels of each position begin."""
        return self.windows(self.height, self.width, 1, self.border)

    def windows(self, height: int, width: int, stride: int, inset: int = 0) -> np.ndarray:
        """Where each of ``height`` by ``width`` windows begins."""
        y, x = np.mgrid[:height, :width] * stride + inset
        return (y * self.row + x * self.channels).ravel()

    def window(self, height: int, width: int) -> np.ndarray:
        """What is in a window, relative to its beginning, without channels."""
        return self.windows(height, width, 1)


@dataclass
class _Compiler:
    """Works out a program: first the images between layers, then offsets into them."""

    architecture: Architecture
    at_once: int
    own_at_once: int
    steps: list[np.ndarray] = field(default_factory=list)
    order: list[np.ndarray] = field(default_factory=list)
    tables: list[np.ndarray] = field(default_factory=list)

    def program(self) -> Program:
        """Everything in order."""
        architecture = self.architecture
        images, plan = self._images()
        begin = 0
        for image in images[1:]:
            image.begin, begin = begin, begin + image.size * self.at_once
        longest = max(self.at_once, *(i.size for i in images), *(i.channels for i in images))
        self._table(np.arange(longest))
        zeros = self._table(np.zeros(longest))
        weights = {spec.name: spec.offset for spec in architecture.layout}
        units = 0
        for index, source, target in plan:
            layer = architecture.layers[index]
            step = np.zeros((), dtype=STEP)
            step["source"], step["source_size"] = source.begin, source.size
            step["target"], step["target_size"] = target.begin, target.size
            step["channels"], step["first"] = target.channels, source is images[0]
            if isinstance(layer, Activate):
                step["unit"] = units
                units += math.prod(architecture.shapes[index])
                self._activation(step, layer, source, target)
            elif isinstance(layer, Conv | Linear):
                self._product(step, layer, source, target, weights[f"{index}.weight"], weights.get(f"{index}.bias"))
            else:
                self._pool(step, layer, source, target)
            self.steps.append(step)
        first = images[0]
        places = (first.interior()[None, :] + np.arange(first.channels)[:, None]).ravel()
        return Program(
            steps=np.array(self.steps, dtype=STEP),
            tables=np.concatenate(self.tables).astype(np.int32),
            zeros=zeros,
            order=np.concatenate(self.order).astype(np.int64),
            places=places.astype(np.int32),
            image_size=first.size,
            values=sum(image.size for image in images[1:]),
            at_once=self.at_once,
            own_at_once=self.own_at_once,
            units=units,
            classes=architecture.classes,
        )

    def _images(self) -> tuple[list[_Image], list[tuple[int, _Image, _Image]]]:
        """The images between layers, the input first, and for each layer that computes its source and target."""
        shapes = self.architecture.shapes
        computing = [layer for layer in self.architecture.layers if not isinstance(layer, Flatten)]
        flat = isinstance(computing[0], Linear)  # then inputs may stay in torch's order
        images, plan = [_image((math.prod(shapes[0]),) if flat else shapes[0])], []
        kept = True  # whether the last image must stay as it is
        for index, layer in enumerate(self.architecture.layers):
            if isinstance(layer, Flatten):
                continue
            source = images[-1]
            if isinstance(layer, Conv):
                source.border = layer.padding
            if not isinstance(layer, Activate):
                target = _image(shapes[index + 1])
            elif kept or FUNCTIONS.index(layer.function) not in KEEPS_VALUE:
                target = _Image(source.height, source.width, source.channels)
            else:
                target = source
            if target is not source:
                images.append(target)
            kept = isinstance(layer, Activate)
            plan.append((index, source, target))
        return images, plan

    def _table(self, offsets: np.ndarray) -> int:
        """Adds a table and returns where it begins."""
        begin = sum(len(table) for table in self.tables)
        self.tables.append(offsets)
        return begin

    def _activation(self, step: np.ndarray, layer: Activate, source: _Image, target: _Image) -> None:
        step["kind"], step["function"] = ACTIVATION, FUNCTIONS.index(layer.function)
        step["positions"] = source.height * source.width
        step["rows"], step["outs"] = self._table(source.interior()), self._table(target.interior())

    def _pool(self, step: np.ndarray, layer: LayerSpec, source: _Image, target: _Image) -> None:
        if isinstance(layer, MaxPool | AveragePool):
            height = width = layer.size
            stride = layer.stride or layer.size
        else:
            height, width, stride = source.height, source.width, 1
        window = source.window(height, width)
        step["kind"] = MAXIMUM if isinstance(layer, MaxPool) else MEAN
        step["positions"], step["depth"] = target.height * target.width, len(window)
        step["rows"] = self._table(source.windows(target.height, target.width, stride))
        step["columns"], step["outs"] = self._table(window), self._table(target.interior())
        step["overlaps"] = (
            step["positions"] * step["depth"] != source.height * source.width
            or (target.height > 1 and stride != height)
            or (target.width > 1 and stride != width)
        )

    def _product(
        self, step: np.ndarray, layer: LayerSpec, source: _Image, target: _Image, weight: int, bias: int | None
    ) -> None:
        if isinstance(layer, Conv):
            height = width = layer.kernel
            stride = layer.stride
        else:
            height, width, stride = source.height, source.width, 1
        window = source.window(height, width)
        columns = (window[:, None] + np.arange(source.channels)).ravel()
        whole = np.array_equal(columns, np.arange(source.size))
        depth, channels = len(columns), target.channels
        step["kind"], step["depth"] = PRODUCT, depth
        step["taps"] = 1 if whole else len(window)
        positions = target.height * target.width
        step["positions"] = positions
        starts, ends = source.windows(target.height, target.width, stride), target.interior()
        if positions == 1:  # then the rows of the product are examples
            starts = starts + np.arange(self.at_once) * source.size
            ends = ends + np.arange(self.at_once) * target.size
        step["rows"], step["columns"] = self._table(starts), self._table(columns)
        step["outs"] = self._table(ends)
        step["weight_rows"] = self._table(np.arange(depth) * channels)
        step["overlaps"] = not (whole or (len(window) == 1 and stride == 1 and source.border == 0))

        begin = sum(len(part) for part in self.order)
        step["weight"], step["bias"] = begin, -1 if bias is None else begin + depth * channels
        # Torch has [outputs, inputs, height, width] (a linear layer after Flatten as well), the kernel
        # [height, width, inputs, outputs].
        torch_order = np.arange(depth * channels).reshape(channels, source.channels, height, width)
        self.order.append(weight + torch_order.transpose(2, 3, 1, 0).ravel())
        if bias is not None:
            self.order.append(bias + np.arange(channels))


def _image(shape: tuple[int, ...]) -> _Image:
    """An image of a torch shape; a vector is one position."""
    channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
    return _Image(height, width, channels)
