"""An affine view in the metric of the function: a layer's rows, times a root of its inputs' second moment.

A neuron's row w (incoming weights and bias) acts through w·x, and E[(w·x - w'·x)²] = |(w - w')·F|² where F is a
root of E[x xᵀ]. What the logits make of a neuron is measured once for each layer, not for each network as in
``zoo.views.metric``: so the inverse is affine and a decoder can take it in. It computes in float32 and returns weights
to its precision, not bit for bit as the views of ``zoo.views`` do.

Shape letters: M members, P parameters, D inputs of a layer with the bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.moments import input_moments
from zoo.views.tokens import from_neuron_rows, neuron_rows

# Directions that hardly occur in the inputs keep this share of the mean squared input: they stay invertible in
# float32, and training does not fit their noise.
MOMENT_FLOOR = 1e-3


class InputMetric:
    """Neuron rows of all layers in the metric of their inputs, in the layout of the weights.

    Attributes:
        architecture: Fixes the layout.
        roots: For each linear layer the symmetric root ``[D, D]``, in the logits' units, float32.
    """

    def __init__(self, architecture: Architecture, roots: Sequence[Tensor]) -> None:
        self.architecture = architecture
        self.roots = tuple(roots)
        self._inverses = tuple(torch.linalg.inv(root.double()).float() for root in roots)

    @staticmethod
    def check(architecture: Architecture) -> None:
        """Raises ``ValueError`` for networks that it does not know."""
        architecture.require_mlp("the view 'input_metric'", "use --set view=standardized")

    @classmethod
    def fit(cls, training: Population, images: Examples) -> InputMetric:
        """Measures second moments on training images, and the layers' weight in the logits on training members.

        Raises:
            ValueError: The networks are not multilayer perceptrons.
        """
        cls.check(training.architecture)
        roots: list[Tensor] = []
        moments = input_moments(training, images)
        tensors = training.architecture.tensors(training.weights_MP.double())
        dependence = 1.0
        layers = list(zip(training.architecture.linear_layers, moments, strict=True))
        for (weight, _), moment_DD in reversed(layers):
            values, vectors = torch.linalg.eigh(moment_DD)
            scale_D = (values.clamp_min(0) + MOMENT_FLOOR * moment_DD.diagonal().mean()).sqrt()
            roots.insert(0, (dependence * (vectors * scale_D) @ vectors.T).float())
            outgoing_MD = tensors[weight.name].square().sum(1)
            dependence *= float(outgoing_MD.mean(1).median().sqrt())
        return cls(training.architecture, roots)

    @classmethod
    def from_state(cls, architecture: Architecture, state: dict[str, Tensor]) -> InputMetric:
        """The inverse of :meth:`state`."""
        return cls(architecture, [state[f"{index}.root"] for index in range(len(architecture.linear_layers))])

    def state(self) -> dict[str, Tensor]:
        """Each layer's root, float32."""
        return {f"{index}.root": root for index, root in enumerate(self.roots)}

    def forward(self, weights_MP: Tensor) -> Tensor:
        """Coordinates ``[M, P]`` in the layout of the weights, float32."""
        return self._multiply(weights_MP, self.roots)

    def inverse(self, coordinates: Tensor) -> Tensor:
        """The inverse of :meth:`forward`: ``weights_MP``, float32."""
        return self._multiply(coordinates, self._inverses)

    def _multiply(self, vectors_MP: Tensor, factors: Sequence[Tensor]) -> Tensor:
        rows = neuron_rows(self.architecture, vectors_MP.float())
        return from_neuron_rows(self.architecture, [r @ f for r, f in zip(rows, factors, strict=True)])
