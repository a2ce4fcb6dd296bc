"""Affine views in the metric of the function: a layer's rows, times a root of its inputs' second moment.

What the logits make of a layer is measured once for all networks: so the inverse is affine and a decoder can take it
in. It computes in float32 and returns weights to its precision, not bit for bit as the views of ``zoo.views`` do.

Shape letters: M members, P parameters, H outputs of a layer, D inputs of an output with the bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zoo.architecture import Architecture, BatchNorm, Conv, Linear
from zoo.architecture.normalization import EPSILON
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.metric import Root
from zoo.views.moments import input_moments
from zoo.views.sensitivity import pooled_dependence
from zoo.views.weight_layers import weight_layers

# Directions that hardly occur in the inputs keep this share of the mean squared input: they stay invertible in
# float32, and training does not fit their noise.
MOMENT_FLOOR = 1e-3


class InputMetric:
    """Rows of all weight layers in the metric of their inputs, in the layout of the weights.

    The tensors of batch norms are multiplied by one number each.

    Attributes:
        architecture: Fixes the layout.
        roots: For each weight layer the root ``[D, D]``, in the logits' units, float32.
        scales: For each other tensor of the layout its factor.
    """

    # The symmetric root commutes with permutations of hidden units.
    symmetric = True

    def __init__(self, architecture: Architecture, roots: Sequence[Tensor], scales: Mapping[str, float]) -> None:
        self.architecture = architecture
        self.roots = tuple(roots)
        self.scales = dict(scales)
        self._layers = weight_layers(architecture)
        self._inverses = tuple(torch.linalg.inv(root.double()).float() for root in roots)

    @classmethod
    def fit(cls, training: Population, images: Examples) -> InputMetric:
        """Measures second moments on training images, and the layers' weight in the logits on training members."""
        architecture = training.architecture
        dependence = pooled_dependence(training, images)
        roots = [
            dependence[layer.name] * Root.of(moment_DD, symmetric=cls.symmetric, floor=MOMENT_FLOOR).matrix
            for layer, moment_DD in zip(weight_layers(architecture), input_moments(training, images), strict=True)
        ]
        return cls(architecture, [root.float() for root in roots], norm_scales(training, dependence))

    @classmethod
    def from_state(cls, architecture: Architecture, state: dict[str, Tensor]) -> InputMetric:
        """The inverse of :meth:`state`."""
        roots = [state[f"{index}.root"] for index in range(len(weight_layers(architecture)))]
        scales = {name.removeprefix("scale."): float(t) for name, t in state.items() if name.startswith("scale.")}
        return cls(architecture, roots, scales)

    def state(self) -> dict[str, Tensor]:
        """Each weight layer's root and each other tensor's factor, float32."""
        roots = {f"{index}.root": root for index, root in enumerate(self.roots)}
        return roots | {f"scale.{name}": torch.tensor(scale) for name, scale in self.scales.items()}

    def forward(self, weights_MP: Tensor) -> Tensor:
        """Coordinates ``[M, P]`` in the layout of the weights, float32."""
        return self._multiply(weights_MP, self.roots, self.scales)

    def inverse(self, coordinates: Tensor) -> Tensor:
        """The inverse of :meth:`forward`: ``weights_MP``, float32."""
        return self._multiply(coordinates, self._inverses, {name: 1 / scale for name, scale in self.scales.items()})

    def _multiply(self, vectors_MP: Tensor, factors: Sequence[Tensor], scales: Mapping[str, float]) -> Tensor:
        tensors = self.architecture.tensors(vectors_MP.float())
        multiplied = {name: tensors[name] * scale for name, scale in scales.items()}
        for layer, factor_DD in zip(self._layers, factors, strict=True):
            multiplied |= layer.tensors(layer.rows(tensors) @ factor_DD)
        return self.architecture.flatten(multiplied)


class InputBasis(InputMetric):
    """The same along the principal directions of a layer's inputs: the first coordinates of a row do most."""

    symmetric = False


def norm_scales(training: Population, dependence: Mapping[str, float]) -> dict[str, float]:
    """What an error of a batch norm's tensors does to the logits, per unit and to first order, by the tensor's name.

    The logits' dependence on a normalized channel is that on the channel, times its deviation over the norm's weight.
    After anything but a weight layer, which has a known dependence, tensors are divided by their standard deviations.
    """
    tensors = training.architecture.tensors(training.weights_MP[torch.isfinite(training.weights_MP).all(dim=1)])
    scales: dict[str, float] = {}
    before = None
    for place in training.architecture.placed:
        if isinstance(place.layer, BatchNorm):
            own = {slot.name: tensors[f"{place.name}.{slot.name}"] for slot in place.layer.slots(place.shape)}
            if before is not None:
                deviation = float((own["running_var"].clamp_min(0) + EPSILON).sqrt().median())
                by_output = before * deviation / max(float(own["weight"].abs().median()), 1e-3)
                found = {"weight": by_output, "bias": by_output, "running_mean": before}
                found["running_var"] = before / (2 * deviation)
            else:
                found = {name: 1 / max(float(tensor.std()), 1e-3) for name, tensor in own.items()}
            scales |= {f"{place.name}.{name}": scale for name, scale in found.items()}
        before = dependence[place.name] if isinstance(place.layer, Linear | Conv) else None
    return scales
