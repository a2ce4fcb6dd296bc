"""Function-metric coordinates: weights measured by what they do to the logits.

A neuron's row w (incoming weights and bias) acts through w·x. With the second moment M = E[x xᵀ] of its inputs
(1 appended for the bias), E[(w·x - w'·x)²] = |(w - w')·F|² for any F with F·Fᵀ = M; multiplied by the rms s of
the logits' dependence on the neuron, that is the squared error of the logits, to first order and with the
activation's slope taken as 1. Coordinates are s·w·F, so that a squared distance between coordinates is about a
squared distance between logits.

Shape letters: M members, P parameters, L layers, H neurons of a layer, D inputs of a layer with the bias, N
examples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zoo.architecture import Architecture, TensorSpec
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.moments import input_moments
from zoo.views.tokens import from_neuron_rows, neuron_rows

# A unit that no logit depends on keeps this share of its layer's mean dependence, so that its row is not lost.
DEPENDENCE_FLOOR = 1e-6
# Directions that hardly occur in the inputs keep this share of the mean squared input.
MOMENT_FLOOR = 1e-4
# Rounding noise of the rotations, relative to a row's largest weight, is four digits below this.
ZERO_THRESHOLD = 1e-12


def class_rotation(classes: int) -> Tensor:
    """An orthonormal ``[C, C]`` matrix whose first row is the mean over classes (Helmert, 1876)."""
    rotation_CC = torch.zeros(classes, classes, dtype=torch.float64)
    rotation_CC[0] = 1 / math.sqrt(classes)
    for k in range(1, classes):
        rotation_CC[k, :k] = 1 / math.sqrt(k * (k + 1))
        rotation_CC[k, k] = -k / math.sqrt(k * (k + 1))
    return rotation_CC


def dependence(square_MH: Tensor, rows_MHD: Tensor, units: int) -> Tensor:
    """Squared dependence of the logits on the units that a layer reads: s_j² = Σ_k s_k²·W[k, j]².

    Args:
        square_MH: Squared dependence on the layer's own neurons.
        rows_MHD: The layer's rows.
        units: How many of the D inputs are units; a bias may follow.

    Returns:
        ``[M, units]``, floored so that a unit nothing depends on keeps a small share.
    """
    square_MD = torch.einsum("mh,mhd->md", square_MH, rows_MHD[..., :units].square())
    return square_MD + DEPENDENCE_FLOOR * square_MD.mean(dim=1, keepdim=True) + torch.finfo(torch.float64).tiny


@dataclass(frozen=True)
class Root:
    """A factor F of a second moment, F·Fᵀ = M: ``basis · diag(scale)``, times ``basisᵀ`` where symmetric.

    Attributes:
        basis_DD: Orthonormal eigenvectors as columns, largest first.
        scale_D: Square roots of the eigenvalues, floored.
        symmetric: The symmetric root commutes with permutations of units, which hidden layers need. The other
            loses less to rounding and leaves the coordinates in order of importance.
    """

    basis_DD: Tensor
    scale_D: Tensor
    symmetric: bool

    @cached_property
    def live(self) -> Tensor:
        """``[D]``, which inputs share coordinates with others; the rest never occur and lose nothing."""
        return (self.basis_DD != 0).sum(dim=1) > 1

    @classmethod
    def of(cls, moment_DD: Tensor, *, symmetric: bool, floor: float = MOMENT_FLOOR) -> Root:
        """The root of a second moment; inputs that never occur become coordinates of their own, the last ones.

        ``floor`` is the share of the mean squared input that directions keep which hardly occur.
        """
        diagonal_D = moment_DD.diagonal()
        live = torch.nonzero(diagonal_D > 0).flatten()
        dead = torch.nonzero(diagonal_D <= 0).flatten()
        values, vectors = torch.linalg.eigh(moment_DD[live][:, live])
        least = floor * diagonal_D[live].mean() if len(live) else torch.ones(1, dtype=torch.float64)
        basis_DD = torch.zeros_like(moment_DD)
        basis_DD[live.unsqueeze(1), torch.arange(len(live))] = vectors.flip(1)
        basis_DD[dead, len(live) + torch.arange(len(dead))] = 1
        eigenvalues_D = torch.cat([values.flip(0).clamp_min(0), torch.zeros(len(dead), dtype=torch.float64)])
        return cls(basis_DD, (eigenvalues_D + least).sqrt(), symmetric)

    @property
    def matrix(self) -> Tensor:
        """F itself, ``[D, D]``."""
        return self.apply(torch.eye(len(self.scale_D), dtype=torch.float64))

    def apply(self, rows_MHD: Tensor) -> Tensor:
        """``rows · F``."""
        scaled = rows_MHD @ self.basis_DD * self.scale_D
        return scaled @ self.basis_DD.T if self.symmetric else scaled

    def undo(self, coordinates_MHD: Tensor) -> Tensor:
        """The inverse of :meth:`apply`."""
        rotated = coordinates_MHD @ self.basis_DD if self.symmetric else coordinates_MHD
        return rotated / self.scale_D @ self.basis_DD.T


class FunctionMetric:
    """Weights in function-metric coordinates: neuron rows of all layers, flattened one after the other.

    The last layer's rows are rotated over classes, so that its first row is the class mean, which softmax
    ignores; s is 1 for it. Earlier layers' s follows from the later layers, so the inverse starts at the last.
    Every float32 weight comes back bit for bit if it is 0 or at least 1e-7 of its row's largest; hidden units'
    weights on inputs that never occur always do.

    Attributes:
        architecture: Fixes the layout.
        roots: For each linear layer, the factor of its inputs' second moment.
    """

    def __init__(self, architecture: Architecture, roots: Sequence[Root]) -> None:
        self.architecture = architecture
        self.roots = tuple(roots)
        self._rotation_CC = class_rotation(architecture.classes)

    @classmethod
    def fit(cls, training: Population, images: Examples) -> FunctionMetric:
        """Measures the second moments on training images and training members.

        Raises:
            ValueError: The networks are not multilayer perceptrons.
        """
        training.architecture.require_mlp("the view 'metric'", "use 'flat', 'tokens' or 'standardized'")
        moments = input_moments(training, images)
        roots = [Root.of(moment_DD, symmetric=index > 0) for index, moment_DD in enumerate(moments)]
        return cls(training.architecture, roots)

    @classmethod
    def from_state(cls, architecture: Architecture, state: dict[str, Tensor]) -> FunctionMetric:
        """The inverse of :meth:`state`."""
        layers = range(len(architecture.linear_layers))
        tensors = [(state[f"{index}.basis"].double(), state[f"{index}.scale"].double()) for index in layers]
        return cls(architecture, [Root(*pair, symmetric=index > 0) for index, pair in enumerate(tensors)])

    def state(self) -> dict[str, Tensor]:
        """For each layer its root's basis and scale, float64."""
        return {
            f"{index}.{key}": value
            for index, root in enumerate(self.roots)
            for key, value in (("basis", root.basis_DD), ("scale", root.scale_D))
        }

    def forward(self, weights_MP: Tensor) -> Tensor:
        """Coordinates ``[M, P]``, float64."""
        rows = neuron_rows(self.architecture, weights_MP.double())
        rows[-1] = self._rotation_CC @ rows[-1]
        square_MH = torch.ones_like(rows[-1][..., 0])
        coordinates: list[Tensor] = []
        for index in reversed(range(len(rows))):
            scaled_MHD = self.roots[index].apply(rows[index]) * square_MH.sqrt().unsqueeze(2)
            coordinates.insert(0, scaled_MHD.flatten(1))
            square_MH = self._dependence_before(index, square_MH, rows[index])
        return torch.cat(coordinates, dim=1)

    def inverse(self, coordinates: Tensor) -> Tensor:
        """The inverse of :meth:`forward`: ``weights_MP``, float64."""
        shapes = [(weight.shape[0], len(root.scale_D)) for (weight, _), root in self._layers()]
        parts = coordinates.double().split([math.prod(shape) for shape in shapes], dim=1)
        square_MH = torch.ones(len(coordinates), self.architecture.classes, dtype=torch.float64)
        rows: list[Tensor] = []
        for index in reversed(range(len(shapes))):
            root = self.roots[index]
            rows_MHD = root.undo(parts[index].unflatten(1, shapes[index]) / square_MH.sqrt().unsqueeze(2))
            square_MH = self._dependence_before(index, square_MH, rows_MHD)
            if index == len(shapes) - 1:
                rows_MHD = self._rotation_CC.T @ rows_MHD
            rows.insert(0, without_noise(rows_MHD, root.live))
        return from_neuron_rows(self.architecture, rows)

    def _layers(self) -> Iterator[tuple[tuple[TensorSpec, TensorSpec | None], Root]]:
        return zip(self.architecture.linear_layers, self.roots, strict=True)

    def _dependence_before(self, index: int, square_MH: Tensor, rows_MHD: Tensor) -> Tensor:
        """Squared dependence on the units that layer ``index`` reads; the class mean does not count."""
        first = 1 if index == len(self.roots) - 1 else 0
        units = self.architecture.linear_layers[index][0].shape[1]
        return dependence(square_MH[:, first:], rows_MHD[:, first:], units)


def without_noise(rows_MHD: Tensor, live_D: Tensor) -> Tensor:
    """Sets what is within rounding noise of zero, beside the row's largest weight, to zero."""
    threshold_MH1 = ZERO_THRESHOLD * rows_MHD.detach().abs().amax(dim=2, keepdim=True)
    return torch.where((rows_MHD.detach().abs() < threshold_MH1) & live_D, torch.zeros_like(rows_MHD), rows_MHD)
