"""Networks as sets of chunks: every tensor flattened, padded and cut, so that any layout can be read.

Andreis, Bedionita, Torr and Hwang, "Set-based Neural Network Encoding Without Weight Tying" (arXiv 2305.16625),
section 3.2. Convolutions are not cut across kernels: each kernel is a chunk. Biases stand apart from weights.

Shape letters: B networks of a batch, P parameters, T chunks, N entries of a chunk.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor

from zoo.architecture import Architecture, TensorSpec

# What a tensor is: the kernels of a convolution, a linear layer's weights, a bias, a normalization's numbers.
KINDS = ("kernels", "linear", "bias", "normalization")


@dataclass(frozen=True, eq=False)
class Chunks:
    """Chunks of one width, of several tensors.

    Attributes:
        place_TN: Where their entries lie in the flat vector; P where there are none.
        kept_TN: Which entries there are; ``None`` for all.
        kind_T: Number of their tensor's kind.
        depth_T: Number of their tensor's layer.
    """

    place_TN: Tensor
    kept_TN: Tensor | None
    kind_T: Tensor
    depth_T: Tensor


@dataclass(frozen=True, eq=False)
class Layers:
    """Tensors of as many chunks each.

    Attributes:
        chunk_LT: For each tensor its chunks, by their number among all.
        depth_L: Number of each tensor's layer.
        kind_L: Number of each tensor's kind.
    """

    chunk_LT: Tensor
    depth_L: Tensor
    kind_L: Tensor


@dataclass(frozen=True, eq=False)
class ChunkedLayout:
    """How networks of one layout, or some of their tensors, are cut; made once, then one gather cuts any number.

    Attributes:
        chunks: By their width. All chunks are numbered in this order.
        layers: By how many chunks they have.
        first_T: Where the first entry of each chunk lies, of one tensor's chunks after another's, as ``layers`` has
            them.
        owner_P: In that order, the number of the chunk that has each weight; -1 for weights of other tensors.
    """

    chunks: tuple[Chunks, ...]
    layers: tuple[Layers, ...]
    first_T: Tensor
    owner_P: Tensor

    def origin(self, source_BP: Tensor) -> Tensor:
        """Which chunk stands where after a permutation that keeps chunks whole: ``[B, T]``, by tensors as above.

        Args:
            source_BP: Where each weight comes from.
        """
        return self.owner_P[source_BP[:, self.first_T]]


def kind_of(spec: TensorSpec, layout: Sequence[TensorSpec]) -> int:
    """Number among :data:`KINDS` of a tensor of a layout."""
    if len(spec.shape) > 1:
        return KINDS.index("kernels" if len(spec.shape) > 2 else "linear")
    layer, _, name = spec.name.rpartition(".")
    weighs = any(other.name == f"{layer}.weight" and len(other.shape) > 1 for other in layout)
    return KINDS.index("bias" if name == "bias" and weighs else "normalization")


@lru_cache(maxsize=512)
def kinds(layout: tuple[TensorSpec, ...]) -> Tensor:
    """Number of the kind of each weight's tensor: ``[P]``."""
    kind = torch.tensor([kind_of(spec, layout) for spec in layout])
    return torch.repeat_interleave(kind, torch.tensor([spec.size for spec in layout]))


@lru_cache(maxsize=512)
def chunked(layout: tuple[TensorSpec, ...], size: int, numbers: tuple[int, ...] | None = None) -> ChunkedLayout:
    """How networks of a layout are cut into chunks of at most ``size`` weights, kernels apart.

    Args:
        layout: Of whole networks.
        size: Weights of a chunk.
        numbers: Of the tensors that are cut; all where ``None``.
    """
    parameters = sum(spec.size for spec in layout)
    depths = {name: depth for depth, name in enumerate(dict.fromkeys(layer_of(spec) for spec in layout))}
    of_width: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
    for number in range(len(layout)) if numbers is None else numbers:
        spec, width = layout[number], width_of(layout[number], size)
        entries = torch.arange(spec.offset, spec.offset + spec.size)
        padding = torch.full((-spec.size % width,), parameters)
        of_width[width].append((number, torch.cat([entries, padding]).unflatten(0, (-1, width))))
    kind = torch.tensor([kind_of(spec, layout) for spec in layout])
    depth = torch.tensor([depths[layer_of(spec)] for spec in layout])
    chunks: list[Chunks] = []
    ranges: dict[int, range] = {}
    for parts in of_width.values():
        tensor_T = torch.cat([torch.full((len(place),), number) for number, place in parts])
        place_TN = torch.cat([place for _, place in parts])
        kept_TN = place_TN < parameters
        kept = None if bool(kept_TN.all()) else kept_TN
        start = sum(len(earlier.place_TN) for earlier in chunks)
        chunks.append(Chunks(place_TN, kept, kind[tensor_T], depth[tensor_T]))
        ends = list(accumulate((len(place) for _, place in parts), initial=start))
        ranges |= {number: range(*ends[i : i + 2]) for i, (number, _) in enumerate(parts)}
    of_count: dict[int, list[int]] = defaultdict(list)
    for number in sorted(ranges):
        of_count[len(ranges[number])].append(number)
    layers = [
        Layers(torch.tensor([list(ranges[number]) for number in same]), depth[same], kind[same])
        for same in of_count.values()
    ]
    order_T = torch.cat([part.chunk_LT.flatten() for part in layers])
    first_T = torch.cat([part.place_TN[:, 0] for part in chunks])[order_T]
    owner_P = torch.full((parameters,), -1)
    for number, place_N in enumerate(place_N for part in chunks for place_N in part.place_TN):
        owner_P[place_N[place_N < parameters]] = number
    standing_T = order_T.argsort()
    owner_P = torch.where(owner_P < 0, owner_P, standing_T[owner_P])
    return ChunkedLayout(tuple(chunks), tuple(layers), first_T, owner_P)


def width_of(spec: TensorSpec, size: int) -> int:
    """How many weights a chunk of a tensor has."""
    return math.prod(spec.shape[2:]) if len(spec.shape) > 2 else min(size, spec.size)


@lru_cache(maxsize=512)
def kept_whole(architecture: Architecture, size: int) -> tuple[bool, ...]:
    """Of which tensors permuting hidden units moves chunks as a whole, whatever the permutation."""
    runs: dict[str, int] = defaultdict(int)
    shapes = {spec.name: spec.shape for spec in architecture.layout}
    for axes in architecture.symmetry.values():
        for axis in axes:
            run = axis.block * math.prod(shapes[axis.tensor][axis.axis + 1 :])
            runs[axis.tensor] = math.gcd(runs[axis.tensor], run)
    return tuple(runs[spec.name] % width_of(spec, size) == 0 for spec in architecture.layout)


def layer_of(spec: TensorSpec) -> str:
    """The name of the layer that has a tensor."""
    return spec.name.rpartition(".")[0]


def cut(weights_BP: Tensor, layout: ChunkedLayout) -> Iterator[Tensor]:
    """The chunks of each width of networks: ``[B, T, N]``, 0 where there is no entry."""
    padded = torch.nn.functional.pad(weights_BP, (0, 1))
    for chunks in layout.chunks:
        yield padded[:, chunks.place_TN]
