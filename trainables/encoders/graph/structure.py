"""A network as a graph: units are nodes, weights and kernels are dense blocks of edges.

What a layer reads and makes is known from the architecture's permutation symmetry, so that residual connections,
batch norms and flattened images need no case of their own. Channels are the units of an image; a kernel, or the
positions of a flattened image, are several entries of one edge.

Shape letters: M members, U units, O units of the target, I of the source, K entries of an edge or of a unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from zoo.architecture import Architecture, Conv, Flatten, TensorSpec

Grid = tuple[int, int]
ROLES = ("inputs", "hidden", "outputs")
KINDS = ("bias", "weight", "running_mean", "running_var", "other")
# How many numbers tell where a tensor is: see `_position`.
POSITION = 8


@dataclass(frozen=True)
class Units:
    """Nodes: units that can be permuted, or inputs or outputs, which have names.

    Attributes:
        name: Of the layer that first makes them; else of what they are.
        role: One of ``ROLES``.
        count: U.
    """

    name: str
    role: str
    count: int


@dataclass(frozen=True)
class Edges:
    """All weights of a layer.

    Attributes:
        spec: The tensor.
        source: Number of the units that are read.
        target: Number of the units that are made.
        blocks: How many entries of the tensor's first two axes one unit has.
        grid: Height and width of the entries of one edge; K is their product.
        position: Where the layer is, numbers.
    """

    spec: TensorSpec
    source: int
    target: int
    blocks: tuple[int, int]
    grid: Grid
    position: tuple[float, ...]

    @property
    def fan_in(self) -> int:
        """How many weights an output has."""
        return self.spec.size // self.spec.shape[0]

    def of(self, tensor: Tensor) -> Tensor:
        """The tensor ``[M, *shape]`` as ``[M, O, I, K]``."""
        made, read = self.blocks
        parts = tensor.unflatten(2, (-1, read)).unflatten(1, (-1, made))  # M O made I read …
        return parts.movedim(3, 2).flatten(3)

    def back(self, edges_MOIK: Tensor) -> Tensor:
        """The inverse of :meth:`of`."""
        made, read = self.blocks
        parts = edges_MOIK.unflatten(3, (made, read, *self.spec.shape[2:])).movedim(2, 3)
        return parts.flatten(3, 4).flatten(1, 2)


@dataclass(frozen=True)
class Values:
    """A number, or several, that each unit has: a bias, or what a batch norm keeps.

    Attributes:
        spec: The tensor.
        units: Number of the units.
        kind: One of ``KINDS``.
        grid: Height and width of the numbers of one unit; K is their product.
        position: Where the layer is, numbers.
    """

    spec: TensorSpec
    units: int
    kind: str
    grid: Grid
    position: tuple[float, ...]

    def of(self, tensor: Tensor) -> Tensor:
        """The tensor ``[M, U · K]`` as ``[M, U, K]``."""
        return tensor.unflatten(1, (-1, math.prod(self.grid)))


@dataclass(frozen=True)
class NetworkGraph:
    """The graph of every network of an architecture.

    Attributes:
        units: All nodes.
        edges: Blocks of edges in the order of application.
        values: What units have.
    """

    units: tuple[Units, ...]
    edges: tuple[Edges, ...]
    values: tuple[Values, ...]


@lru_cache(maxsize=256)
def network_graph(architecture: Architecture) -> NetworkGraph:
    """The graph of an architecture.

    Raises:
        ValueError: A tensor of a layer of the user's own is neither weights nor a vector, or there are no weights.
    """
    blocks = {
        (axis.tensor, axis.axis): (name, axis.block) for name, axes in architecture.symmetry.items() for axis in axes
    }
    odd = [tensor for tensor, axis in blocks if axis > 1]
    odd += [spec.name for spec in architecture.layout if not spec.shape]
    if odd:
        raise ValueError(
            f"a neural graph knows vectors and weights, outputs x inputs x positions; {odd[0]} is something else: take "
            "an encoder of statistics"
        )
    weights = [spec for spec in architecture.layout if len(spec.shape) > 1]
    if not weights:
        raise ValueError(f"{architecture.summary} has no weights between units; a neural graph needs some")
    flattened = [place.shape for place in architecture.placed if isinstance(place.layer, Flatten)]
    images = {math.prod(shape[1:]): shape[1:] for shape in flattened if len(shape) == 3}
    convolutions = {place.name for place in architecture.placed if isinstance(place.layer, Conv)}
    numbers: dict[Units, int] = {}

    def owners(spec: TensorSpec, axis: int, *, inputs: bool) -> tuple[int, int]:
        """(number of the units along an axis, how many entries of the axis each has)."""
        length = spec.shape[axis]
        name, block = blocks.get((spec.name, axis), ("", 1))
        if not name and inputs and len(spec.shape) < 3:
            # Pixels of a flattened image are positions of its channels.
            block = length // next((shape[0] for shape in flattened if math.prod(shape) == length), length)
        role = "hidden" if name else "inputs" if inputs else "outputs"
        units = Units(name or role, role, length // block)
        return numbers.setdefault(units, len(numbers)), block

    edges: list[Edges] = []
    values: list[Values] = []
    for spec in architecture.layout:
        layer, _, kind = spec.name.rpartition(".")
        position = _position(max(0, len(edges) - (len(spec.shape) == 1)), len(weights), layer in convolutions)
        if len(spec.shape) > 1:
            (source, read), (target, made) = owners(spec, 1, inputs=True), owners(spec, 0, inputs=False)
            height, width = images.get(read, (1, read))
            rows, columns = spec.shape[2:] if len(spec.shape) == 4 else (1, math.prod(spec.shape[2:]))
            grid = (made * height * rows, width * columns)
            edges.append(Edges(spec, source, target, (made, read), grid, position))
        else:
            units, block = owners(spec, 0, inputs=not edges)
            grid = images.get(block, (1, block))
            values.append(Values(spec, units, kind if kind in KINDS else "other", grid, position))
    return NetworkGraph(tuple(numbers), tuple(edges), tuple(values))


def _position(index: int, count: int, convolution: bool) -> tuple[float, ...]:
    """Where a layer is, the same whatever the depth: at the beginning, at the end, and between."""
    depth = index / max(1, count - 1)
    from_end = count - 1 - index
    return (
        *(float(index == first) for first in (0, 1)),
        *(float(from_end == last) for last in (0, 1)),
        *(depth, math.cos(math.pi * depth), math.cos(2 * math.pi * depth)),
        float(convolution),
    )
