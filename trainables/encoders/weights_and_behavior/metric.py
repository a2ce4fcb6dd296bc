"""The function metric of networks of any width: neurons by what they give on the data, whatever their order.

A row of weights w with the inputs' covariance C acts through w·√C: its length is the deviation of what the neuron
gives, singular values of all rows together are those of the layer's outputs. Hidden units have one pooled moment
(``zoo.views.moments``), for any number of them. The last layer is taken beside the mean over classes, which softmax
does not see; products of all layers do not depend on the scales that homogeneous activations leave free.

Shape letters: M members, H outputs of a layer, D inputs of an output, B entries of a unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.encoders.weights_and_behavior.columns import (
    Columns,
    by_depth,
    correlations,
    follows,
    in_parts,
    spectrum,
    summary,
)
from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.folding import Folding
from zoo.views.metric import Root, class_rotation
from zoo.views.moments import UnitMoment, data_moment, unit_moments
from zoo.views.weight_layers import WeightLayer

LEAST_SIZE = 1e-9
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class ReferenceMetric:
    """Second moments of hidden units, pooled over training networks, by place and entries of a unit.

    Attributes:
        moments: "1 9" is the second weight layer where it reads nine entries of each unit.
    """

    moments: Mapping[str, UnitMoment]

    @classmethod
    def fit(cls, training: Sequence[Population], examples: Examples) -> ReferenceMetric:
        """From training networks on training examples; where places coincide, the first layout's count."""
        found: dict[str, UnitMoment] = {}
        for population in training:
            folding = foldable(population.architecture)
            if folding is None:
                continue
            folded = _folded(population, folding)
            layers = by_depth(folded.architecture)
            for (depth, layer), moment in zip(layers.items(), unit_moments(folded, examples), strict=True):
                if moment is not None:
                    found.setdefault(f"{depth} {layer.entries}", moment)
        return cls(found)

    def columns(self, architecture: Architecture, weights_MP: Tensor, examples: Examples | None) -> Columns:
        """Features of networks of any layout; none where a batch norm follows no weights.

        Args:
            architecture: Of the networks.
            weights_MP: The networks.
            examples: Give the moment of what the first layers read; ``None`` where there are none of this shape.
        """
        folding = foldable(architecture)
        if folding is None:
            return {}
        measures = {
            depth: self._measure(folding.folded, depth, layer, examples)
            for depth, layer in by_depth(folding.folded).items()
        }

        def of(part_MP: Tensor) -> Columns:
            return _columns(folding.folded, measures, folding.folded.tensors(folding.fold(part_MP.double())))

        return in_parts(weights_MP, of)

    def _measure(
        self, architecture: Architecture, depth: str, layer: WeightLayer, examples: Examples | None
    ) -> Measure | None:
        """How rows of a layer are measured; ``None`` where no moment of its inputs is known."""
        pooled = self.moments.get(f"{depth} {layer.entries}")
        moment = None if pooled is None else pooled.of(layer)
        if moment is None and layer.named and examples is not None:
            moment = data_moment(architecture, layer, examples)
            moment = moment if moment.ndim == 2 else None  # it reads what members make of the examples
        return None if moment is None else Measure.of(moment, bias=layer.bias is not None)

    def tensors(self) -> dict[str, Tensor]:
        """The moments as tensors; :meth:`from_tensors` is the inverse."""
        return {
            f"{name}/{part}": tensor for name, moment in self.moments.items() for part, tensor in vars(moment).items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> ReferenceMetric:
        """The inverse of :meth:`tensors`."""
        names = dict.fromkeys(name.partition("/")[0] for name in tensors)
        parts = ("own_BB", "other_BB", "mean_B")
        return cls({name: UnitMoment(*(tensors[f"{name}/{part}"] for part in parts)) for name in names})


def foldable(architecture: Architecture) -> Folding | None:
    """How batch norms are folded; ``None`` where one cannot be."""
    try:
        return Folding(architecture)
    except ValueError:
        return None


def _folded(population: Population, folding: Folding) -> Population:
    """Networks without their batch norms, each with its own activation."""
    architectures = tuple(Folding(architecture).folded for architecture in population.architectures)
    return Population(
        weights_MP=folding.fold(population.weights_MP),
        architectures=architectures,
        architecture_M=population.architecture_M,
    )


@dataclass(frozen=True)
class Measure:
    """What a second moment says of rows.

    Attributes:
        root_DD: The symmetric root of the covariance of the inputs, without the bias.
        mean_D: Means of the inputs, with the bias's 1; zeros where there is no bias, whose inputs are not centered.
    """

    root_DD: Tensor
    mean_D: Tensor

    @classmethod
    def of(cls, moment_DD: Tensor, *, bias: bool) -> Measure:
        """That of inputs with this second moment."""
        if not bias:
            return cls(Root.of(moment_DD, symmetric=True).matrix, torch.zeros(len(moment_DD), dtype=torch.float64))
        mean_D = moment_DD[-1]
        covariance_DD = (moment_DD - torch.outer(mean_D, mean_D))[:-1, :-1]
        return cls(Root.of(covariance_DD, symmetric=True).matrix, mean_D)

    def tokens(self, rows_MHD: Tensor) -> Tensor:
        """Rows by what they do, ``[M, H, D]`` without the bias."""
        return rows_MHD[..., : len(self.root_DD)] @ self.root_DD


def _columns(architecture: Architecture, measures: Mapping[str, Measure | None], tensors: Tensors) -> Columns:
    found: Columns = {}
    product: Tensor | None = None
    before: WeightLayer | None = None
    for depth, layer in by_depth(architecture).items():
        rows_MHD = layer.rows(tensors)
        if depth == "last" and layer.outputs > 1:
            rows_MHD = class_rotation(layer.outputs)[1:] @ rows_MHD
        measure = measures[depth]
        tokens = None if measure is None else measure.tokens(rows_MHD)
        if measure is not None and tokens is not None:
            found |= _token_columns(f"{depth} metric", tokens, rows_MHD @ measure.mean_D)
        if before is None:
            product = tokens if layer.named else None
        elif product is not None and follows(architecture, before, layer):
            product = _summed(layer, rows_MHD) @ product
            found |= spectrum(f"{depth} path", product)
        else:
            product = None
        before = layer
    return found


def _token_columns(name: str, tokens_MHD: Tensor, mean_MH: Tensor) -> Columns:
    """Sizes, means, spectrum and likeness of what neurons give."""
    size_MH = tokens_MHD.norm(dim=2) + LEAST_SIZE
    return (
        summary(f"{name} size", size_MH.log())
        | summary(f"{name} mean", mean_MH / size_MH)
        | spectrum(name, tokens_MHD)
        | correlations(name, tokens_MHD)
    )


def _summed(layer: WeightLayer, rows_MHD: Tensor) -> Tensor:
    """Rows without the bias, kernels summed up: ``[M, H, units]``."""
    return rows_MHD[..., : layer.units * layer.entries].unflatten(2, (layer.units, layer.entries)).sum(3)
