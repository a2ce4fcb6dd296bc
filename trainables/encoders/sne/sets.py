"""Attention over sets: to sets, and to vectors.

Lee et al., "Set Transformer" (ICML 2019, arXiv 1810.00825), section 3, without layer norms: a dozen of them would leave
next to nothing of what tells networks apart, the size of weights first. For the same reason a block adds to what it
read what it sees, not to the query (Zhang et al., ICML 2022, arXiv 2206.11925, section 3).

Most sets here have a few elements of a few numbers, for which a softmax along the elements is slow: the exponentials
are summed by a product instead, without their maximum taken off. Logits are kept within a range in which that is exact
to rounding.

Shape letters: S sets, N elements of a set, D width, H heads, C width of a head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_LOGIT = 30.0
# Sets of fewer elements are attended to by plain products.
FEW = 64
# Torch's fused attention is three times as slow for heads that do not fill a vector.
VECTOR = 16


class Rest(nn.Module):
    """What a block does after attention: a layer of its own, added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.feedforward = nn.Linear(width, width)

    def forward(self, found: Tensor) -> Tensor:
        """The same shape, ``[…, D]``."""
        return found + F.relu(self.feedforward(found))


class AttentionBlock(nn.Module):
    """SAB: every element attends to all of its set, and what it sees is added to it.

    Args:
        width: D.
        heads: H.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.rest = Rest(width)

    def forward(self, set_SND: Tensor, kept_SN: Tensor | None = None) -> Tensor:
        """``[S, N, D]``.

        Args:
            set_SND: The sets.
            kept_SN: Which elements there are; all where ``None``.
        """
        if set_SND.shape[1] < FEW and self.heads == 1:
            return self.few(set_SND, kept_SN)
        parts = self.query_key_value(set_SND).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if set_SND.shape[1] < FEW:
            query, key, value = parts
            seen = attended(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1), kept_SN).view_as(query)
        else:
            width = parts.shape[4]
            query, key, value = F.pad(parts, (0, -width % VECTOR))
            mask = None if kept_SN is None else kept_SN[:, None, None]
            scale = 1 / math.sqrt(width)
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)[..., :width]
        found: Tensor = self.rest(set_SND + seen.transpose(1, 2).flatten(2))
        return found

    def few(self, set_SND: Tensor, kept_SN: Tensor | None) -> Tensor:
        """The same by one head for sets of a few short elements, where time goes with the numbers that are moved.

        Inner products of queries and keys are those of elements, mapped once, with elements; but for what is the same
        for all elements, which a softmax does not see. Means of values are those of elements, mapped.
        """
        query, key, value = self.query_key_value.weight.chunk(3)
        query_bias, _, value_bias = self.query_key_value.bias.chunk(3)
        scale = 1 / math.sqrt(len(query))
        asked_SND = F.linear(set_SND, scale * key.T @ query, scale * query_bias @ key)
        weight = exponential(
            torch.bmm(asked_SND, set_SND.transpose(1, 2)), None if kept_SN is None else kept_SN[:, None]
        )
        mean_SND = torch.bmm(weight / weight.sum(dim=2, keepdim=True), set_SND)
        found: Tensor = self.rest(set_SND + F.linear(mean_SND, value, value_bias))
        return found


def attended(query: Tensor, key: Tensor, value: Tensor, kept_SN: Tensor | None) -> Tensor:
    """Means of values, weighed by the softmax of queries' inner products with keys over √C: ``[S · H, N, C]``."""
    logits = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(query.shape[2])
    kept = None if kept_SN is None else kept_SN.repeat_interleave(len(query) // len(kept_SN), dim=0).unsqueeze(1)
    weight = exponential(logits, kept)
    total = weight @ weight.new_ones(weight.shape[2], 1)
    return torch.bmm(weight, value) / total


def exponential(logits: Tensor, kept: Tensor | None) -> Tensor:
    """Weights of a softmax before they are divided by their sum; 0 for what is not kept."""
    weight = logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT).exp()
    return weight if kept is None else weight * kept


def without_biases(module: nn.Module) -> None:
    """Sets the biases of all linear maps to 0: what is the same for all networks only hides them at first."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)


class SetToSet(nn.Sequential):
    """Φ: set attention blocks one after another."""

    def __init__(self, width: int, heads: int, blocks: int) -> None:
        super().__init__(*(AttentionBlock(width, heads) for _ in range(blocks)))

    def forward(self, set_SND: Tensor, kept_SN: Tensor | None = None) -> Tensor:
        """``[S, N, D]``."""
        for block in self:
            set_SND = block(set_SND, kept_SN)
        return set_SND


class SetToVector(nn.Module):
    """Γ: one learned query attends to all elements (PMA with k = 1).

    The query is the same for all sets, so that keys and values need not be computed for each element: a head's
    logits are inner products of elements with one vector, and means of elements are mapped to means of values.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(width))
        self.key = nn.Parameter(torch.randn(heads, width // heads, width) / math.sqrt(width))
        self.value = nn.Parameter(torch.randn(heads, width // heads, width) / math.sqrt(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.rest = Rest(width)

    def forward(self, set_SND: Tensor, kept_SN: Tensor | None = None) -> Tensor:
        """``[S, D]``."""
        heads, each, _ = self.key.shape
        asked_HD = torch.einsum("hc,hcd->hd", self.query.view(heads, each), self.key) / math.sqrt(each)
        weight_SNH = exponential(set_SND @ asked_HD.T, None if kept_SN is None else kept_SN.unsqueeze(2))
        sum_SHD = torch.bmm(weight_SNH.transpose(1, 2), set_SND)
        mean_SHD = sum_SHD / weight_SNH.sum(dim=1).unsqueeze(2)
        seen_SD = torch.einsum("shd,hcd->shc", mean_SHD, self.value).flatten(1) + self.bias
        found: Tensor = self.rest(seen_SD)
        return found
