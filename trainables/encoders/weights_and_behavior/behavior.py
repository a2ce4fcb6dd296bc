"""What networks do on stored inputs, as features.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainables.encoders.weights_and_behavior.columns import MEMBERS_AT_ONCE, Columns
from trainables.encoders.weights_and_behavior.inputs import Inputs
from trainables.encoders.weights_and_behavior.responses import (
    agreement_columns,
    bounded,
    change_columns,
    hidden_columns,
    output_columns,
)
from zoo.architecture import Activate, Architecture, Layer, Residual
from zoo.evaluation import outputs
from zoo.population import Population

HIDDEN_EXAMPLES = 16
# What may differ between inputs that a network was trained on and others.
COMPARED = ("confidence mean", "entropy mean", "margin mean", "agreement", "wanted loss", "wanted probability")


@dataclass(frozen=True)
class Behavior:
    """Looks at networks on stored inputs.

    Attributes:
        inputs: These.
        activations: Networks are applied with each of these in place of their own; empty for their own alone.
    """

    inputs: Inputs
    activations: Sequence[str] = ()

    def columns(self, population: Population) -> Columns:
        """Features of networks of any layout; none where the inputs cannot be given their shape."""
        sets = self.inputs.adapted(population.architecture.input_shape)
        if sets is None:
            return {}
        if not self.activations:
            return self._columns(population, sets)
        found: Columns = {}
        for function in self.activations:
            columns = self._columns(with_activation(population, function), sets)
            found |= {f"as {function}, {name}": values_M for name, values_M in columns.items()}
        return found

    def _columns(self, population: Population, sets: dict[str, Tensor]) -> Columns:
        parts = []
        order = []
        for architecture, every in population.groups():
            for rows in every.split(MEMBERS_AT_ONCE):
                order.append(rows)
                parts.append(self._of_some(architecture, population.select(rows), sets))
        at = torch.argsort(torch.cat(order))
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: torch.cat([part[name] for part in parts])[at] for name in names}

    def _of_some(self, architecture: Architecture, population: Population, sets: dict[str, Tensor]) -> Columns:
        every_MNC = bounded(outputs(population, self.inputs.examples(torch.cat(list(sets.values())))))
        given = dict(zip(sets, every_MNC.split([len(x) for x in sets.values()], dim=1), strict=True))
        softmax = self.inputs.classes > 0
        found: Columns = {}
        for name, outputs_MNC in given.items():
            found |= output_columns(name, outputs_MNC, softmax=softmax)
        if softmax:
            found |= change_columns("noisy", given["seen"][:, : given["noisy"].shape[1]], given["noisy"])
        if architecture.classes == self.inputs.classes:
            for name, wanted_N in self.inputs.wanted.items():
                found |= agreement_columns(name, given[name], wanted_N)
        for what in COMPARED:
            if f"seen {what}" in found:
                found[f"seen - unseen {what}"] = found[f"seen {what}"] - found[f"unseen {what}"]
        some = self.inputs.examples(sets["seen"][:HIDDEN_EXAMPLES]).inputs
        return found | hidden_columns(architecture, population.weights_MP, some)


def with_activation(population: Population, function: str) -> Population:
    """The same weights in networks with another activation, each else as it is."""
    changed = [Architecture(each.input_shape, _with(each.layers, function)) for each in population.architectures]
    distinct = tuple(dict.fromkeys(changed))
    number_A = torch.tensor([distinct.index(each) for each in changed])
    return replace(population, architectures=distinct, architecture_M=number_A[population.architecture_M])


def _with(layers: tuple[Layer, ...], function: str) -> tuple[Layer, ...]:
    def changed(layer: Layer) -> Layer:
        if isinstance(layer, Activate):
            return Activate(function=function)
        if isinstance(layer, Residual):
            return replace(layer, body=_with(layer.body, function), shortcut=_with(layer.shortcut, function))
        return layer

    return tuple(changed(layer) for layer in layers)
