"""Attention blocks for a few short tokens of many networks, fast on a CPU.

The same computation as ``torch.nn.TransformerEncoder`` with pre-norm, with dropout where that has it; what differs is
the way there: the products of a step can be in bfloat16, dropout draws 16 bits a number, and the last block computes
only the tokens that are read.

Shape letters: B networks of a batch, T tokens, R tokens that are read, D token width, H heads, K width of a head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A draw of 64 bits decides on so many numbers.
DRAWS = 4
LEVELS = 2**16


def fast_products(precision: str) -> torch.autocast:
    """A context in which matrix products are computed in "bfloat16"; in "float32" it changes nothing.

    Parameters, sums over tokens and gradients of parameters stay float32. On CPUs with AVX-512 BF16 products are three
    to four times as fast; on others they are slower.
    """
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16")


class Dropout(nn.Module):
    """Dropout; on a CPU several times as fast as torch's.

    Args:
        probability: That a number becomes 0, rounded to 1/65536.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.dropped = round(probability * LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        """Drops numbers in training, and scales the others so that the mean stays."""
        if not self.training or not self.dropped:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.dropped / LEVELS)
        draws = torch.empty(math.ceil(x.numel() / DRAWS), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
        kept = (bits >= self.dropped - LEVELS // 2).to(x.dtype)
        return x * kept.mul_(LEVELS / (LEVELS - self.dropped))


class Block(nn.Module):
    """One pre-norm block of attention and a network of one hidden layer.

    Args:
        width: D.
        heads: H, a divisor of the width.
        feedforward: Width of the hidden layer.
        dropout: Of attention weights, of the hidden layer, and of what is added to the tokens.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.attended = nn.Linear(width, width)
        self.hidden_norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, feedforward)
        self.out = nn.Linear(feedforward, width)
        self.dropout = Dropout(dropout)

    def attention(self, tokens_BTD: Tensor, read: int | None = None) -> tuple[Tensor, Tensor]:
        """How much of each token the first R tokens read, ``weights_BHRT``, and what they read, ``value_BHTK``."""
        normed_BTD = self.attention_norm(tokens_BTD)
        query_BHRK = self.query(normed_BTD[:, :read]).unflatten(2, (self.heads, -1)).transpose(1, 2)
        pairs = self.key_value(normed_BTD).unflatten(2, (2, self.heads, -1))
        key_BHTK, value_BHTK = pairs.permute(2, 0, 3, 1, 4)
        # Spelled out: torch's fused attention is slower for tokens as few as these, by far so in bfloat16.
        similarity_BHRT = query_BHRK @ key_BHTK.transpose(2, 3) / math.sqrt(query_BHRK.shape[3])
        return similarity_BHRT.float().softmax(dim=3), value_BHTK

    def forward(self, tokens_BTD: Tensor, read: int | None = None) -> Tensor:
        """``tokens_BRD``: the first R tokens, all where ``read`` is ``None``; each attends to all."""
        weights_BHRT, value_BHTK = self.attention(tokens_BTD, read)
        read_BRD = (self.dropout(weights_BHRT) @ value_BHTK).transpose(1, 2).flatten(2)
        tokens_BRD = tokens_BTD[:, :read] + self.dropout(self.attended(read_BRD))
        hidden = self.dropout(F.relu(self.hidden(self.hidden_norm(tokens_BRD))))
        return tokens_BRD + self.dropout(self.out(hidden))


class Blocks(nn.ModuleList):
    """Several :class:`Block` one after the other.

    Args:
        count: How many.
        width: D.
        heads: H.
        feedforward: Width of a block's hidden layer.
        dropout: See :class:`Block`.
    """

    def __init__(self, count: int, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(Block(width, heads, feedforward, dropout) for _ in range(count))

    def forward(self, tokens_BTD: Tensor, read: int | None = None) -> Tensor:
        """``tokens_BRD``: the first R tokens after all blocks, all where ``read`` is ``None``."""
        *before, last = self
        for block in before:
            tokens_BTD = block(tokens_BTD)
        found: Tensor = last(tokens_BTD, read)
        return found
