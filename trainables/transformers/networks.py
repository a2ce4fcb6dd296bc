"""Networks to latents and back, by attention among their neurons or weights (arXiv 2110.15288, section 3.2).

Shape letters: B networks of a batch, P parameters, T tokens, N neurons of a layer, R entries of a neuron's row, D token
width, E latent width.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from trainables.transformers.blocks import Blocks
from zoo.architecture import Architecture
from zoo.views.tokens import from_neuron_rows, neuron_rows, neuron_shapes


class Sizes(Protocol):
    """The fields of a configuration that say how large encoder and decoder are."""

    @property
    def tokens(self) -> str:
        """One token a "neuron", or one a "weight"."""
        ...

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


def token_shapes(tokens: str, architecture: Architecture) -> tuple[tuple[int, int], ...]:
    """(tokens, entries of a token) of each group of tokens that share a map: layers, or all weights."""
    return ((architecture.parameters, 1),) if tokens == "weight" else neuron_shapes(architecture)


class NetworkEncoder(nn.Module):
    """Weights to latents: a linear map for each layer, learned positions, blocks, a linear map.

    Args:
        sizes: How large.
        architecture: Gives the layout of the networks.
        compression_token: Read the latent from a token of its own; else from all tokens.
    """

    def __init__(self, sizes: Sizes, architecture: Architecture, *, compression_token: bool = True) -> None:
        super().__init__()
        self.tokens, self.architecture = sizes.tokens, architecture
        shapes = token_shapes(sizes.tokens, architecture)
        count = sum(tokens for tokens, _ in shapes)
        self.embedding = nn.ModuleList(nn.Linear(entries, sizes.width) for _, entries in shapes)
        self.position = nn.Parameter(torch.randn(count + compression_token, sizes.width))
        self.compression = nn.Parameter(torch.randn(sizes.width)) if compression_token else None
        self.blocks = Blocks(sizes.blocks, sizes.width, sizes.heads, sizes.feedforward, sizes.dropout)
        self.to_latent = nn.Linear(sizes.width if compression_token else sizes.width * count, sizes.latent)

    def forward(self, weights_BP: Tensor) -> Tensor:
        """``latent_BE``, unbounded."""
        rows = [weights_BP.unsqueeze(2)] if self.tokens == "weight" else neuron_rows(self.architecture, weights_BP)
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
        architecture: Gives the layout of the networks.
    """

    def __init__(self, sizes: Sizes, architecture: Architecture) -> None:
        super().__init__()
        self.tokens, self.architecture = sizes.tokens, architecture
        self.shapes = token_shapes(sizes.tokens, architecture)
        count = sum(tokens for tokens, _ in self.shapes)
        self.from_latent = nn.Linear(sizes.latent, sizes.width * count)
        self.position = nn.Parameter(torch.randn(count, sizes.width))
        self.blocks = Blocks(sizes.blocks, sizes.width, sizes.heads, sizes.feedforward, sizes.dropout)
        self.debedding = nn.ModuleList(nn.Linear(sizes.width, entries) for _, entries in self.shapes)

    def forward(self, latent_BE: Tensor) -> Tensor:
        """``weights_BP``."""
        tokens_BTD = self.from_latent(latent_BE).unflatten(1, self.position.shape)
        tokens_BTD = self.blocks(tokens_BTD + self.position)
        parts = tokens_BTD.split([tokens for tokens, _ in self.shapes], dim=1)
        rows = [back(part_BND).float() for back, part_BND in zip(self.debedding, parts, strict=True)]
        return rows[0].squeeze(2) if self.tokens == "weight" else from_neuron_rows(self.architecture, rows)
