"""Batch normalization (Ioffe and Szegedy, ICML 2015).

Shape letters: M members, P parameters, N examples, C channels (or components of a vector).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.architecture.layers import BatchStatistics, Forward, Layer, Shape, Slot
from zoo.architecture.symmetry import Entries, Symmetry

EPSILON = 1e-5
MOMENTUM = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchNorm(Layer):
    """Normalizes each channel, then scales and shifts it; running statistics are buffers.

    A running variance below zero, which a lossy codec may make of a small one, counts as zero; modules hold it as zero.
    """

    kind: ClassVar[str] = "batch_norm"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 3):
            raise ValueError(f"a batch norm needs vectors or images [channels, height, width], got shape {shape}")
        return shape

    def slots(self, shape: Shape) -> tuple[Slot, ...]:
        return (
            Slot("weight", shape[:1]),
            Slot("bias", shape[:1]),
            Slot("running_mean", shape[:1], trainable=False),
            Slot("running_var", shape[:1], trainable=False),
        )

    def moves(self, symmetry: Symmetry, name: str, shape: Shape, entries: Entries) -> Entries:
        for slot in self.slots(shape):
            symmetry.add(entries, f"{name}.{slot.name}", 0)
        return entries

    def forward(self, run: Forward, name: str, x: Tensor, shape: Shape) -> Tensor:
        mean_MC = run.tensors[f"{name}.running_mean"]
        variance_MC = run.tensors[f"{name}.running_var"].clamp_min(0)
        if run.batch_statistics is not None:
            mean_MC, variance_MC = self._batch_moments(run.batch_statistics, name, x, shape, mean_MC, variance_MC)
        scale_MC = run.tensors[f"{name}.weight"] * torch.rsqrt(variance_MC + EPSILON)
        shift_MC = run.tensors[f"{name}.bias"] - mean_MC * scale_MC
        # [M, 1, C] or [M, 1, C, 1, 1]: an x without members gets them here.
        per_channel = (len(scale_MC), 1, shape[0], *(1 for _ in shape[1:]))
        return torch.addcmul(shift_MC.reshape(per_channel), x, scale_MC.reshape(per_channel))

    def _batch_moments(
        self, statistics: BatchStatistics, name: str, x: Tensor, shape: Shape, mean_MC: Tensor, variance_MC: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The batch's (mean, biased variance), ``[M, C]`` or ``[1, C]``; notes the new running statistics."""
        own = x if x.ndim == len(shape) + 2 else x.unsqueeze(0)
        axes = [axis for axis in range(1, own.ndim) if axis != 2]
        count = own.numel() // (len(own) * shape[0])
        if count < 2:
            raise ValueError("a batch norm needs more than one value per channel to train; use a larger batch")
        batch_variance, batch_mean = torch.var_mean(own, axes, correction=0)
        with torch.no_grad():
            unbiased = batch_variance * (count / (count - 1))
            statistics.buffers[f"{name}.running_mean"] = torch.lerp(mean_MC, batch_mean.expand_as(mean_MC), MOMENTUM)
            statistics.buffers[f"{name}.running_var"] = torch.lerp(variance_MC, unbiased.expand_as(mean_MC), MOMENTUM)
        return batch_mean, batch_variance

    def module(self, shape: Shape) -> nn.Module:
        kind = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
        module = kind(shape[0], eps=EPSILON, momentum=MOMENTUM)
        # With a fixed momentum the count of batches has no effect; without it names are those of the layout.
        module.num_batches_tracked = None
        module.register_load_state_dict_pre_hook(_prepared)
        return module


def _prepared(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    """Lets a batch norm load a ``state_dict`` that has the count of batches, or variances below zero."""
    state.pop(f"{prefix}num_batches_tracked", None)
    variance = f"{prefix}running_var"
    if variance in state:
        state[variance] = state[variance].clamp_min(0)


def without_counts(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ``state_dict`` without the counts of batches that torch keeps."""
    return {name: tensor for name, tensor in state.items() if name.rpartition(".")[2] != "num_batches_tracked"}
