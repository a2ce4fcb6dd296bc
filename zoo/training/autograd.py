"""Gradients of a whole group of networks of any architecture by automatic differentiation.

All members of a group are one graph: their losses are added, and since no member's loss depends on another's weights,
the gradient of the sum is each member's own.

Shape letters: M members, P parameters, G blocks, B batch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from zoo.architecture import Architecture, BatchStatistics
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.training.adversary import Adversary, pixel_limits
from zoo.training.device import members_within
from zoo.training.torch_trainer import TorchBackend, TorchTrainer
from zoo.training.weight_noise import WeightNoise


class AutogradBackend(TorchBackend):
    """Trains every architecture with torch, on any device; see ``zoo.training.backend``."""

    @staticmethod
    def obstacle(
        architecture: Architecture,  # noqa: ARG004
        members: Sequence[Member],  # noqa: ARG004
        task: Task,  # noqa: ARG004
        examples: Examples,  # noqa: ARG004
        device: torch.device,  # noqa: ARG004
    ) -> str | None:
        """None: what it cannot train cannot be trained."""
        return None

    @staticmethod
    def members_at_once(architecture: Architecture, batch: int, device: torch.device) -> int:
        outputs = sum(math.prod(place.output_shape) for place in architecture.placed)
        return members_within(architecture.parameters, outputs * batch, device)

    def start(self, members: Sequence[Member], weights_MP: Tensor, block: int, batch: int) -> AutogradTrainer:
        return AutogradTrainer(self, members, weights_MP, block, batch)


class AutogradTrainer(TorchTrainer):
    """One group of members in training.

    Attributes:
        parameters: All that is trained, flat, tensor by tensor; the optimizer works on it.
        gradient: The same for the gradient of the last step.
        trained: The tensors that are trained by name, ``[M, *shape]``, views of ``parameters``.
        buffers: The others: running statistics.
    """

    def __init__(
        self, backend: AutogradBackend, members: Sequence[Member], weights_MP: Tensor, block: int, batch: int
    ) -> None:
        device, self.architecture = backend.device, backend.architecture
        self.losses = backend.task.losses()
        self.members = len(members)
        self.blocks = len(members) // block
        tensors = self.architecture.tensors(weights_MP.to(device))
        trained = {spec.name: spec.size for spec in self.architecture.layout if spec.trainable}
        self.parameters = torch.cat([tensors[name].flatten() for name in trained])
        self.gradient = torch.empty_like(self.parameters)
        spans = [len(members) * size for size in trained.values()]
        views = [part.view_as(tensors[name]) for name, part in zip(trained, self.parameters.split(spans), strict=True)]
        self.trained = dict(zip(trained, (view.requires_grad_() for view in views), strict=True))
        self.gradients = [part.view_as(view) for part, view in zip(self.gradient.split(spans), views, strict=True)]
        self.buffers = {name: tensor.clone() for name, tensor in tensors.items() if name not in trained}

        def expand(values: Sequence[float]) -> Tensor:
            """One value a member, repeated for each of its entries in ``parameters``."""
            values_M1 = torch.tensor(values, device=device)[:, None]
            return torch.cat([values_M1.expand(-1, size).flatten() for size in trained.values()])

        inputs = torch.empty(self.blocks * batch, math.prod(self.architecture.input_shape), device=device)
        units = [math.prod(place.output_shape) for place in self.architecture.activations]
        self.first_unit = [0, *accumulate(units)]
        super().__init__(backend, members, self.parameters, expand, inputs, self.first_unit[-1], batch)
        self.noise: WeightNoise | None = None
        if any(member.weight_noise for member in members):
            self.noise = WeightNoise(self.architecture, members, device)
            self.drawn.append(self.noise.draws)
        self.adversary: Adversary | None = None
        if members[0].attack_steps:
            limits = pixel_limits(backend.examples.values_ND, backend.examples.scale)
            self.adversary = Adversary(members, self.architecture.input_shape, batch, limits, device)
            self.drawn += [self.adversary.draws] if self.adversary.draws else []

    @torch.no_grad()
    def begin_copy(self) -> Callable[[], Tensor]:
        return self.stepper.begin_copy(self.architecture.flatten({**self.trained, **self.buffers}))

    @torch.enable_grad()
    def step(self) -> None:
        with torch.no_grad():
            self.minibatches.gather()
        tensors, dropped, x = {**self.trained, **self.buffers}, self._dropped(), self._examples()
        if self.noise is not None:
            tensors |= self.noise.noisy(tensors, self.minibatches.step)
        # The loss is one of each example, so that members are so many more examples.
        batch = x.shape[-len(self.architecture.input_shape) - 1]
        targets = self.minibatches.targets.unflatten(0, (self.blocks, 1, batch))
        targets = targets.expand(-1, self.members // self.blocks, *targets.shape[2:]).flatten(0, 2)

        def loss(x: Tensor, statistics: BatchStatistics) -> Tensor:
            outputs_MBC = self.architecture.apply(tensors, x, dropped, statistics)
            return self.losses(outputs_MBC.flatten(0, 1), targets).sum()

        if self.adversary is not None:
            x = self.adversary.attack(lambda moved: loss(moved, BatchStatistics()), x, self.minibatches.step)
        statistics = BatchStatistics()
        gradients = torch.autograd.grad(loss(x, statistics) / batch, list(self.trained.values()))
        with torch.no_grad():
            torch._foreach_copy_(self.gradients, gradients)
            self.optimizer.step(self.gradient)
            for name, value in statistics.buffers.items():
                self.buffers[name].copy_(value)
            self.minibatches.step += 1

    def _examples(self) -> Tensor:
        """The present minibatch, ``[B, *input]`` where all members share it, else ``[M, B, *input]``."""
        x = self.minibatches.inputs.view(self.blocks, -1, *self.architecture.input_shape)
        return x[0] if self.blocks == 1 else x.repeat_interleave(self.members // self.blocks, 0)

    def _dropped(self) -> Callable[[int, Tensor], Tensor] | None:
        """What multiplies the outputs of each activation by the dropout factors of the present step."""
        if self.dropout is None:
            return None
        with torch.no_grad():
            factors = self.dropout.factors(self.minibatches.step)

        def drop(activation: int, outputs: Tensor) -> Tensor:
            part = factors[:, self.first_unit[activation] : self.first_unit[activation + 1]]
            return outputs * part.transpose(1, 2).unflatten(2, self.architecture.activations[activation].output_shape)

        return drop
