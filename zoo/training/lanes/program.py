"""An architecture as a program for the kernel: one record a move, tables of offsets, sizes of buffers.

Everything is worked out here once; the kernel only adds offsets.

Shape letters: P parameters, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from zoo.architecture import Activate, Architecture, AveragePool, BatchNorm, Conv, MaxPool, TensorSpec
from zoo.training.lanes.codes import ACTIVATION, FUNCTIONS, LANES, MAXIMUM, MEAN, MOMENTS, NORM, PRODUCT, STEP
from zoo.training.lanes.plan import Image, Move, Plan

# Inputs, values and gradients of the examples worked on at once stay in a core's second-level cache: 1 MiB.
WORK_VECTORS = 16_384
# Products are fastest for a multiple of as many rows.
ROWS_TOGETHER = 4
# Kinds of vectors that a norm keeps: zoo.training.lanes.norms.Statistics.
STATISTICS = 6


class Pieces(NamedTuple):
    """How many examples of a step are worked on.

    Attributes:
        at_once: One layer after the other, where members share them.
        own_at_once: The same where each member has its own: no more than the others.
        kept: From which values are kept: as many as at once, or, to train norms, all.
        own_kept: The same where each member has its own.
    """

    at_once: int
    own_at_once: int
    kept: int
    own_kept: int


class Program(NamedTuple):
    """What the kernel runs, as Numba takes it.

    Attributes:
        steps: One ``STEP`` a move.
        ends: Where sections of them end: each but the last with moments, which are of all examples of a step.
        tables: All tables of offsets, int32; begins with 0, 1, 2, ...
        zeros: Where in the tables a run of zeros begins.
        order: For each parameter as the kernel has them, its place in the flat vector, int64 ``[P]``: first those
            that are trained, then buffers.
        trained: How many are.
        places: For each input in torch's order, its place in the kernel's image, int32.
        in_order: Whether that is where it comes from.
        image_size: Size of that image with its border.
        scale: Inputs are pixels times this,
        offset: plus this; the border that a convolution pads stays zero.
        values: Vectors of values of one example. An odd number, so that those of neighboring examples do not
            compete for places in a cache.
        statistics: Vectors of what norms keep.
        pieces: How many examples are worked on.
        units: Units that dropout acts on.
        classes: Logits.
    """

    steps: np.ndarray
    ends: np.ndarray
    tables: np.ndarray
    zeros: int
    order: np.ndarray
    trained: int
    places: np.ndarray
    in_order: bool
    image_size: int
    scale: float
    offset: float
    values: int
    statistics: int
    pieces: Pieces
    units: int
    classes: int


@lru_cache(maxsize=64)
def compiled(architecture: Architecture, examples: int, *, training: bool) -> Program:
    """The program of an architecture; nobody writes to its arrays, so that one is enough for all who ask.

    Args:
        architecture: One that has a plan.
        examples: Of a step. As many of them are worked on at once as the cache holds, in pieces of equal size.
        training: Whether norms need moments of all of them.

    Raises:
        ValueError: A norm would take the mean of one value.
    """
    single = _Compiler(architecture, Pieces(1, 1, 1, 1)).program()
    values = 2 * single.values
    shared, own = (_at_once(examples, values + size) for size in (single.image_size // LANES, single.image_size))
    kept = (examples, examples) if training and _require_moments(architecture, examples) else (shared, own)
    return _Compiler(architecture, Pieces(shared, own, *kept)).program()


def _require_moments(architecture: Architecture, batch: int) -> bool:
    """Whether there are batch norms; ``ValueError`` where a batch is too small for one."""
    norms = [place for place in architecture.placed if isinstance(place.layer, BatchNorm)]
    for place in norms:
        if batch * math.prod(place.shape[1:]) < 2:
            raise ValueError("a batch norm needs more than one value per channel to train; use a larger batch")
    return bool(norms)


def _at_once(batch: int, vectors: int) -> int:
    """How many examples are worked on at once, if each takes so many vectors."""
    pieces = -(-batch // max(1, WORK_VECTORS // max(1, vectors)))
    at_once = -(-batch // pieces)
    if pieces > 1 and at_once > ROWS_TOGETHER:
        at_once = -(-at_once // ROWS_TOGETHER) * ROWS_TOGETHER
    return at_once


@dataclass
class _Compiler:
    """Works out a program: a plan, then offsets."""

    architecture: Architecture
    pieces: Pieces
    steps: list[np.ndarray] = field(default_factory=list)
    order: list[np.ndarray] = field(default_factory=list)
    buffers: list[np.ndarray] = field(default_factory=list)
    tables: list[np.ndarray] = field(default_factory=list)
    values: int = 0
    statistics: int = 0
    units: int = 0

    def __post_init__(self) -> None:
        self.tensors = {spec.name: spec for spec in self.architecture.layout}
        self.trained = int(self.architecture.trainable.sum())

    def program(self) -> Program:
        """Everything in order."""
        plan = Plan.of(self.architecture)
        images = plan.images()
        for image in images:
            image.begin, self.values = self.values, self.values + image.size
        self.values |= 1
        every = [plan.inputs, *images]
        longest = max(self.pieces.at_once, *(image.size for image in every), *(image.channels for image in every))
        self._table(np.arange(longest))
        zeros = self._table(np.zeros(longest))
        for move in plan.moves:
            self._step(move, first=move.source is plan.inputs)
        moments = [index + 1 for index, move in enumerate(plan.moves) if move.kind == MOMENTS]
        inputs = plan.inputs
        places = (inputs.interior()[None, :] + np.arange(inputs.channels)[:, None]).ravel()
        return Program(
            steps=np.array(self.steps, dtype=STEP),
            ends=np.array([*moments, len(self.steps)], dtype=np.int64),
            tables=np.concatenate(self.tables).astype(np.int32),
            zeros=zeros,
            order=np.concatenate([*self.order, *self.buffers]).astype(np.int64),
            trained=self.trained,
            places=places.astype(np.int32),
            in_order=np.array_equal(places, np.arange(inputs.size)),
            image_size=inputs.size,
            scale=plan.scale,
            offset=plan.offset,
            values=self.values,
            statistics=self.statistics,
            pieces=self.pieces,
            units=self.units,
            classes=self.architecture.classes,
        )

    def _table(self, offsets: np.ndarray) -> int:
        """Adds a table and returns where it begins."""
        begin = sum(len(table) for table in self.tables)
        self.tables.append(offsets)
        return begin

    def _parameters(self, name: str, order: np.ndarray) -> int:
        """Takes up a tensor, if there is one of that name, and returns where it begins, else -1.

        Args:
            name: Of the tensor.
            order: For each entry as the kernel has them, its place in the tensor.
        """
        spec: TensorSpec | None = self.tensors.get(name)
        if spec is None:
            return -1
        parts, first = (self.order, 0) if spec.trainable else (self.buffers, self.trained)
        begin = first + sum(len(part) for part in parts)
        parts.append(spec.offset + order)
        return begin

    def _step(self, move: Move, *, first: bool) -> None:
        """Adds the record of a move."""
        step = np.zeros((), dtype=STEP)
        source, target = move.source, move.target
        step["kind"], step["adds"], step["first"] = move.kind, move.adds, first
        step["source"], step["source_size"] = source.begin, source.size if first else self.values
        step["target"], step["target_size"] = target.begin, self.values
        step["positions"], step["channels"] = target.height * target.width, target.channels
        if move.kind == PRODUCT:
            self._product(step, move)
        elif move.kind in (MAXIMUM, MEAN):
            self._pool(step, move)
        else:
            step["rows"], step["outs"] = self._table(source.interior()), self._table(target.interior())
        if isinstance(move.layer, Activate) and move.kind == ACTIVATION:
            step["function"], step["unit"] = FUNCTIONS.index(move.layer.function), self.units
            self.units += math.prod(move.shape)
        elif move.kind == MOMENTS:
            self._moments(step, move)
        elif move.kind == NORM:
            for name in ("weight", "bias", "mean", "variance", "statistics", "depth", "apart"):
                step[name] = self.steps[-1][name]
        self.steps.append(step)

    def _moments(self, step: np.ndarray, move: Move) -> None:
        image, means = move.source, move.shape[0]
        order = np.arange(means)
        if len(move.shape) == 1:  # of a vector, which may be an image that was flattened: torch has channels first
            order = order.reshape(image.channels, -1).T.ravel()
            step["apart"] = image.channels
        step["depth"] = means
        step["weight"] = self._parameters(f"{move.name}.weight", order)
        step["bias"] = self._parameters(f"{move.name}.bias", order)
        step["mean"] = self._parameters(f"{move.name}.running_mean", order)
        step["variance"] = self._parameters(f"{move.name}.running_var", order)
        step["statistics"] = self.statistics
        self.statistics += STATISTICS * means

    def _pool(self, step: np.ndarray, move: Move) -> None:
        source, target, layer = move.source, move.target, move.layer
        if isinstance(layer, MaxPool | AveragePool):
            height = width = layer.size
            stride = layer.stride or layer.size
        else:
            height, width, stride = source.height, source.width, 1
        window = source.window(height, width)
        step["depth"] = len(window)
        step["rows"] = self._table(source.windows(target.height, target.width, stride))
        step["columns"], step["outs"] = self._table(window), self._table(target.interior())
        self._sums(
            step,
            source,
            step["positions"] * step["depth"] != source.height * source.width
            or (target.height > 1 and stride != height)
            or (target.width > 1 and stride != width),
        )

    def _product(self, step: np.ndarray, move: Move) -> None:
        source, target, layer = move.source, move.target, move.layer
        if isinstance(layer, Conv):
            height = width = layer.kernel
            stride, padding = layer.stride, layer.padding
        else:
            height, width, stride, padding = source.height, source.width, 1, 0
        window = source.window(height, width)
        columns = (window[:, None] + np.arange(source.channels)).ravel()
        whole = np.array_equal(columns, np.arange(source.size))
        depth, channels = len(columns), target.channels
        step["depth"], step["taps"] = depth, 1 if whole else len(window)
        starts, ends = source.windows(target.height, target.width, stride, padding), target.interior()
        if step["positions"] == 1:  # then the rows of the product are examples
            starts = starts + np.arange(self.pieces.at_once) * step["source_size"]
            ends = ends + np.arange(self.pieces.at_once) * step["target_size"]
        step["rows"], step["columns"] = self._table(starts), self._table(columns)
        step["outs"] = self._table(ends)
        step["weight_rows"] = self._table(np.arange(depth) * channels)
        self._sums(step, source, not (whole or (len(window) == 1 and stride == 1)))
        # Torch has [outputs, inputs, height, width] (a linear layer after Flatten as well), the kernel
        # [height, width, inputs, outputs].
        torch_order = np.arange(depth * channels).reshape(channels, source.channels, height, width)
        step["weight"] = self._parameters(f"{move.name}.weight", torch_order.transpose(2, 3, 1, 0).ravel())
        step["bias"] = self._parameters(f"{move.name}.bias", np.arange(channels))

    @staticmethod
    def _sums(step: np.ndarray, source: Image, overlaps: bool) -> None:
        """Notes how the gradient of the input comes about, where windows overlap or leave some of it out."""
        step["clears"] = source.size if overlaps and not step["adds"] else 0
        step["adds"] = overlaps or step["adds"]
