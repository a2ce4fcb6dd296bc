"""Encodings of positions, for any number of them.

Vaswani et al., "Attention Is All You Need" (arXiv 1706.03762), section 3.5.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LONGEST_PERIOD = 10_000.0


def sinusoids(position: Tensor, width: int) -> Tensor:
    """Sines and cosines of positions, with periods from 2π to 2π · 10 000: ``[…]`` to ``[…, width]``."""
    half = math.ceil(width / 2)
    period = LONGEST_PERIOD ** (torch.arange(half) / half)
    angle = position.unsqueeze(-1) / period
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)[..., :width]
