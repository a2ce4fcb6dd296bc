"""Several small perceptrons that are fitted side by side, each to rows of its own.

Shape letters: E perceptrons, M rows, B rows of a batch, F features, H hidden units, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.adam import AdamW
from trainables.trainable import DivergedError

BATCH = 64
FEATURE_DROPOUT, DROPOUT = 0.1, 0.3
WEIGHT_DECAY = 0.3
WARM_UP = 0.1
# The squared error of an output, in variances, beyond which more does not matter: a few networks are far from all.
LARGEST_ERROR = 25.0


@dataclass(frozen=True)
class Perceptrons:
    """Two hidden layers each.

    Attributes:
        layers: For each layer weights ``[E, inputs, outputs]`` and offsets ``[E, 1, outputs]``.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def fit(
        cls,
        x_MF: Tensor,
        wanted_MK: Tensor,
        weight_K: Tensor,
        rows: Sequence[Tensor],
        seen_EF: Tensor,
        *,
        width: int,
        passes: int,
        learning_rate: float,
        generator: torch.Generator,
    ) -> Perceptrons:
        """Minimizes the weighted squared error by Adam, with dropout.

        Args:
            x_MF: Standardized features.
            wanted_MK: Standardized outputs; NaN where not known.
            weight_K: What each counts.
            rows: Which rows each perceptron sees.
            seen_EF: Which features each perceptron sees, bool; weights of the others are 0.
            width: H.
            passes: How often a perceptron sees each row, about.
            learning_rate: The largest step size; it rises along a line and falls along half a cosine.
            generator: For all that is drawn.

        Raises:
            DivergedError: A weight is not finite in the end.
        """
        sizes = (x_MF.shape[1], width, width, wanted_MK.shape[1])
        layers = [_initial(len(rows), *size, generator) for size in pairwise(sizes)]
        layers[0][0].mul_(seen_EF[:, :, None])
        parameters = [tensor.requires_grad_() for layer in layers for tensor in layer]
        optimizer = AdamW(parameters, lr=learning_rate, weight_decay=WEIGHT_DECAY)
        steps = passes * -(-max(len(some) for some in rows) // BATCH)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * _schedule((step + 1) / steps)
            rows_EB = torch.stack([some[torch.randint(len(some), (BATCH,), generator=generator)] for some in rows])
            wanted_EBK = wanted_MK[rows_EB]
            given_EBK = _forward(layers, x_MF[rows_EB] * seen_EF[:, None], generator)
            error_EBK = (given_EBK - wanted_EBK.nan_to_num()).square()
            counted_EBK = weight_K * torch.isfinite(wanted_EBK)
            loss = (error_EBK.clamp_max(LARGEST_ERROR) * counted_EBK).mean(1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not all(torch.isfinite(tensor).all() for tensor in parameters):
            raise DivergedError(f"after {steps} steps a perceptron's weight is not finite; lower learning_rate")
        return cls(tuple((weight.detach(), offset.detach()) for weight, offset in layers))

    @torch.no_grad()
    def outputs(self, x_MF: Tensor) -> Tensor:
        """Of each perceptron: ``[E, M, K]``."""
        return _forward(self.layers, x_MF.expand(len(self.layers[0][0]), -1, -1))

    def tensors(self) -> dict[str, Tensor]:
        """Weights and offsets; :meth:`from_tensors` is the inverse."""
        found = {f"{number}/weight": weight for number, (weight, _) in enumerate(self.layers)}
        return found | {f"{number}/offset": offset for number, (_, offset) in enumerate(self.layers)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Perceptrons:
        """The inverse of :meth:`tensors`."""
        count = len(tensors) // 2
        return cls(tuple((tensors[f"{number}/weight"], tensors[f"{number}/offset"]) for number in range(count)))


def _initial(count: int, inputs: int, outputs: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    weight = torch.randn(count, inputs, outputs, generator=generator) / math.sqrt(inputs)
    return weight, torch.zeros(count, 1, outputs)


def _schedule(progress: float) -> float:
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _forward(
    layers: Sequence[tuple[Tensor, Tensor]], x_EBF: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """``[E, B, K]``; with a generator, inputs and hidden units are dropped as in training."""
    x = x_EBF if generator is None else _dropped(x_EBF, FEATURE_DROPOUT, generator)
    for weight, offset in layers[:-1]:
        x = F.gelu(torch.baddbmm(offset, x, weight))
        x = x if generator is None else _dropped(x, DROPOUT, generator)
    return torch.baddbmm(layers[-1][1], x, layers[-1][0])


def _dropped(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    return x * (torch.rand(x.shape, generator=generator) >= share) / (1 - share)
