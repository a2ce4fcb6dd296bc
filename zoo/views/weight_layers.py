"""Layers that weigh their inputs, linear layers and convolutions alike: what each reads and how its weights lie.

A convolution is a linear layer that is applied at every position: it reads patches.

Shape letters: M members, N examples, S positions (1 for a linear layer), H outputs of a layer, D inputs of an output
with the bias, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.architecture import Architecture, Conv, Linear, Placed, TensorSpec


@dataclass(frozen=True)
class WeightLayer:
    """A linear layer or a convolution in its place.

    Attributes:
        place: The layer.
        weight: Its weights; axis 0 are the outputs.
        bias: Its bias, if it has one.
        named: Whether its inputs have names, as pixels do: they mean the same in all networks.
        units: How many interchangeable units it reads; 1 where its inputs have names.
        entries: How many weights an output has for each unit: positions of a patch or of a flattened image.
        interchangeable: Whether its outputs are hidden units, which can be permuted.
    """

    place: Placed
    weight: TensorSpec
    bias: TensorSpec | None
    named: bool
    units: int
    entries: int
    interchangeable: bool

    @property
    def name(self) -> str:
        """Its name in the layout."""
        return self.place.name

    @property
    def outputs(self) -> int:
        """H."""
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        """D."""
        return self.units * self.entries + (self.bias is not None)

    @property
    def positions(self) -> int:
        """S: at how many positions it is applied."""
        return math.prod(self.place.output_shape[1:])

    def rows(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The outputs' weights, then the bias: ``[M, H, D]``."""
        rows_MHD = tensors[self.weight.name].flatten(2)
        return rows_MHD if self.bias is None else torch.cat([rows_MHD, tensors[self.bias.name].unsqueeze(2)], dim=2)

    def tensors(self, rows_MHD: Tensor) -> dict[str, Tensor]:
        """The inverse of :meth:`rows`."""
        tensors = {self.weight.name: rows_MHD[..., : self.units * self.entries].unflatten(2, self.weight.shape[1:])}
        if self.bias is not None:
            tensors[self.bias.name] = rows_MHD[..., -1]
        return tensors

    def by_unit(self, vectors: Tensor, matrix_BB: Tensor) -> Tensor:
        """Vectors ``[..., D]``, the entries of each unit multiplied by a matrix; a bias stays as it is.

        Where inputs have names, all of D (the bias too) is one unit.
        """
        if self.named:
            return vectors @ matrix_BB
        read = self.units * self.entries
        parts = vectors[..., :read].unflatten(-1, (self.units, self.entries)) @ matrix_BB
        return torch.cat([parts.flatten(-2), vectors[..., read:]], dim=-1)

    def patches(self, x: Tensor) -> Tensor:
        """What an output weighs, 1 appended where there is a bias: ``[N, S, D]`` or ``[M, N, S, D]``.

        Args:
            x: The layer's inputs, ``[N, *shape]`` or ``[M, N, *shape]``.
        """
        leading = x.shape[: x.ndim - len(self.place.shape)]
        layer = self.place.layer
        if isinstance(layer, Conv):
            images = F.pad(x.flatten(0, len(leading) - 1), (layer.padding,) * 4)
            windows = images.unfold(2, layer.kernel, layer.stride).unfold(3, layer.kernel, layer.stride)
            windows = windows.permute(0, 2, 3, 1, 4, 5)
            patches = x.new_ones(*windows.shape[:3], self.width)
            patches[..., : self.units * self.entries].unflatten(3, windows.shape[3:]).copy_(windows)
            return patches.flatten(1, 2).unflatten(0, leading)
        return x.unsqueeze(-2) if self.bias is None else F.pad(x.unsqueeze(-2), (0, 1), value=1.0)


def at_positions(outputs: Tensor) -> Tensor:
    """A layer's outputs ``[M, N, H]`` or ``[M, N, H, height, width]`` as ``[M, N, S, H]``."""
    return outputs.unsqueeze(2) if outputs.ndim == 3 else outputs.flatten(3).transpose(2, 3)


def weight_layers(architecture: Architecture) -> tuple[WeightLayer, ...]:
    """The linear layers and convolutions in the order in which they are applied."""
    specs = {spec.name: spec for spec in architecture.layout}
    blocks = {(axis.tensor, axis.axis): axis.block for axes in architecture.symmetry.values() for axis in axes}
    found = []
    for place in architecture.placed:
        if isinstance(place.layer, Linear | Conv):
            weight = specs[f"{place.name}.weight"]
            inputs = weight.size // weight.shape[0]
            block = blocks.get((weight.name, 1))
            units = 1 if block is None else weight.shape[1] // block
            interchangeable = (weight.name, 0) in blocks
            bias = specs.get(f"{place.name}.bias")
            found.append(WeightLayer(place, weight, bias, block is None, units, inputs // units, interchangeable))
    return tuple(found)


def watched(
    architecture: Architecture, weights_MP: Tensor, x: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Applies members to examples and notes what every weight layer reads and gives.

    Args:
        architecture: The members' architecture.
        weights_MP: Members.
        x: Examples ``[N, *input_shape]``.

    Returns:
        (each layer's inputs by its name, each layer's outputs, the logits ``[M, N, C]``). With gradients enabled, the
        logits can be differentiated by the outputs.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def note(name: str, read: Tensor, apply: Callable[[], Tensor]) -> Tensor:
        inputs[name] = read.detach()
        given = apply()
        if torch.is_grad_enabled() and not given.requires_grad:
            given.requires_grad_()
        outputs[name] = given
        return given

    logits_MNC = architecture.apply(architecture.tensors(weights_MP), x, around_weights=note)
    return inputs, outputs, logits_MNC
