"""What the function-metric codec's encoder measures of each network: outputs, sensitivities, a gauge.

The gauge picks one of the networks that compute the same probabilities: the last layer without its class mean,
and for homogeneous activations every unit scaled so that the logits' rms dependence on its output is 1.

Shape letters: M members, N images, H units, D inputs of a layer with the bias, C classes, K = C - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.architecture import Activate, Architecture
from zoo.architecture.activations import ACTIVATIONS
from zoo.views.metric import class_rotation
from zoo.views.tokens import neuron_rows

# A network that answers the same to every image still has a scale: this share of its mean logits.
CONSTANT_SHARE = 0.1
# Floor of a unit's scale beside its layer's largest, so that dead units do not divide by zero.
SCALE_FLOOR = 1e-6


@dataclass(frozen=True)
class Networks:
    """Some members of one architecture in their gauge, as the encoder sees them.

    Attributes:
        functions: The activation after each hidden layer.
        rows: For each layer ``[M, H, D]``; the last ``[M, K, D]``, its classes rotated, their mean dropped.
        targets: For each layer its outputs before the activation ``[M, N, H]``.
        grams: For each layer ``[M, H, H]``: mean over images of JᵀJ, J the logits' derivative by these outputs.
        spread_M: Root mean square of the logits about their mean over images.
    """

    functions: tuple[str, ...]
    rows: list[Tensor]
    targets: list[Tensor]
    grams: list[Tensor]
    spread_M: Tensor

    @classmethod
    def measure(cls, architecture: Architecture, weights_MP: Tensor, x_ND: Tensor) -> Networks:
        """Runs the members on flattened images.

        Raises:
            ValueError: Not every hidden layer is followed by exactly one activation, or logits or their
                derivatives overflow.
        """
        functions = tuple(layer.function for layer in architecture.layers if isinstance(layer, Activate))
        rows = neuron_rows(architecture, weights_MP.float())
        rows[-1] = class_rotation(architecture.classes)[1:].float() @ rows[-1]
        if len(functions) != len(rows) - 1:
            raise ValueError(f"{len(rows)} linear layers have {len(functions)} activations; expected {len(rows) - 1}")
        targets, slopes = [], []
        inputs = x_ND
        for index, rows_MHD in enumerate(rows):
            targets.append(apply_rows(rows_MHD, inputs))
            if index < len(functions):
                inputs, slope_MNH = _activate(functions[index], targets[-1])
                slopes.append(slope_MNH)
        mean_MK = targets[-1].mean(dim=1)
        variance_M = (targets[-1] - mean_MK.unsqueeze(1)).square().sum(dim=2).mean(dim=1)
        spread_M = (variance_M + CONSTANT_SHARE**2 * mean_MK.square().sum(dim=1)).sqrt()
        classes = rows[-1].shape[1]
        grams = [torch.eye(classes).expand(len(weights_MP), -1, -1)]
        jacobian = rows[-1][:, None, :, : _units(rows, len(rows) - 1)]  # by outputs after the activation
        for index in reversed(range(len(functions))):
            if ACTIVATIONS[functions[index]].homogeneous:
                scale_MH = jacobian.square().sum(dim=2).mean(dim=1).sqrt()
                scale_MH = scale_MH.clamp_min(SCALE_FLOOR * scale_MH.max(dim=1, keepdim=True).values + 1e-30)
                rows[index] = rows[index] * scale_MH.unsqueeze(2)
                targets[index] = targets[index] * scale_MH.unsqueeze(1)
                rows[index + 1] = _scale_inputs(rows[index + 1], 1 / scale_MH)
                jacobian = jacobian / scale_MH[:, None, None]
            by_outputs = jacobian * slopes[index].unsqueeze(2)  # [M, N, K, H]
            flat = by_outputs.flatten(1, 2)
            grams.insert(0, flat.transpose(1, 2) @ flat / len(x_ND))
            if index:
                jacobian = by_outputs @ rows[index][:, None, :, : _units(rows, index)]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in (spread_M, *grams)):
            raise ValueError("logits or their derivatives overflow; leave members out that diverged")
        return cls(functions, rows, targets, grams, spread_M)

    def activate(self, index: int, outputs_MNH: Tensor) -> Tensor:
        """The activation after hidden layer ``index``."""
        return ACTIVATIONS[self.functions[index]].forward(outputs_MNH)


def apply_rows(rows_MHD: Tensor, inputs: Tensor) -> Tensor:
    """A layer's outputs ``[M, N, H]`` from ``[N, inputs]`` or ``[M, N, inputs]``."""
    units = inputs.shape[-1]
    outputs_MNH = inputs @ rows_MHD[..., :units].transpose(1, 2)
    return outputs_MNH + rows_MHD[..., units:].transpose(1, 2) if rows_MHD.shape[2] > units else outputs_MNH


def with_ones(inputs: Tensor, width: int) -> Tensor:
    """Appends a constant 1 for the bias where a layer's rows are wider than its inputs."""
    return torch.nn.functional.pad(inputs, (0, width - inputs.shape[-1]), value=1.0)


def _units(rows: list[Tensor], index: int) -> int:
    """How many units layer ``index`` reads."""
    return rows[index - 1].shape[1] if index else rows[0].shape[2]


def _scale_inputs(rows_MHD: Tensor, factor_MU: Tensor) -> Tensor:
    """Multiplies the weights, not the bias, by a factor for each unit read."""
    units = factor_MU.shape[1]
    return torch.cat([rows_MHD[..., :units] * factor_MU.unsqueeze(1), rows_MHD[..., units:]], dim=2)


def _activate(function: str, outputs_MNH: Tensor) -> tuple[Tensor, Tensor]:
    """The activation and its derivative."""
    activation = ACTIVATIONS[function]
    activated_MNH = activation.forward(outputs_MNH)
    slope_MNH = torch.ones_like(outputs_MNH)
    activation.backward_(slope_MNH, outputs_MNH, activated_MNH)
    return activated_MNH, slope_MNH
