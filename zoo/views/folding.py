"""Batch norms folded into the layers before them: the same function with fewer parameters.

In inference a batch norm is an affine map of each channel, so a linear layer or a convolution right before it can
take it in. The way back gives weights in the original layout whose batch norms hold shift alone.

Shape letters: M members, P parameters, Q parameters of the folded architecture, H outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from zoo.architecture import Architecture, BatchNorm, Conv, Layer, Linear, Residual
from zoo.architecture.normalization import EPSILON


class Folding:
    """The exact transform of an architecture's weights into those without batch norms, and a way back.

    ``unfold`` after ``fold`` gives other weights of the same function: which layer scales and which shifts is not kept.

    Attributes:
        architecture: With batch norms, each right after a linear layer or a convolution.
        norms: For each of these layers, by its name in :attr:`architecture`, the name of its batch norm.
        names: For each layer of :attr:`folded` that has parameters, its name in :attr:`architecture`.
        folded: The architecture without batch norms; layers that had one have a bias.
    """

    def __init__(self, architecture: Architecture) -> None:
        """Finds the batch norms.

        Raises:
            ValueError: A batch norm follows something else.
        """
        self.architecture = architecture
        self.norms: dict[str, str] = {}
        self.names: dict[str, str] = {}
        layers = self._without_norms(architecture.layers, "", "")
        self.folded = Architecture(architecture.input_shape, layers) if self.norms else architecture

    def _without_norms(self, layers: tuple[Layer, ...], old: str, new: str) -> tuple[Layer, ...]:
        """A sequence without its batch norms; ``old`` and ``new`` are the prefixes of its layers' names."""
        kept: list[Layer] = []
        for index, layer in enumerate(layers):
            before = layers[index - 1] if index else None
            if isinstance(layer, BatchNorm):
                if not isinstance(before, Linear | Conv):
                    raise ValueError(
                        f"the batch norm {old}{index} does not follow a linear layer or a convolution, so it cannot be "
                        "folded into one; use a codec or a view that knows nothing of the function, such as 'uniform' "
                        "or 'standardized'"
                    )
                self.norms[f"{old}{index - 1}"] = f"{old}{index}"
                kept[-1] = replace(before, bias=True)
                continue
            own = f"{new}{len(kept)}"
            if isinstance(layer, Residual):
                body = self._without_norms(layer.body, f"{old}{index}.body.", f"{own}.body.")
                shortcut = self._without_norms(layer.shortcut, f"{old}{index}.shortcut.", f"{own}.shortcut.")
                kept.append(replace(layer, body=body, shortcut=shortcut))
            else:
                self.names[own] = f"{old}{index}"
                kept.append(layer)
        return tuple(kept)

    @cached_property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        """(name of a layer with weights in the folded architecture, its name in the original)."""
        names = dict.fromkeys(spec.name.rpartition(".")[0] for spec in self.folded.layout)
        return tuple((name, self.names[name]) for name in names)

    def fold(self, weights_MP: Tensor) -> Tensor:
        """``weights_MQ`` of the folded architecture: the same function."""
        if not self.norms:
            return weights_MP
        tensors = self.architecture.tensors(weights_MP)
        folded: dict[str, Tensor] = {}
        for name, old in self._pairs:
            weight, bias = tensors[f"{old}.weight"], tensors.get(f"{old}.bias")
            if old in self.norms:
                norm = {slot: tensors[f"{self.norms[old]}.{slot}"] for slot in NORM_SLOTS}
                scale_MH = norm["weight"] * torch.rsqrt(norm["running_var"].clamp_min(0) + EPSILON)
                shift_MH = norm["bias"] - norm["running_mean"] * scale_MH
                bias = shift_MH if bias is None else shift_MH + bias * scale_MH
                weight = weight * scale_MH.reshape(*scale_MH.shape, *(1 for _ in weight.shape[2:]))
            folded[f"{name}.weight"] = weight
            if bias is not None:
                folded[f"{name}.bias"] = bias
        return self.folded.flatten(folded)

    def unfold(self, weights_MQ: Tensor) -> Tensor:
        """``weights_MP`` in the original layout that compute the same: batch norms only shift."""
        if not self.norms:
            return weights_MQ
        folded = self.folded.tensors(weights_MQ)
        tensors: dict[str, Tensor] = {}
        for name, old in self._pairs:
            tensors[f"{old}.weight"] = folded[f"{name}.weight"]
            bias = folded.get(f"{name}.bias")
            if bias is None:
                continue
            if old in self.norms:
                tensors |= {f"{self.norms[old]}.{slot}": tensor for slot, tensor in _shifting(bias).items()}
                bias = torch.zeros_like(bias)
            tensors[f"{old}.bias"] = bias
        known = {spec.name for spec in self.architecture.layout}
        return self.architecture.flatten({name: tensor for name, tensor in tensors.items() if name in known})


NORM_SLOTS = ("weight", "bias", "running_mean", "running_var")


def _shifting(shift_MH: Tensor) -> Mapping[str, Tensor]:
    """The tensors of a batch norm that adds ``shift_MH``."""
    ones, zeros = torch.ones_like(shift_MH), torch.zeros_like(shift_MH)
    return dict(zip(NORM_SLOTS, (ones, shift_MH, zeros, ones - EPSILON), strict=True))
