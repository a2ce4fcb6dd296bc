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

from zoo.architecture import TensorSpec

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
    """How networks of one layout are cut; made once, then one gather cuts any number of them.

    Attributes:
        chunks: By their width. All chunks are numbered in this order.
        layers: By how many chunks they have.
        kind_P: Number of the kind of each weight's tensor.
    """

    chunks: tuple[Chunks, ...]
    layers: tuple[Layers, ...]
    kind_P: Tensor


def kind_of(spec: TensorSpec, layout: Sequence[TensorSpec]) -> int:
    """Number among :data:`KINDS` of a tensor of a layout."""
    if len(spec.shape) > 1:
        return KINDS.index("kernels" if len(spec.shape) > 2 else "linear")
    layer, _, name = spec.name.rpartition(".")
    weighs = any(other.name == f"{layer}.weight" and len(other.shape) > 1 for other in layout)
    return KINDS.index("bias" if name == "bias" and weighs else "normalization")


@lru_cache(maxsize=512)
def chunked(layout: tuple[TensorSpec, ...], size: int) -> ChunkedLayout:
    """How networks of a layout are cut into chunks of at most ``size`` weights, kernels apart."""
    parameters = sum(spec.size for spec in layout)
    depths = {name: depth for depth, name in enumerate(dict.fromkeys(layer_of(spec) for spec in layout))}
    of_width: dict[int, list[tuple[int, Tensor]]] = defaultdict(list)
    for number, spec in enumerate(layout):
        kernel = math.prod(spec.shape[2:])
        width = kernel if len(spec.shape) > 2 else min(size, spec.size)
        entries = torch.arange(spec.offset, spec.offset + spec.size)
        padding = torch.full((-spec.size % width,), parameters)
        of_width[width].append((number, torch.cat([entries, padding]).unflatten(0, (-1, width))))
    kind = torch.tensor([kind_of(spec, layout) for spec in layout])
    depth = torch.tensor([depths[layer_of(spec)] for spec in layout])
    chunks: list[Chunks] = []
    first: dict[int, range] = {}
    for parts in of_width.values():
        tensor_T = torch.cat([torch.full((len(place),), number) for number, place in parts])
        place_TN = torch.cat([place for _, place in parts])
        kept_TN = place_TN < parameters
        kept = None if bool(kept_TN.all()) else kept_TN
        start = sum(len(earlier.place_TN) for earlier in chunks)
        chunks.append(Chunks(place_TN, kept, kind[tensor_T], depth[tensor_T]))
        ends = list(accumulate((len(place) for _, place in parts), initial=start))
        first |= {number: range(*ends[i : i + 2]) for i, (number, _) in enumerate(parts)}
    of_count: dict[int, list[int]] = defaultdict(list)
    for number in range(len(layout)):
        of_count[len(first[number])].append(number)
    layers = [
        Layers(torch.tensor([list(first[number]) for number in numbers]), depth[numbers], kind[numbers])
        for numbers in of_count.values()
    ]
    return ChunkedLayout(tuple(chunks), tuple(layers), torch.repeat_interleave(kind, _sizes(layout)))


def layer_of(spec: TensorSpec) -> str:
    """The name of the layer that has a tensor."""
    return spec.name.rpartition(".")[0]


def _sizes(layout: Sequence[TensorSpec]) -> Tensor:
    return torch.tensor([spec.size for spec in layout])


def cut(weights_BP: Tensor, layout: ChunkedLayout) -> Iterator[Tensor]:
    """The chunks of each width of networks: ``[B, T, N]``, 0 where there is no entry."""
    padded = torch.nn.functional.pad(weights_BP, (0, 1))
    for chunks in layout.chunks:
        yield padded[:, chunks.place_TN]
