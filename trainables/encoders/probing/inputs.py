"""Probes: inputs that are learned, each on its own or by a generator that all share.

Shape letters: N probes, Z numbers of a code.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from trainables.encoders.probing.config import ProbingConfig
from zoo.architecture import Shape
from zoo.data.examples import Examples

# Side of the images that the generator's first layer makes.
FIRST_SIDE = 4


class FreeProbes(nn.Module):
    """Inputs that are parameters.

    Args:
        config: ``count``, ``probes`` and ``seed``.
        shape: Of one input.
    """

    def __init__(self, config: ProbingConfig, shape: Shape) -> None:
        super().__init__()
        self.config = config
        self.inputs = nn.Parameter(torch.randn(config.count, *shape))

    def forward(self) -> Tensor:
        """``[N, *shape]``."""
        return self.inputs

    @torch.no_grad()
    def begin(self, examples: Examples) -> None:
        """Starts at examples, none twice while there are others; or at noise of their mean and deviation."""
        if self.config.probes == "noise":
            self.inputs.mul_(examples.inputs.std()).add_(examples.inputs.mean())
            return
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(self.config.seed))
        rows = order.repeat(math.ceil(self.config.count / len(order)))[: self.config.count]
        self.inputs.copy_(examples.select(rows).inputs)


class GeneratedProbes(nn.Module):
    """Inputs that a deep linear generator makes of learned codes (ProbeGen, section 4).

    Images grow from 4 x 4 by transposed convolutions that double their sides, without activations in between; what is
    larger than an input is cropped. Inputs that are no images are made by two linear layers. Values lie between the
    smallest and the largest of the training examples.

    Args:
        config: ``count``, ``code`` and ``channels``.
        shape: Of one input.
    """

    range_2: Tensor

    def __init__(self, config: ProbingConfig, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("range_2", torch.tensor([0.0, 1.0]))
        if len(shape) == 3:
            self.codes = nn.Parameter(torch.randn(config.count, config.code, 1, 1))
            self.generator = _deconvolutions(config.code, config.channels, shape)
        else:
            self.codes = nn.Parameter(torch.randn(config.count, config.code))
            self.generator = nn.Sequential(
                nn.Linear(config.code, config.code), nn.Linear(config.code, math.prod(shape)), nn.Unflatten(1, shape)
            )

    def forward(self) -> Tensor:
        """``[N, *shape]``."""
        made = self.generator(self.codes)
        if len(self.shape) == 3:
            top, left = ((have - want) // 2 for have, want in zip(made.shape[2:], self.shape[1:], strict=True))
            made = made[:, :, top : top + self.shape[1], left : left + self.shape[2]]
        low, high = self.range_2
        return low + (high - low) * (torch.tanh(made) + 1) / 2

    def begin(self, examples: Examples) -> None:
        """Notes the range of the examples."""
        values = examples.values
        self.range_2.copy_(torch.stack([values.min(), values.max()]) * examples.scale)


def _deconvolutions(code: int, channels: int, shape: Shape) -> nn.Sequential:
    """From codes ``[N, Z, 1, 1]`` to images at least as large as ``shape``; for sides of 17 to 32 those published."""
    doublings = max(0, math.ceil(math.log2(max(shape[1:]) / FIRST_SIDE)))
    widths = [channels * min(8, 2**left) for left in range(doublings, -1, -1)]
    parts: list[nn.Module] = [nn.ConvTranspose2d(code, widths[0], FIRST_SIDE)]
    for number, (before, after) in enumerate(itertools.pairwise(widths), start=1):
        if number == doublings:
            parts.append(nn.ConvTranspose2d(before, before, 3, padding=1))
        parts.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1))
    return nn.Sequential(*parts, nn.ConvTranspose2d(widths[-1], shape[0], 3, padding=1))
