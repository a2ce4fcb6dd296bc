"""The building block of encoders and decoders."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LinearAndHidden(nn.Module):
    """A linear path, or hidden layers, or both, and a bias; acts on the last axis.

    Hidden layers beside a linear path start as zero: they learn a correction to it.

    Args:
        inputs: Width of the input.
        hidden: Widths of the hidden layers; with none and no linear path, a linear map stands in their place.
        outputs: Width of the output.
        linear_path: Whether there is a linear path.
        bias: Whether the output has a bias, called ``mean``.
    """

    def __init__(self, inputs: int, hidden: list[int], outputs: int, *, linear_path: bool, bias: bool = True) -> None:
        super().__init__()
        self.inputs = inputs
        self.mean = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.linear = nn.Linear(inputs, outputs, bias=False) if linear_path else None
        self.hidden: nn.ModuleList | None = None
        if hidden or not linear_path:
            widths = list(itertools.pairwise([inputs, *hidden, outputs]))
            self.hidden = nn.ModuleList(nn.Linear(a, b, bias=i < len(hidden)) for i, (a, b) in enumerate(widths))
            if linear_path:
                nn.init.zeros_(self.last_hidden.weight)

    @property
    def last_hidden(self) -> nn.Linear:
        """The last of the hidden layers."""
        layer = self.hidden[-1] if self.hidden is not None else None
        if not isinstance(layer, nn.Linear):
            raise AttributeError("there are no hidden layers, only a linear path")
        return layer

    @property
    def output_layers(self) -> list[nn.Linear]:
        """The layers whose outputs are added."""
        layers = [] if self.linear is None else [self.linear]
        return layers if self.hidden is None else [*layers, self.last_hidden]

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``."""
        parts = [] if self.linear is None else [self.linear(x)]
        if self.hidden is not None:
            for index, layer in enumerate(self.hidden):
                x = layer(F.silu(x) if index else x)
            parts.append(x)
        out = sum(parts[1:], start=parts[0])
        return out if self.mean is None else out + self.mean
