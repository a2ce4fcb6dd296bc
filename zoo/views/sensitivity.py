"""How logits depend on what the weight layers of each network give: the output side of the function metric.

Shape letters: M members, N examples, S positions, H outputs of a layer, D inputs of an output with the bias, C logits,
K directions of logits that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.views.weight_layers import WeightLayer, at_positions, watched, weight_layers

POOLED_MEMBERS = 64
POOLED_EXAMPLES = 128
POOLED_BATCH = 16
LEAST_DEPENDENCE = 1e-6


@dataclass(frozen=True)
class Sensitivity:
    """The logits' dependence on one layer, of each member.

    Attributes:
        gram_MHH: The mean over examples of JᵀJ, J the logits' derivative by the layer's outputs; positions are summed.
        square_MHD: The mean squared norm, over examples, of the logits' derivative by each weight and bias, or by
            coordinates of them. Where a layer is applied at many positions, their derivatives add up before they are
            squared.
        inputs_MDD: The same derivatives' second moment, summed over outputs: how errors of two weights of an output add
            up. Of layers at several positions whose inputs have names; for others their inputs' own second moment does.
    """

    gram_MHH: Tensor
    square_MHD: Tensor
    inputs_MDD: Tensor | None = None

    def select(self, rows_M: Tensor) -> Sensitivity:
        """That of some of the members."""
        inputs_MDD = None if self.inputs_MDD is None else self.inputs_MDD[rows_M]
        return Sensitivity(self.gram_MHH[rows_M], self.square_MHD[rows_M], inputs_MDD)

    def scaled(self, outputs_MH: Tensor, inputs_MD: Tensor) -> Sensitivity:
        """The same after the outputs were multiplied by one factor each and the inputs by another."""
        gram_MHH = self.gram_MHH / (outputs_MH.unsqueeze(1) * outputs_MH.unsqueeze(2))
        return replace(
            self,
            gram_MHH=gram_MHH,
            square_MHD=self.square_MHD * (inputs_MD.unsqueeze(1) / outputs_MH.unsqueeze(2)).square(),
        )


def sensitivities(
    architecture: Architecture,
    weights_MP: Tensor,
    x: Tensor,
    directions_KC: Tensor,
    coordinates: Sequence[Tensor] | None = None,
) -> list[Sensitivity]:
    """Measures all weight layers, exactly, by one backward pass for each direction.

    Args:
        architecture: The members' architecture.
        weights_MP: Members.
        x: Examples ``[N, *input_shape]``.
        directions_KC: Orthonormal directions of the logits: all, or for softmax those beside the mean of all classes.
        coordinates: For each layer the matrix by which inputs become those of other coordinates of its rows; see
            :meth:`zoo.views.weight_layers.WeightLayer.by_unit`. By default the weights themselves.

    Returns:
        One for each of :func:`zoo.views.weight_layers.weight_layers`.
    """
    layers = weight_layers(architecture)
    inputs, by_layer = _by_output(architecture, weights_MP, x, directions_KC)
    found = []
    for index, layer in enumerate(layers):
        patches = layer.patches(inputs[layer.name])
        if coordinates is not None:
            patches = layer.by_unit(patches, coordinates[index])
        found.append(_of_layer(layer, patches, by_layer[index]))
    return found


def derivatives(architecture: Architecture, weights_MP: Tensor, x: Tensor, directions: Tensor) -> list[Tensor]:
    """The logits' derivatives by all weights and biases, example by example.

    Args:
        architecture: The members' architecture.
        weights_MP: Members.
        x: Examples ``[N, *input_shape]``.
        directions: Of the logits: ``[K, C]``, or for each example its own ``[N, K, C]``.

    Returns:
        For each of :func:`zoo.views.weight_layers.weight_layers` ``[M, N, K, H, D]``.
    """
    inputs, by_layer = _by_output(architecture, weights_MP, x, directions)
    return [
        (_rows(jacobian_KMNSH) @ layer.patches(inputs[layer.name])).unflatten(2, (directions.shape[-2], -1))
        for layer, jacobian_KMNSH in zip(weight_layers(architecture), by_layer, strict=True)
    ]


def _by_output(
    architecture: Architecture, weights_MP: Tensor, x: Tensor, directions: Tensor
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """(what each layer reads, the logits' derivatives along the directions by what it gives: ``[K, M, N, S, H]``)."""
    names = [layer.name for layer in weight_layers(architecture)]
    with torch.enable_grad():
        inputs, outputs, logits_MNC = watched(architecture, weights_MP, x)
        rotated_MNK = (directions.to(logits_MNC) @ logits_MNC.unsqueeze(3)).squeeze(3)
        by_direction = [
            torch.autograd.grad(
                rotated_MNK[..., direction].sum(),
                [outputs[name] for name in names],
                retain_graph=direction + 1 < rotated_MNK.shape[2],
                materialize_grads=True,
            )
            for direction in range(rotated_MNK.shape[2])
        ]
    return inputs, [torch.stack([at_positions(part) for part in parts]) for parts in zip(*by_direction, strict=True)]


def _rows(jacobian_KMNSH: Tensor) -> Tensor:
    """Directions and outputs side by side: ``[M, N, K * H, S]``."""
    return jacobian_KMNSH.permute(1, 2, 0, 4, 3).flatten(2, 3)


def _of_layer(layer: WeightLayer, patches: Tensor, jacobian_KMNSH: Tensor) -> Sensitivity:
    """Sums over directions; ``patches`` are ``[N, S, D]`` or ``[M, N, S, D]``, of all members alike or of each."""
    directions, _, examples = jacobian_KMNSH.shape[:3]
    rows = jacobian_KMNSH.transpose(0, 1).flatten(1, 3)
    gram_MHH = rows.mT @ rows / examples
    inputs_MDD = None
    if patches.shape[-2] == 1:
        squared_MNH = jacobian_KMNSH.square().sum(dim=0)[:, :, 0]
        square_MHD = squared_MNH.mT @ patches[..., 0, :].square()
    else:
        by_weight_MNRD = _rows(jacobian_KMNSH) @ patches
        square_MHD = by_weight_MNRD.square().sum(dim=1).unflatten(1, (directions, -1)).sum(dim=1)
        if layer.named:
            rows = by_weight_MNRD.flatten(1, 2)
            inputs_MDD = rows.mT @ rows / examples
    return Sensitivity(gram_MHH, square_MHD / examples, inputs_MDD)


def pooled_dependence(population: Population, examples: Examples) -> dict[str, float]:
    """For each weight layer, by its name, the logits' rms dependence on what it gives: the median over members.

    Of at most 64 members, evenly spaced, on at most 128 examples; networks that are not finite do not count. Where
    a layer is applied at many positions, errors that its weights make at all of them add up. At least a millionth of
    the largest, so that no layer is lost.
    """
    layers = weight_layers(population.architecture)
    step = -(-len(population) // POOLED_MEMBERS)
    chosen = population.select(range(0, len(population), step))
    x = examples.first(POOLED_EXAMPLES).inputs
    found: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    for architecture, rows in chosen.groups():
        for batch in rows.split(POOLED_BATCH):
            weights_MP = chosen.weights_MP[batch]
            with torch.no_grad():
                inputs, _, _ = watched(architecture, weights_MP, x)
            for layer, measured in zip(
                layers, sensitivities(architecture, weights_MP, x, torch.eye(architecture.classes)), strict=True
            ):
                square = layer.patches(inputs[layer.name]).square().mean(dim=(-3, -2)).sum(dim=-1)
                found[layer.name].append(measured.square_MHD.sum(dim=2).mean(dim=1) / square)
    medians: dict[str, float] = {}
    for name, parts in found.items():
        ratio_M = torch.cat(parts)
        ratio_M = ratio_M[torch.isfinite(ratio_M)]
        medians[name] = float(ratio_M.median().sqrt()) if len(ratio_M) else 0.0
    least = LEAST_DEPENDENCE * max(medians.values())
    return {name: max(median, least) if least > 0 else 1.0 for name, median in medians.items()}
