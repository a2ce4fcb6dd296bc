"""Gradients of a whole group of MLPs in closed form.

Everything runs members first and examples last, ``[M, H, B]``: then every product is one batched matrix product,
softmax runs along a strided axis with the examples contiguous (vectorized), and biases are one more input that is
always 1. The first layer's products are shared by all members of a block: ``[G, k·H, D] × [G, D, B]``.

Shape letters: M members, G blocks, k members of a block, B batch, D inputs (with the constant one), H units,
C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from zoo.architecture import Activate, Architecture, Flatten, Linear
from zoo.architecture.activations import ACTIVATIONS
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.training.device import members_within
from zoo.training.grouping import robustness_obstacle
from zoo.training.torch_trainer import TorchBackend, TorchTrainer


class ClosedFormBackend(TorchBackend):
    """Trains MLPs with torch, on any device, their gradients in closed form; see ``zoo.training.backend``."""

    @staticmethod
    def obstacle(
        architecture: Architecture,
        members: Sequence[Member],
        task: Task,
        examples: Examples,  # noqa: ARG004
        device: torch.device,  # noqa: ARG004
    ) -> str | None:
        if not supports(architecture):
            return "it trains only linear layers with one activation between each two"
        if task.loss not in RESIDUALS:
            return f"it has no derivative of the loss {task.loss!r}"
        return robustness_obstacle(members)

    @staticmethod
    def members_at_once(architecture: Architecture, batch: int, device: torch.device) -> int:
        outputs = sum(place.output_shape[0] for place in architecture.placed if isinstance(place.layer, Linear))
        return members_within(architecture.parameters, outputs * batch, device)

    def start(self, members: Sequence[Member], weights_MP: Tensor, block: int, batch: int) -> ClosedFormTrainer:
        return ClosedFormTrainer(self, members, weights_MP, block, batch)


class ClosedFormTrainer(TorchTrainer):
    """One group of MLPs in training."""

    def __init__(
        self, backend: ClosedFormBackend, members: Sequence[Member], weights_MP: Tensor, block: int, batch: int
    ) -> None:
        device = backend.device
        self.model = model = ClosedFormMlps(backend.architecture, weights_MP.to(device), block, batch)
        self.hidden = [value.shape[1] for value in model.pre]
        super().__init__(backend, members, model.parameters, model.expand, model.inputs, sum(self.hidden), batch)
        self.residual = RESIDUALS[backend.task.loss]
        self.onehot = torch.eye(backend.architecture.classes, device=device)

    def begin_copy(self) -> Callable[[], Tensor]:
        return self.stepper.begin_copy(self.model.flat())

    @torch.no_grad()
    def step(self) -> None:
        self.minibatches.gather()
        targets = self.minibatches.targets
        targets_NC = self.onehot.index_select(0, targets) if targets.ndim == 1 else targets
        targets_GBC = targets_NC.unflatten(0, (self.model.blocks, -1))
        masks = None
        if self.dropout is not None:
            factors = self.dropout.factors(self.minibatches.step)
            masks = [part.contiguous() for part in factors.split(self.hidden, dim=1)]
        self.model.compute_gradient(targets_GBC.transpose(1, 2).unsqueeze(1), self.residual, masks)
        self.optimizer.step(self.model.gradient)
        self.minibatches.step += 1


def supports(architecture: Architecture) -> bool:
    """Whether the architecture is an MLP: flatten, then linear layers with one activation between each two."""
    layers = [layer for layer in architecture.layers if not isinstance(layer, Flatten)]
    return (
        len(layers) % 2 == 1
        and all(isinstance(layer, Linear) for layer in layers[::2])
        and all(isinstance(layer, Activate) for layer in layers[1::2])
    )


def softmax_residual(outputs_GkCB: Tensor, targets_G1CB: Tensor) -> None:
    """The derivative of the cross-entropy of softmax, in place of the outputs."""
    torch.softmax(outputs_GkCB, dim=2, out=outputs_GkCB).sub_(targets_G1CB)


def sigmoid_residual(outputs_GkCB: Tensor, targets_G1CB: Tensor) -> None:
    """The derivative of the mean binary cross-entropy of sigmoids, in place of the outputs."""
    outputs_GkCB.sigmoid_().sub_(targets_G1CB).div_(outputs_GkCB.shape[2])


def squared_residual(outputs_GkCB: Tensor, targets_G1CB: Tensor) -> None:
    """The derivative of the mean squared error, in place of the outputs."""
    outputs_GkCB.sub_(targets_G1CB).mul_(2 / outputs_GkCB.shape[2])


# Changes outputs ``[G, k, C, B]`` into the derivative of each example's loss by them; targets are ``[G, 1, C, B]``.
Residual = Callable[[Tensor, Tensor], None]
RESIDUALS: dict[str, Residual] = {
    "softmax": softmax_residual,
    "sigmoid": sigmoid_residual,
    "squared": squared_residual,
}


class ClosedFormMlps:
    """A group of MLPs of one architecture with their gradients.

    Attributes:
        inputs: The minibatches of all blocks, one after the other, float32 ``[G·B, D]``; the caller fills it.
        parameters: Flat buffer of all members' parameters, tensor by tensor; the optimizer works on it.
        gradient: The same for the gradient of the last step.
    """

    def __init__(self, architecture: Architecture, weights_MP: Tensor, block: int, batch: int) -> None:
        """Takes a copy of the weights.

        Args:
            architecture: One for which :func:`supports` holds.
            weights_MP: Initial weights, block by block.
            block: Members that share their minibatches.
            batch: Examples a step.
        """
        self.architecture = architecture
        self.members = members = len(weights_MP)
        self.blocks = members // block
        specs = {spec.name: spec for spec in architecture.layout}
        linear = [name for name, layer in enumerate(architecture.layers) if isinstance(layer, Linear)]
        # Weight, and bias or None, of each linear layer.
        self.linear = [(specs[f"{name}.weight"], specs.get(f"{name}.bias")) for name in linear]
        self.activations = [ACTIVATIONS[layer.function] for layer in architecture.layers if isinstance(layer, Activate)]
        device = weights_MP.device
        shapes = [(members, weight.shape[0], weight.shape[1] + (bias is not None)) for weight, bias in self.linear]
        sizes = [members * rows * columns for _, rows, columns in shapes]
        offsets = [0, *accumulate(sizes)]
        self.parameters = torch.empty(offsets[-1], device=device)
        self.gradient = torch.empty_like(self.parameters)
        self.spans = [slice(a, b) for a, b in pairwise(offsets)]
        self.weights = [self.parameters[s].view(shape) for s, shape in zip(self.spans, shapes, strict=True)]
        self.gradients = [self.gradient[s].view(shape) for s, shape in zip(self.spans, shapes, strict=True)]
        for (weight, bias), target in zip(self.linear, self.weights, strict=True):
            target[:, :, : weight.shape[1]] = weights_MP[:, weight.span].unflatten(1, weight.shape)
            if bias is not None:
                target[:, :, -1] = weights_MP[:, bias.span]

        first, bias = self.linear[0]
        self.x = torch.ones(self.blocks * batch, first.shape[1] + (bias is not None), device=device)
        self.inputs = self.x[:, : first.shape[1]]
        # Each hidden layer's output is followed by a row of ones where the next layer has a bias.
        self.pre: list[Tensor] = []
        self.post: list[Tensor] = []
        self.delta = [torch.empty(members, shape[1], batch, device=device) for shape in shapes]
        for (weight, _), (_, following) in pairwise(self.linear):
            units = weight.shape[0]
            self.pre.append(torch.empty(members, units, batch, device=device))
            self.post.append(torch.ones(members, units + (following is not None), batch, device=device))

    def expand(self, values: Sequence[float]) -> Tensor:
        """One value a member, repeated for each of its entries in :attr:`parameters`."""
        values_M1 = torch.tensor(values, device=self.parameters.device)[:, None]
        return torch.cat([values_M1.expand(-1, tensor[0].numel()).flatten() for tensor in self.weights])

    def flat(self) -> Tensor:
        """A copy of the weights as ``weights_MP`` in the architecture's layout."""
        parts: dict[str, Tensor] = {}
        for (weight, bias), source in zip(self.linear, self.weights, strict=True):
            parts[weight.name] = source[:, :, : weight.shape[1]]
            if bias is not None:
                parts[bias.name] = source[:, :, -1]
        return self.architecture.flatten(parts)

    def compute_gradient(self, targets_G1CB: Tensor, residual: Residual, masks: list[Tensor] | None) -> None:
        """Fills :attr:`gradient` with the gradient of each member's mean loss on :attr:`inputs`.

        Args:
            targets_G1CB: Targets, labels as one-hot.
            residual: The loss: makes of outputs and targets the derivative of an example's loss.
            masks: Dropout factors of each hidden layer, ``[M, H, B]``, or ``None``.
        """
        batch = len(self.x) // self.blocks
        x_GBD = self.x.view(self.blocks, batch, -1)
        first = self.weights[0]
        units = first.shape[1]
        w_GKD = first.view(self.blocks, -1, first.shape[2])
        last = len(self.weights) - 1
        outputs = self.delta if last == 0 else self.pre
        torch.bmm(w_GKD, x_GBD.transpose(1, 2), out=outputs[0].view(self.blocks, -1, batch))
        for layer in range(last):
            units = self.weights[layer].shape[1]
            hidden = self.post[layer][:, :units]
            value = self.activations[layer].forward(self.pre[layer])
            if masks is None:
                hidden.copy_(value)
            else:
                torch.mul(value, masks[layer], out=hidden)
            target = self.pre[layer + 1] if layer + 1 < last else self.delta[last]
            torch.bmm(self.weights[layer + 1], self.post[layer], out=target)

        delta = self.delta[last]
        residual(delta.view(self.blocks, -1, *delta.shape[1:]), targets_G1CB)
        scale = 1 / batch
        for layer in range(last, 0, -1):
            source, delta = self.post[layer - 1], self.delta[layer]
            gradient = self.gradients[layer]
            torch.baddbmm(gradient, delta, source.transpose(1, 2), beta=0, alpha=scale, out=gradient)
            units = self.weights[layer - 1].shape[1]
            back = self.delta[layer - 1]
            torch.bmm(self.weights[layer][:, :, :units].transpose(1, 2), delta, out=back)
            if masks is not None:
                back.mul_(masks[layer - 1])
            activation = self.activations[layer - 1]
            post = source[:, :units]
            if masks is not None and activation.needs_post:
                post = activation.forward(self.pre[layer - 1])
            activation.backward_(back, self.pre[layer - 1], post)
        gradient = self.gradients[0].view(self.blocks, -1, self.gradients[0].shape[2])
        delta_GKB = self.delta[0].view(self.blocks, -1, batch)
        torch.baddbmm(gradient, delta_GKB, x_GBD, beta=0, alpha=scale, out=gradient)
