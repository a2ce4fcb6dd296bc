"""Networks as sequences of tokens of one width, whatever their layout; windows of them with a halo.

Schürholt, Mahoney and Borth, "Towards Scalable and Versatile Weight Space Learning" (ICML 2024, arXiv 2406.09997),
sections 3.1 (tokens) and 3.3 (halo).

Shape letters: B networks of a batch, P parameters, T tokens, D numbers of a token, L layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.architecture import Architecture
from zoo.views.tokens import neuron_indices


@dataclass(frozen=True, eq=False)
class TokenLayout:
    """Where the numbers of tokens lie in networks of one layout.

    Attributes:
        place_TD: In the flat vector; P where there are none.
        kept_TD: Which there are: the rest is padding.
        token_P: Where each weight lies among the numbers of all tokens: the inverse.
        position_T3: Of each token its number, its layer's, and its row's in the layer.
    """

    place_TD: Tensor
    kept_TD: Tensor
    token_P: Tensor
    position_T3: Tensor

    @property
    def layers(self) -> int:
        """L."""
        return int(self.position_T3[-1, 1]) + 1

    def tokens(self, weights_BP: Tensor, part: slice = slice(None)) -> Tensor:
        """Tokens ``[B, T, D]`` of networks, or a part of them; the padding is 0."""
        return F.pad(weights_BP, (0, 1))[:, self.place_TD[part]]

    def weights(self, tokens_BTD: Tensor) -> Tensor:
        """The inverse of :meth:`tokens`: ``weights_BP``."""
        return tokens_BTD.flatten(1)[:, self.token_P]


@lru_cache(maxsize=512)
def token_layout(architecture: Architecture, width: int) -> TokenLayout:
    """The rows of each layer, cut to tokens; the last of each row is padded."""
    places, positions = [], []
    for layer, index_HR in enumerate(neuron_indices(architecture)):
        padded = F.pad(index_HR, (0, -index_HR.shape[1] % width), value=architecture.parameters)
        places.append(padded.view(-1, width))
        row = torch.arange(len(padded)).repeat_interleave(padded.shape[1] // width)
        positions.append(torch.stack([torch.full_like(row, layer), row], dim=1))
    place_TD, position_T2 = torch.cat(places), torch.cat(positions)
    kept_TD = place_TD < architecture.parameters
    token_P = torch.nonzero(kept_TD.flatten()).flatten()[torch.argsort(place_TD[kept_TD])]
    number_T1 = torch.arange(len(place_TD)).unsqueeze(1)
    return TokenLayout(place_TD, kept_TD, token_P, torch.cat([number_T1, position_T2], dim=1))


def in_windows(
    apply: Callable[[Tensor, Tensor], Tensor], tokens_BTD: Tensor, where_TD: Tensor, window: int, halo: int
) -> Tensor:
    """Applies a function of tokens and their positions to windows, each with its neighbors around, and joins them.

    Args:
        apply: ``([·, W, D], [W, D] or [·, W, D]) -> [·, W, E]``.
        tokens_BTD: Tokens.
        where_TD: Encodings of their positions.
        window: Tokens of a window.
        halo: Tokens before and after it that are seen and left out of what is joined; at the ends twice as many on the
            one side that there is.

    Returns:
        ``[B, T, E]``.
    """
    count, seen = tokens_BTD.shape[1], window + 2 * halo
    if count <= seen:
        return apply(tokens_BTD, where_TD)
    start_N = (torch.arange(0, count, window) - halo).clamp(0, count - seen)
    index_NW = start_N.unsqueeze(1) + torch.arange(seen)
    windows = tokens_BTD[:, index_NW].flatten(0, 1)
    found = apply(windows, where_TD[index_NW].repeat(len(tokens_BTD), 1, 1)).unflatten(0, (len(tokens_BTD), -1))
    window_T = torch.arange(count) // window
    return found[:, window_T, torch.arange(count) - start_N[window_T]]
