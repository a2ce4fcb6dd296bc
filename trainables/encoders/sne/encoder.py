"""Set-based encoding: weights to chunks to layers to a network, by attention over sets; for networks of any layout.

Andreis, Bedionita, Torr and Hwang, "Set-based Neural Network Encoding Without Weight Tying" (arXiv 2305.16625),
section 3. Padding is left out of the sets, where the paper has zeros in them; and the distance that learns
invariance (section 3.7) is that of embeddings, from which the heads are linear.

Shape letters: B networks of a batch, T chunks, N entries of a chunk, L tensors, W width of an element, D width of a
chunk or a layer, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from trainables.encoders.augmentation import permuted_networks
from trainables.encoders.positions import sinusoids
from trainables.encoders.sne.chunks import KINDS, ChunkedLayout, Chunks, Layers, chunked, cut, kept_whole, kinds
from trainables.encoders.sne.config import SneConfig
from trainables.encoders.sne.sets import SetToSet, SetToVector, without_biases
from trainables.encoders.supervised import NetworkModule
from trainables.trainable import FitData
from zoo.population import Population

# Positions are the same for all networks; of size 1 they drown what tells networks apart.
POSITION = 0.1
# A sum of encodings tells places of several sorts apart only where they have no number in common; entries begin at 0.
FIRST_DEPTH, FIRST_KIND = 1_000, 2_000


class Sne(NetworkModule):
    """The set-based encoder; see :class:`trainables.encoders.supervised.NetworkModule`."""

    config_type: ClassVar = SneConfig
    config: SneConfig
    # More at once leave the processor's cache.
    embedded_at_once: ClassVar[int] = 16

    scale_K: Tensor

    def __init__(self, config: SneConfig, facts: dict) -> None:
        super().__init__(config, facts)
        inner, width, heads, blocks = config.element_width, config.width, config.heads, config.blocks
        self.register_buffer("scale_K", torch.ones(len(KINDS)))
        self.of_elements = SetToSet(inner, 1, blocks)
        self.of_typed_elements = SetToSet(inner, 1, blocks)
        self.chunk = SetToVector(inner, 1)
        self.widen = nn.Linear(inner, width)
        self.of_chunks = SetToSet(width, heads, blocks)
        self.layer = SetToVector(width, heads)
        self.of_layers = SetToSet(width, heads, blocks)
        self.network = SetToVector(width, heads)
        self.to_latent = nn.Linear(width, config.latent)
        without_biases(self)
        self.lift = nn.Linear(1, inner)  # its biases bend what blocks see of an entry

    def initialize(self, data: FitData) -> None:
        """Sets the scale of each kind of tensor to its root mean square over the training networks."""
        squares, counts = torch.zeros(2, len(KINDS), dtype=torch.float64)
        for population in data.training:
            kind_P = kinds(population.architecture.layout)
            squares.index_add_(0, kind_P, population.weights_MP.double().square().sum(0))
            counts += len(population) * torch.bincount(kind_P, minlength=len(KINDS))
        scale_K = (squares / counts.clamp_min(1)).sqrt().float()
        self.scale_K.copy_(torch.where(scale_K > 0, scale_K, 1.0))

    def forward(self, batch: Population) -> Tensor:
        """``embedding_BE``."""
        layout = chunked(batch.architecture.layout, self.config.chunk)
        return self.read([layout], [self.see(layout, self.scaled(batch))])

    def scaled(self, batch: Population) -> Tensor:
        """``weights_BP`` over the scale of their kind."""
        return batch.weights_MP / self.scale_K[kinds(batch.architecture.layout)]

    def see(self, layout: ChunkedLayout, weights_BP: Tensor) -> Tensor:
        """``chunks_BTD`` that have seen the others of their tensor, one tensor's after another's."""
        chunks = [self.encode_chunks(*part) for part in zip(layout.chunks, cut(weights_BP, layout), strict=True)]
        chunks_BTD = torch.cat(chunks, dim=1)
        parts = (chunks_BTD[:, part.chunk_LT] for part in layout.layers)
        return torch.cat([self.of_chunks(part.flatten(0, 1)).view_as(part).flatten(1, 2) for part in parts], dim=1)

    def read(self, layouts: Sequence[ChunkedLayout], seen: Sequence[Tensor]) -> Tensor:
        """``embedding_BE`` of networks, of which each of some layouts has a part of the tensors."""
        found: list[Tensor] = []
        for layout, chunks_BTD in zip(layouts, seen, strict=True):
            counts = [part.chunk_LT.numel() for part in layout.layers]
            found += map(self.encode_layers, layout.layers, chunks_BTD.split(counts, dim=1))
        tensors = [part for layout in layouts for part in layout.layers]
        depth_L = torch.cat([part.depth_L for part in tensors])
        kind_L = torch.cat([part.kind_L for part in tensors])
        where_LD = tensor_places(depth_L, kind_L, self.config.width)
        layers_BLD = self.of_layers(torch.cat(found, dim=1)) + POSITION * where_LD
        embedding_BE: Tensor = self.to_latent(self.network(layers_BLD))
        return embedding_BE

    def encode_chunks(self, chunks: Chunks, entries_BTN: Tensor) -> Tensor:
        """``chunks_BTD``: equations 2 to 4."""
        count, width = chunks.place_TN.shape
        inner = self.config.element_width
        kept = None if chunks.kept_TN is None else chunks.kept_TN.repeat(len(entries_BTN), 1)
        elements_SNW = self.of_elements(self.lift(entries_BTN.flatten(0, 1).unsqueeze(2)), kept)
        where_TW = tensor_places(chunks.depth_T, chunks.kind_T, inner)
        where_TNW = where_TW.unsqueeze(1) + sinusoids(torch.arange(width), inner)
        elements_SNW = (elements_SNW.unflatten(0, (-1, count)) + POSITION * where_TNW).flatten(0, 1)
        found_SW = self.chunk(self.of_typed_elements(elements_SNW, kept), kept)
        chunks_SD: Tensor = self.widen(found_SW)
        return chunks_SD.unflatten(0, (-1, count))

    def encode_layers(self, layers: Layers, seen_BTD: Tensor) -> Tensor:
        """``layers_BLD``: the rest of equation 5."""
        many, count = layers.chunk_LT.shape
        sets_STD = seen_BTD.unflatten(1, (many, count)).flatten(0, 1)
        found_SD: Tensor = self.layer(sets_STD + POSITION * sinusoids(torch.arange(count), self.config.width))
        return found_SD.unflatten(0, (-1, many))

    def embedded(self, batch: Population, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Adds ν · ½ the squared distance to embeddings of the same networks with hidden units in another order.

        Chunks that such an order moves as a whole, kernels all of them, are not encoded again, nor is what they see of
        one another: that moves with them.
        """
        if not self.config.invariance:
            return self(batch), None
        size, layout = self.config.chunk, batch.architecture.layout
        whole = [all(each) for each in zip(*(kept_whole(each, size) for each in batch.architectures), strict=True)]
        weights_BP = self.scaled(batch)
        place_BP = torch.arange(batch.parameters, dtype=torch.float64).expand(len(batch), -1)
        source_BP = permuted_networks(batch.with_weights(place_BP), generator).weights_MP.long()
        layouts, seen, moved = [], [], []
        for kept in sorted({*whole}):
            part = chunked(layout, size, tuple(number for number, each in enumerate(whole) if each == kept))
            layouts.append(part)
            seen.append(self.see(part, weights_BP))
            if kept:
                moved.append(seen[-1].take_along_dim(part.origin(source_BP).unsqueeze(2), dim=1))
            else:
                moved.append(self.see(part, weights_BP.gather(1, source_BP)))
        embedding_BE = self.read(layouts, seen)
        square_BE = (embedding_BE - self.read(layouts, moved)).square()
        return embedding_BE, self.config.invariance * 0.5 * square_BE.sum(dim=1).mean()


def tensor_places(depth: Tensor, kind: Tensor, width: int) -> Tensor:
    """Encodings of depths and kinds of tensors, ``[…]`` to ``[…, width]``."""
    return sinusoids(FIRST_DEPTH + depth, width) + sinusoids(FIRST_KIND + kind, width)
