"""The last layer of networks: what it reads, and networks with another one.

Shape letters: T sets, B examples of each, C classes, H units before the last layer, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.architecture import Architecture, TensorSpec

# Logits of a class where ridge regression says 1; at the start, where it is learned.
FIRST_LOGIT = 8.0


def last_layer(architecture: Architecture) -> TensorSpec:
    """Where the weights ``[C, units]`` of the last layer lie; its bias follows."""
    return next(spec for spec in reversed(architecture.layout) if len(spec.shape) > 1)


def before_last_layer(architecture: Architecture, weights_TP: Tensor, inputs: Tensor) -> Tensor:
    """What the last layer reads of each example: ``[T, B, H]``."""
    seen: list[Tensor] = []
    name = last_layer(architecture).name.rpartition(".")[0]

    def watch(layer: str, x: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        if layer == name:
            seen.append(x)
        return compute()

    architecture.apply(architecture.tensors(weights_TP), inputs, around_weights=watch)
    return seen[0]


def with_rows(architecture: Architecture, weights_TP: Tensor, rows_TCH: Tensor, bias_TC: Tensor) -> Tensor:
    """A copy of the networks with this last layer."""
    return torch.cat([weights_TP[:, : last_layer(architecture).offset], rows_TCH.flatten(1), bias_TC], dim=1)
