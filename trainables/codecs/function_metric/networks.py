"""What the function-metric codec's encoder measures of each network: outputs, sensitivities, a gauge.

The gauge picks one of the networks that compute the same: the last layer without its class mean (where softmax
ignores it), and for homogeneous activations every hidden unit scaled so that the logits' rms dependence on it is 1.

Shape letters: M members, N examples, S positions, H outputs of a layer, D inputs of an output with the bias, C
logits, K directions of logits that count (C - 1 for softmax), U hidden units that move together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.architecture import Architecture, AveragePool, GlobalAveragePool, Rescale
from zoo.architecture.activations import ACTIVATIONS
from zoo.views.metric import class_rotation
from zoo.views.sensitivity import Sensitivity, sensitivities
from zoo.views.weight_layers import WeightLayer, at_positions, watched, weight_layers

# A network that answers the same to every example still has a scale: this share of its mean logits.
CONSTANT_SHARE = 0.1
# Floor of a unit's scale beside its layer's largest, so that dead units do not divide by zero.
SCALE_FLOOR = 1e-3
# Examples on which derivatives are taken.
SENSITIVITY_EXAMPLES = 128


@dataclass(frozen=True)
class Networks:
    """Some members of one architecture in their gauge, as the encoder sees them.

    Attributes:
        architecture: Theirs, without batch norms.
        weights_MP: The members in their gauge.
        directions_KC: Orthonormal directions of the logits that count.
        rows: For each weight layer ``[M, H, D]``; of the :func:`final_layer` ``[M, K, D]``, along the directions.
        targets: For each layer whose inputs have no names, its outputs ``[M, N * S, H]`` before any activation; of the
            final layer those along the directions.
        sensitivities: For each layer, in the same gauge, along the same directions, of whitened inputs.
        spread_M: Root mean square of the logits, along the directions, about their mean over examples.
        predicted_MN: The class with the largest logit.
    """

    architecture: Architecture
    weights_MP: Tensor
    directions_KC: Tensor
    rows: list[Tensor]
    targets: dict[str, Tensor]
    sensitivities: list[Sensitivity]
    spread_M: Tensor
    predicted_MN: Tensor

    @classmethod
    def measure(
        cls, architecture: Architecture, weights_MP: Tensor, x: Tensor, whitening: Sequence[Tensor], *, softmax: bool
    ) -> Networks:
        """Runs the members on examples.

        Args:
            architecture: Theirs, without batch norms.
            weights_MP: Members.
            x: Examples ``[N, *input_shape]``.
            whitening: For each layer what makes its inputs equally large in all directions, as
                :func:`zoo.views.sensitivity.sensitivities` takes it.
            softmax: Whether what all logits have in common counts for nothing.

        Raises:
            ValueError: Logits or their derivatives overflow.
        """
        layers = weight_layers(architecture)
        directions_KC = counted_directions(architecture.classes, softmax=softmax)
        measured = sensitivities(architecture, weights_MP.float(), x[:SENSITIVITY_EXAMPLES], directions_KC, whitening)
        tensors = architecture.tensors(weights_MP.float())
        rows = [layer.rows(tensors) for layer in layers]
        if has_scale_symmetry(architecture):
            scales = unit_scales(architecture, {layer.name: s for layer, s in zip(layers, measured, strict=True)})
            for index, layer in enumerate(layers):
                outputs_MH, inputs_MD = factors(layer, scales, len(weights_MP))
                rows[index] = rows[index] * outputs_MH.unsqueeze(2) / inputs_MD.unsqueeze(1)
                measured[index] = measured[index].scaled(outputs_MH, inputs_MD)
        named = [tensor for pair in zip(layers, rows, strict=True) for tensor in pair[0].tensors(pair[1]).items()]
        gauged_MP = architecture.flatten(dict(named))
        with torch.no_grad():
            _, outputs, logits_MNC = watched(architecture, gauged_MP, x)
        final = final_layer(architecture)
        for index, layer in enumerate(layers):
            if layer.name == final:
                rows[index] = directions_KC @ rows[index]
                gram_MKK = directions_KC @ measured[index].gram_MHH @ directions_KC.T
                measured[index] = replace(measured[index], gram_MHH=gram_MKK)
        logits_MNK = logits_MNC @ directions_KC.T
        mean_MK = logits_MNK.mean(dim=1)
        variance_M = (logits_MNK - mean_MK.unsqueeze(1)).square().sum(dim=2).mean(dim=1)
        spread_M = (variance_M + CONSTANT_SHARE**2 * mean_MK.square().sum(dim=1)).sqrt()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in (spread_M, *(s.square_MHD for s in measured))):
            raise ValueError("logits or their derivatives overflow; leave members out that diverged")
        targets, predicted_MN = wanted(architecture, outputs, directions_KC), logits_MNC.argmax(dim=2)
        return cls(architecture, gauged_MP, directions_KC, rows, targets, measured, spread_M, predicted_MN)

    @torch.no_grad()
    def with_targets(self, x: Tensor) -> Networks:
        """The same networks with the targets that they have on the examples on which they were measured."""
        _, outputs, _ = watched(self.architecture, self.weights_MP, x)
        return replace(self, targets=wanted(self.architecture, outputs, self.directions_KC))

    def select(self, rows_M: Tensor) -> Networks:
        """Some of the networks."""
        return replace(
            self,
            weights_MP=self.weights_MP[rows_M],
            rows=[rows[rows_M] for rows in self.rows],
            targets={name: target[rows_M] for name, target in self.targets.items()},
            sensitivities=[measured.select(rows_M) for measured in self.sensitivities],
            spread_M=self.spread_M[rows_M],
            predicted_MN=self.predicted_MN[rows_M],
        )


def wanted(architecture: Architecture, outputs: Mapping[str, Tensor], directions_KC: Tensor) -> dict[str, Tensor]:
    """The targets of networks from what their weight layers give."""
    final, targets = final_layer(architecture), {}
    for layer in weight_layers(architecture):
        if not layer.named:
            outputs_MNSH = at_positions(outputs[layer.name])
            along = outputs_MNSH @ directions_KC.T if layer.name == final else outputs_MNSH
            targets[layer.name] = along.flatten(1, 2)
    return targets


def counted_directions(classes: int, *, softmax: bool) -> Tensor:
    """Orthonormal directions of the logits, float32 ``[K, C]``: without their mean where softmax ignores it."""
    return class_rotation(classes)[1:].float() if softmax else torch.eye(classes)


def final_layer(architecture: Architecture) -> str | None:
    """The weight layer whose outputs are the logits, or are averaged over positions to give them; else ``None``."""
    last = weight_layers(architecture)[-1]
    after = architecture.placed[architecture.placed.index(last.place) + 1 :]
    averaged = all(isinstance(place.layer, AveragePool | GlobalAveragePool) for place in after)
    return last.name if averaged and "." not in last.name else None


def has_scale_symmetry(architecture: Architecture) -> bool:
    """Whether hidden units can be scaled: what comes between weight layers does the same to scaled values, scaled."""
    homogeneous = all(ACTIVATIONS[place.layer.function].homogeneous for place in architecture.activations)  # type: ignore[attr-defined]
    rescaled = any(isinstance(place.layer, Rescale) for place in architecture.placed[1:])
    return homogeneous and not rescaled


def unit_scales(architecture: Architecture, measured: Mapping[str, Sensitivity]) -> dict[tuple[str, int], Tensor]:
    """For each axis of a tensor that moves with hidden units, the factor on its entries: ``[M, entries]``.

    All layers that give the units (a sum's, say) are scaled alike; where no logit depends on any unit, none is.
    """
    found: dict[tuple[str, int], Tensor] = {}
    for axes in architecture.symmetry.values():
        square_MU: Tensor | float = 0.0
        for axis in axes:
            layer, _, slot = axis.tensor.rpartition(".")
            if axis.axis == 0 and slot == "weight":
                dependence_MH = measured[layer].gram_MHH.diagonal(dim1=1, dim2=2)
                square_MU = square_MU + dependence_MH.unflatten(1, (-1, axis.block)).sum(dim=2)
        if isinstance(square_MU, float):
            continue
        scale_MU = square_MU.sqrt()
        largest_M1 = scale_MU.max(dim=1, keepdim=True).values
        scale_MU = torch.where(largest_M1 > 0, scale_MU.clamp_min(SCALE_FLOOR * largest_M1), 1.0)
        for axis in axes:
            found[axis.tensor, axis.axis] = scale_MU.repeat_interleave(axis.block, dim=1)
    return found


def factors(layer: WeightLayer, scales: Mapping[tuple[str, int], Tensor], members: int) -> tuple[Tensor, Tensor]:
    """What a layer's outputs ``[M, H]`` and its inputs ``[M, D]`` are multiplied by."""
    outputs_MH = scales.get((layer.weight.name, 0))
    inputs_MC = scales.get((layer.weight.name, 1))
    inputs_MD = torch.ones(members, layer.width)
    if inputs_MC is not None:
        read = layer.units * layer.entries
        inputs_MD[:, :read] = inputs_MC.repeat_interleave(read // inputs_MC.shape[1], dim=1)
    return torch.ones(members, layer.outputs) if outputs_MH is None else outputs_MH, inputs_MD
