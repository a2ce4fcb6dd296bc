"""Gradients of each example of a minibatch, of whole populations at once, without a loop over examples.

What a linear layer's weights get from an example is the product of two vectors: the derivative of the example's loss by
what the layer gives, and what it reads; of a convolution it is the sum of such products over positions (Goodfellow,
"Efficient Per-Example Gradient Computations", arXiv 1510.01799). So weighted sums, norms and inner products of them are
batched matrix products of the factors, and of MLPs no gradient of a single example is ever written out.

Shape letters: M members, B examples, S positions (1 for a linear layer), H neurons of a layer (channels of a
convolution), D inputs of a neuron with the bias, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.task import Task
from zoo.views.weight_layers import WeightLayer, at_positions, watched, weight_layers


@dataclass(frozen=True)
class LayerGradients:
    """Gradients of one layer's parameters, in factors.

    Attributes:
        layer: The layer.
        back: The derivative of each example's loss by what the layer gives: ``[M, B, S, H]``.
        read: What the layer reads, with a 1 where it has a bias: ``[M, B, S, D]``.
    """

    layer: WeightLayer
    back: Tensor
    read: Tensor

    def rows(self) -> Tensor:
        """Every example's gradient of every neuron: ``[M, B, H, D]``."""
        if self.back.shape[2] > 1:
            return self.back.mT @ self.read
        return self.back.mT * self.read

    def weighted(self, weights_MHB: Tensor) -> Tensor:
        """Sums over examples, weighted for each neuron (or, with H = 1, for all alike): ``[M, H, D]``."""
        back_MHBS = self.back.permute(0, 3, 1, 2) * weights_MHB.unsqueeze(3)
        return back_MHBS.flatten(2) @ self.read.flatten(1, 2)

    def squares(self) -> Tensor:
        """Squared norm of each example's gradient of each neuron: ``[M, H, B]``."""
        if self.back.shape[2] > 1:
            return self.rows().square().sum(3).mT
        return (self.back * torch.linalg.vector_norm(self.read, dim=3, keepdim=True)).square().squeeze(2).mT

    def along(self, direction_MHD: Tensor) -> Tensor:
        """Inner products of each example's gradient of each neuron with one vector a neuron: ``[M, H, B]``."""
        # Positions of all examples one after the other: a product for each example is many small ones.
        read_MBSH = (self.read.flatten(1, 2) @ direction_MHD.mT).view_as(self.back)
        return (read_MBSH * self.back).sum(2).mT


@dataclass(frozen=True)
class ExampleGradients:
    """Gradients of each example of a minibatch, of every member.

    Attributes:
        architecture: Of the members.
        layers: Of each layer with weights.
        loss_MB: The losses.
    """

    architecture: Architecture
    layers: tuple[LayerGradients, ...]
    loss_MB: Tensor

    @property
    def examples(self) -> int:
        """B."""
        return self.loss_MB.shape[1]

    def weighted(self, weights: Sequence[Tensor]) -> Tensor:
        """Sums over examples, weighted for each neuron of each layer: ``[M, P]``.

        Args:
            weights: For each layer ``[M, H, B]``, or ``[M, 1, B]`` for all its neurons alike.
        """
        return self.flat([of.weighted(weights_MHB) for of, weights_MHB in zip(self.layers, weights, strict=True)])

    def mean(self) -> Tensor:
        """The gradient of the mean loss: ``[M, P]``."""
        share_M1B = torch.full_like(self.loss_MB, 1 / self.examples).unsqueeze(1)
        return self.weighted([share_M1B] * len(self.layers))

    def rows(self) -> Tensor:
        """Every example's whole gradient, written out: ``[M, B, P]``."""
        rows_MBP = self.loss_MB.new_empty(*self.loss_MB.shape, self.architecture.parameters)
        for of in self.layers:
            weights = of.layer.weight
            inputs = weights.size // of.layer.outputs
            own = rows_MBP[..., weights.span].unflatten(2, (of.layer.outputs, inputs))
            if of.back.shape[2] > 1:
                own.copy_(of.back.mT @ of.read[..., :inputs])
            else:
                torch.mul(of.back.mT, of.read[..., :inputs], out=own)
            if of.layer.bias is not None:
                rows_MBP[..., of.layer.bias.span] = of.back.sum(2)
        return rows_MBP

    def flat(self, of_layers: Sequence[Tensor]) -> Tensor:
        """Rows of neurons of each layer, ``[M, H, D]``, in the order of the flat parameters: ``[M, P]``."""
        tensors: dict[str, Tensor] = {}
        for of, rows_MHD in zip(self.layers, of_layers, strict=True):
            tensors |= of.layer.tensors(rows_MHD)
        return self.architecture.flatten(tensors)


Rule = Callable[[ExampleGradients], Tensor]
"""From gradients of examples to the update that an optimizer takes for the gradient: ``[M, P]``."""


class GradientSource:
    """Gives the gradients of examples of networks of one architecture.

    Args:
        architecture: Theirs.
        task: What they are trained for.

    Raises:
        ValueError: Something beside linear layers and convolutions is trained, as in batch norm: there, examples of a
            minibatch have no gradients of their own.
    """

    def __init__(self, architecture: Architecture, task: Task) -> None:
        self.architecture, self.layers, self.losses = architecture, weight_layers(architecture), task.losses()
        known = {spec.name for layer in self.layers for spec in (layer.weight, layer.bias) if spec is not None}
        other = [spec.name for spec in architecture.layout if spec.name not in known]
        if other:
            raise ValueError(
                f"gradients of single examples are known of linear layers and convolutions; {architecture.summary} has "
                f"{', '.join(other[:4])} beside: take networks without normalization"
            )

    def __call__(self, weights_MP: Tensor, inputs: Tensor, targets_MB: Tensor) -> ExampleGradients:
        """Differentiates; the result is constant.

        Args:
            weights_MP: The networks.
            inputs: ``[M, B, *input_shape]``, each member's own, or ``[B, *input_shape]`` for all alike.
            targets_MB: Their targets: ``[M, B]`` or ``[M, B, K]``.
        """
        with torch.enable_grad():
            read, given, outputs_MBC = watched(self.architecture, weights_MP.detach(), inputs)
            loss_MB = self.losses(outputs_MBC.flatten(0, 1), targets_MB.flatten(0, 1)).unflatten(
                0, outputs_MBC.shape[:2]
            )
            backs = torch.autograd.grad(loss_MB.sum(), [given[layer.name] for layer in self.layers])
        members = len(weights_MP)
        found = []
        for layer, back in zip(self.layers, backs, strict=True):
            patches = layer.patches(read[layer.name])
            patches = patches.expand(members, *patches.shape) if patches.ndim == 3 else patches
            found.append(LayerGradients(layer, at_positions(back), patches))
        return ExampleGradients(self.architecture, tuple(found), loss_MB.detach())
