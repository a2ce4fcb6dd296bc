"""Weights as neurons: one row, or one padded token, for each neuron.

Shape letters: M members, P parameters, H neurons of a layer, D entries of a neuron's row, T neurons of all layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.architecture import Architecture, BatchNorm, Conv, Linear, Placed, Residual, TensorSpec
from zoo.data.examples import Examples
from zoo.population import Population


def neuron_layers(architecture: Architecture) -> tuple[tuple[TensorSpec, ...], ...]:
    """For each layer with parameters its tensors; axis 0 of each is the layer's neurons (or output channels).

    A batch norm directly after a linear layer or a convolution belongs to it; any other is a layer of its own.
    """
    specs = {spec.name: spec for spec in architecture.layout}
    layers: list[tuple[TensorSpec, ...]] = []
    before: Placed | None = None
    for place in architecture.placed:
        if not isinstance(place.layer, Residual):
            own = tuple(specs[f"{place.name}.{slot.name}"] for slot in place.layer.slots(place.shape))
            if isinstance(place.layer, BatchNorm) and before is not None and _follows(before, place):
                layers[-1] += own
            elif own:
                layers.append(own)
        before = place
    return tuple(layers)


def _follows(before: Placed, place: Placed) -> bool:
    """Whether ``place`` reads the neurons of ``before``: weights, in the same sequence."""
    same_sequence = before.name.rpartition(".")[0] == place.name.rpartition(".")[0]
    return same_sequence and isinstance(before.layer, Linear | Conv)


def neuron_shapes(architecture: Architecture) -> tuple[tuple[int, int], ...]:
    """(neurons, entries of a neuron's row) of each layer with parameters."""
    return tuple((layer[0].shape[0], sum(_row_width(spec) for spec in layer)) for layer in neuron_layers(architecture))


def _row_width(spec: TensorSpec) -> int:
    return spec.size // spec.shape[0]


def neuron_rows(architecture: Architecture, weights_MP: Tensor) -> list[Tensor]:
    """The neurons (or output channels) of each layer with parameters, first layer to last.

    Returns:
        For each layer ``[M, H, D]``: incoming weights, then the bias where the layer has one, then the neuron's batch
        norm where one follows.
    """
    tensors = architecture.tensors(weights_MP)
    return [
        torch.cat([tensors[spec.name].unflatten(1, (-1, 1)).flatten(2) for spec in layer], dim=2)
        for layer in neuron_layers(architecture)
    ]


def neuron_indices(architecture: Architecture) -> list[Tensor]:
    """For each layer with parameters ``[H, D]`` int64: where the entries of its rows lie in the flat vector."""
    return [rows[0] for rows in neuron_rows(architecture, torch.arange(architecture.parameters)[None])]


def from_neuron_rows(architecture: Architecture, rows: Sequence[Tensor]) -> Tensor:
    """The inverse of :func:`neuron_rows`: ``weights_MP``."""
    tensors: dict[str, Tensor] = {}
    for layer, rows_MHD in zip(neuron_layers(architecture), rows, strict=True):
        parts = rows_MHD.split([_row_width(spec) for spec in layer], dim=2)
        tensors |= {spec.name: part.reshape(-1, *spec.shape) for spec, part in zip(layer, parts, strict=True)}
    return architecture.flatten(tensors)


class Flat:
    """The flat parameter vector itself, in float64.

    Attributes:
        architecture: Fixes the layout.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    @classmethod
    def fit(cls, training: Population, images: Examples) -> Flat:  # noqa: ARG003
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
    """One token for each neuron or output channel: its row of :func:`neuron_rows`, padded with zeros to the widest.

    Attributes:
        mask_TD: Which entries of a token are weights.
        layer_T: The layer of each token.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.shapes = neuron_shapes(architecture)
        neurons, widths = (torch.tensor(column) for column in zip(*self.shapes, strict=True))
        self.layer_T = torch.repeat_interleave(neurons)
        self.mask_TD = torch.arange(int(widths.max())) < widths[self.layer_T].unsqueeze(1)

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
        layers = coordinates.double().split([neurons for neurons, _ in self.shapes], dim=1)
        rows = [layer[..., :width] for layer, (_, width) in zip(layers, self.shapes, strict=True)]
        return from_neuron_rows(self.architecture, rows)
