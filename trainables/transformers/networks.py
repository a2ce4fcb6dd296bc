"""Networks to latents and back, by attention among their neurons or weights (arXiv 2110.15288, section 3.2).

Shape letters: B networks of a batch, P parameters, T tokens, N neurons of a layer, R entries of a neuron's row, D token
width, E latent width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from trainables.transformers.blocks import Blocks
from zoo.architecture import Architecture
from zoo.views.tokens import neuron_indices


class Sizes(Protocol):
    """The fields of a configuration that say how large encoder and decoder are."""

    @property
    def width(self) -> int:
        """D."""
        ...

    @property
    def blocks(self) -> int:
        """Attention blocks of the encoder, and as many of the decoder."""
        ...

    @property
    def heads(self) -> int:
        """Attention heads of a block."""
        ...

    @property
    def feedforward(self) -> int:
        """Width of a block's hidden layer."""
        ...

    @property
    def dropout(self) -> float:
        """In the blocks."""
        ...

    @property
    def latent(self) -> int:
        """E."""
        ...


def token_indices(tokens: str, architecture: Architecture) -> list[Tensor]:
    """For tokens that share a map ``[N, R]``: where their entries lie in the flat vector.

    Args:
        tokens: One token a "neuron", which share a map in each layer; or one a "weight", which all share one.
        architecture: Gives the layout of the networks.
    """
    return neuron_indices(architecture) if tokens == "neuron" else [torch.arange(architecture.parameters)[:, None]]


class NetworkEncoder(nn.Module):
    """Weights to latents: a linear map for each layer, learned positions, blocks, a linear map.

    Args:
        sizes: How large.
        indices: See :func:`token_indices`.
        outputs: Width of the latent.
        compression_token: Read the latent from a token of its own; else from all tokens.
    """

    def __init__(
        self, sizes: Sizes, indices: Sequence[Tensor], outputs: int, *, compression_token: bool = True
    ) -> None:
        super().__init__()
        self.indices = list(indices)
        count = sum(len(index_NR) for index_NR in indices)
        self.embedding = nn.ModuleList(nn.Linear(index_NR.shape[1], sizes.width) for index_NR in indices)
        self.position = nn.Parameter(torch.randn(count + compression_token, sizes.width))
        self.compression = nn.Parameter(torch.randn(sizes.width)) if compression_token else None
        self.blocks = Blocks(sizes.blocks, sizes.width, sizes.heads, sizes.feedforward, sizes.dropout)
        self.to_latent = nn.Linear(sizes.width if compression_token else sizes.width * count, outputs)

    def forward(self, weights_BP: Tensor) -> Tensor:
        """``latent_BE``, unbounded."""
        rows = [weights_BP[:, index_NR] for index_NR in self.indices]
        parts = [embed(rows_BNR) for embed, rows_BNR in zip(self.embedding, rows, strict=True)]
        if self.compression is not None:
            parts.insert(0, self.compression.expand(len(weights_BP), 1, -1))
        tokens_BTD = torch.cat(parts, dim=1) + self.position
        read_BTD = self.blocks(tokens_BTD, None if self.compression is None else 1)
        latent_BE: Tensor = self.to_latent(read_BTD.flatten(1))
        return latent_BE


class NetworkDecoder(nn.Module):
    """Latents to weights: the mirror of :class:`NetworkEncoder`.

    Args:
        sizes: How large.
        indices: See :func:`token_indices`.

    Attributes:
        debedding: For the tokens of each index the map, without bias, from a token to its entries.
        mean: Added at the end, ``[P]``.
    """

    def __init__(self, sizes: Sizes, indices: Sequence[Tensor]) -> None:
        super().__init__()
        self.counts = [len(index_NR) for index_NR in indices]
        place_P = torch.cat([index_NR.flatten() for index_NR in indices])
        self._order_P = torch.argsort(place_P)
        self.from_latent = nn.Linear(sizes.latent, sizes.width * sum(self.counts))
        self.position = nn.Parameter(torch.randn(sum(self.counts), sizes.width))
        self.blocks = Blocks(sizes.blocks, sizes.width, sizes.heads, sizes.feedforward, sizes.dropout)
        self.debedding = nn.ModuleList(nn.Linear(sizes.width, index_NR.shape[1], bias=False) for index_NR in indices)
        self.mean = nn.Parameter(torch.zeros(len(place_P)))

    def forward(self, latent_BE: Tensor) -> Tensor:
        """``weights_BP``."""
        tokens_BTD = self.from_latent(latent_BE).unflatten(1, self.position.shape)
        parts = self.blocks(tokens_BTD + self.position).split(self.counts, dim=1)
        rows = [back(part_BND).flatten(1) for back, part_BND in zip(self.debedding, parts, strict=True)]
        return torch.cat(rows, dim=1).float().index_select(1, self._order_P) + self.mean
