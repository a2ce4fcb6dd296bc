"""Measures populations for the function-metric codec; what does not depend on the step is done once for many fits.

Shape letters: M members, N examples, D inputs of an output with the bias, B entries of a unit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trainables.codecs.function_metric.networks import Networks
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.metric import Root
from zoo.views.moments import MOMENT_EXAMPLES, input_moments
from zoo.views.weight_layers import WeightLayer, weight_layers

# Numbers that a batch of members reads (256 MB), and its largest size.
BATCH_ENTRIES = 2**26
BATCH_MEMBERS = 64
# Fits share a few times as many numbers as networks have weights; where those are more than this (64 MB), nothing.
SHARED_WEIGHTS = 2**24


@dataclass(frozen=True)
class LayerMetric:
    """How the rows of a layer are measured, or what they have for each unit where inputs have no names.

    Attributes:
        layer: The layer.
        moment_DD: Second moment of its inputs, or ``[B, B]`` of each unit's, of mean diagonal 1.
        root: A factor of it.
    """

    layer: WeightLayer
    moment_DD: Tensor
    root: Root

    @classmethod
    def of(cls, layer: WeightLayer, moment_DD: Tensor) -> LayerMetric:
        """From the second moment of all of a layer's inputs."""
        if not layer.named:
            moment_DD = moment_DD[: layer.entries, : layer.entries]
            mean = moment_DD.diagonal().mean()
            moment_DD = moment_DD / mean if mean > 0 else torch.eye(layer.entries, dtype=torch.float64)
        return cls(layer, moment_DD, Root.of(moment_DD, symmetric=False))

    @property
    def whitening(self) -> Tensor:
        """What inputs, as rows, are multiplied by, so that their mean square is 1 in most directions and on average."""
        identity_DD = torch.eye(len(self.moment_DD), dtype=torch.float64)
        inverse_DD = self.root.undo(identity_DD)
        square = (inverse_DD @ self.moment_DD @ inverse_DD.T).diagonal().mean()
        return (inverse_DD.T / square.sqrt()).float()


def measured(
    population: Population, x: Tensor, whitening: Sequence[Tensor], *, softmax: bool
) -> Iterator[tuple[Tensor, Networks]]:
    """Yields a folded population in batches of one architecture: (rows, networks)."""
    largest = max(
        layer.positions * (layer.outputs if layer.named else 2 * layer.width)
        for layer in weight_layers(population.architecture)
    )
    size = min(BATCH_MEMBERS, max(1, BATCH_ENTRIES // (len(x) * largest)))
    for architecture, group in population.groups():
        for rows_M in group.split(size):
            yield rows_M, Networks.measure(architecture, population.weights_MP[rows_M], x, whitening, softmax=softmax)


@dataclass(frozen=True)
class MeasuredTraining:
    """What a fit needs to know of its training members, whatever the step.

    Attributes:
        metrics: How each layer is measured.
        batches: The members, as they were measured.
    """

    metrics: list[LayerMetric]
    batches: list[Networks]

    @classmethod
    def of(
        cls, training: Population, examples: Examples, images: int, shared: MutableMapping[Any, Any]
    ) -> MeasuredTraining:
        """Measures training members, or finds that another fit has done so.

        Args:
            training: Training members without batch norms.
            examples: Training examples.
            images: On how many of them networks are measured.
            shared: Where fits with other configurations find it, for each layout that of the last.
        """
        softmax, x = not examples.targets.is_floating_point(), examples.first(images).inputs
        read = examples.first(max(MOMENT_EXAMPLES, images))
        members = training.architectures, _digest(training.architecture_M), _digest(training.weights_MP)
        content = (*members, _digest(read.values), read.scale, images, softmax)
        slot = (__name__, training.architecture.layout)
        known, found = shared.get(slot, (None, None))
        if found is not None and known == content:
            return replace(found, batches=[networks.with_targets(x) for networks in found.batches])
        layers, moments = weight_layers(training.architecture), input_moments(training, examples)
        metrics = [LayerMetric.of(layer, moment_DD) for layer, moment_DD in zip(layers, moments, strict=True)]
        whitening = [metric.whitening for metric in metrics]
        found = cls(metrics, [networks for _, networks in measured(training, x, whitening, softmax=softmax)])
        if training.weights_MP.numel() <= SHARED_WEIGHTS:  # targets take up most and are the quickest to have again
            shared[slot] = content, replace(found, batches=[replace(own, targets={}) for own in found.batches])
        return found


def _digest(tensor: Tensor) -> tuple[tuple[int, ...], bytes]:
    return tuple(tensor.shape), hashlib.sha256(tensor.detach().contiguous().numpy().data).digest()
