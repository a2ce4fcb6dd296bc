"""Weights as neurons: one row, or one padded token, for each neuron.

Shape letters: M members, P parameters, H neurons of a layer, D inputs of a layer (with the bias, where there is
one, as the last), T neurons of all layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.images import Images
from zoo.population import Population


def neuron_rows(architecture: Architecture, weights_MP: Tensor) -> list[Tensor]:
    """Each linear layer's neurons, first layer to last.

    Returns:
        For each layer ``[M, H, D]``: incoming weights, and the bias as the last entry where the layer has one.

    Raises:
        ValueError: The architecture has parameters outside linear layers.
    """
    tensors = architecture.tensors(weights_MP)
    _require_linear(architecture)
    rows = []
    for weight, bias in architecture.linear_layers:
        parts = [tensors[weight.name]] if bias is None else [tensors[weight.name], tensors[bias.name].unsqueeze(2)]
        rows.append(torch.cat(parts, dim=2))
    return rows


def from_neuron_rows(architecture: Architecture, rows: Sequence[Tensor]) -> Tensor:
    """The inverse of :func:`neuron_rows`: ``weights_MP``."""
    _require_linear(architecture)
    tensors = {}
    for (weight, bias), rows_MHD in zip(architecture.linear_layers, rows, strict=True):
        inputs = weight.shape[1]
        tensors[weight.name] = rows_MHD[..., :inputs]
        if bias is not None:
            tensors[bias.name] = rows_MHD[..., inputs]
    return architecture.flatten(tensors)


def _require_linear(architecture: Architecture) -> None:
    linear = {spec.name for layer in architecture.linear_layers for spec in layer if spec is not None}
    others = [spec.name for spec in architecture.layout if spec.name not in linear]
    if others:
        raise ValueError(f"neuron views know linear layers only; this architecture has also {', '.join(others)}")


class Flat:
    """The flat parameter vector itself, in float64.

    Attributes:
        architecture: Fixes the layout.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    @classmethod
    def fit(cls, training: Population, images: Images) -> Flat:  # noqa: ARG003
        """Nothing is fitted."""
        return cls(training.architecture)

    @classmethod
    def from_state(cls, architecture: Architecture, state: dict[str, Tensor]) -> Flat:  # noqa: ARG003
        """The inverse of :meth:`state`."""
        return cls(architecture)

    def state(self) -> dict[str, Tensor]:
        """No tensors."""
        return {}

    def forward(self, weights_MP: Tensor) -> Tensor:
        """``weights_MP`` in float64."""
        return weights_MP.double()

    def inverse(self, coordinates: Tensor) -> Tensor:
        """The inverse of :meth:`forward`, in float64."""
        return coordinates.double()


class NeuronTokens(Flat):
    """One token for each neuron: its incoming weights and bias, padded with zeros to the widest layer.

    Attributes:
        mask_TD: Which entries of a token are weights.
        layer_T: The layer of each token.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        _require_linear(architecture)
        shapes = [weight.shape for weight, _ in architecture.linear_layers]
        widths = [weight.shape[1] + (bias is not None) for weight, bias in architecture.linear_layers]
        self.layer_T = torch.repeat_interleave(torch.tensor([shape[0] for shape in shapes]))
        self.mask_TD = torch.arange(max(widths)) < torch.tensor(widths)[self.layer_T].unsqueeze(1)

    def forward(self, weights_MP: Tensor) -> Tensor:
        """``tokens_MTD`` in float64, neurons in the order of the layers."""
        width = self.mask_TD.shape[1]
        rows = neuron_rows(self.architecture, weights_MP.double())
        return torch.cat([torch.nn.functional.pad(r, (0, width - r.shape[2])) for r in rows], dim=1)

    def inverse(self, coordinates: Tensor) -> Tensor:
        """``weights_MP`` in float64; the padding is ignored."""
        if coordinates.shape[1:] != self.mask_TD.shape:
            raise ValueError(
                f"tokens have shape {tuple(coordinates.shape)}; expected [members, *{tuple(self.mask_TD.shape)}]"
            )
        rows, start = [], 0
        for weight, bias in self.architecture.linear_layers:
            neurons, width = weight.shape[0], weight.shape[1] + (bias is not None)
            rows.append(coordinates[:, start : start + neurons, :width].double())
            start += neurons
        return from_neuron_rows(self.architecture, rows)
