"""Few numbers that make a network, fitted to labeled examples of a task: z, a last layer, a LoRA, or all weights.

All tasks are adapted at once, each by its own numbers and examples: what is compared differs in nothing else.

Shape letters: T tasks, B examples of each, P parameters, Z width of z, C outputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from trainables.adam import Adam
from trainables.tasks.task_examples import TaskExamples, task_loss
from trainables.trainable import DivergedError
from zoo.architecture import Architecture
from zoo.data.task import Task
from zoo.evaluation import evaluate
from zoo.population.population import single_architecture


class Adapted(ABC):
    """Numbers of each task, and the weights that they make.

    Attributes:
        numbers: What is fitted: tensors with one entry a task, or one for all tasks, on the first axis.
    """

    numbers: list[Tensor]

    @abstractmethod
    def weights(self) -> Tensor:
        """``weights_TP``, differentiable in :attr:`numbers`."""

    @property
    def trainable(self) -> int:
        """How many numbers of each task are fitted."""
        return sum(math.prod(each.shape[1:]) for each in self.numbers)

    def penalty(self) -> Tensor | float:
        """What numbers cost beside the examples' losses, as minus the logarithm of a prior density: ``[T]``."""
        return 0.0


@dataclass(frozen=True)
class VectorPrior:
    """Where vectors of tasks, or weights, are to be expected: a Gaussian whose entries are independent.

    Attributes:
        mean: Its mean ``[Z]``, or one for each task ``[T, Z]``.
        deviation: Its standard deviation, of every entry or of each.
        strength: Of the prior against the examples: 1 is Bayes' rule, 0 is none.
    """

    mean: Tensor
    deviation: float | Tensor
    strength: float

    @classmethod
    def of(cls, z_TZ: Tensor, strength: float) -> VectorPrior:
        """The prior that vectors of training tasks suggest."""
        mean_Z = z_TZ.mean(0)
        return cls(mean_Z, float((z_TZ - mean_Z).square().mean().sqrt()), strength)

    def penalty(self, z_TZ: Tensor) -> Tensor:
        """Minus its logarithm, up to a constant: ``[T]``."""
        return 0.5 * self.strength * ((z_TZ - self.mean) / self.deviation).square().sum(1)


class AdaptedVector(Adapted):
    """The vector z of a frozen generator.

    Args:
        generator: Maps ``z_TZ`` to ``weights_TP``.
        start_TZ: Where z starts.
        prior: Where it is to be expected, if that is to count.
    """

    def __init__(self, generator: nn.Module, start_TZ: Tensor, prior: VectorPrior | None = None) -> None:
        self.generator = generator
        self.prior = prior if prior is not None and prior.strength else None
        self.numbers = [start_TZ.detach().clone().requires_grad_()]

    def penalty(self) -> Tensor | float:
        """See :class:`Adapted`."""
        return 0.0 if self.prior is None else self.prior.penalty(self.numbers[0])

    def weights(self) -> Tensor:
        """See :class:`Adapted`."""
        weights_TP: Tensor = self.generator(self.numbers[0])
        return weights_TP


class AdaptedWeights(Adapted):
    """All weights.

    Args:
        start_TP: Where they start.
        prior: Where they are to be expected, if that is to count; about 0, that is weight decay.
    """

    def __init__(self, start_TP: Tensor, prior: VectorPrior | None = None) -> None:
        self.numbers = [start_TP.detach().clone().requires_grad_()]
        self.prior = prior if prior is not None and prior.strength else None

    def penalty(self) -> Tensor | float:
        """See :class:`Adapted`."""
        return 0.0 if self.prior is None else self.prior.penalty(self.numbers[0])

    def weights(self) -> Tensor:
        """See :class:`Adapted`."""
        return self.numbers[0]


class AdaptedShared(Adapted):
    """One network for all tasks.

    Args:
        start_P: Where its weights start.
        tasks: T.
    """

    def __init__(self, start_P: Tensor, tasks: int) -> None:
        self.numbers = [start_P.detach().clone().unsqueeze(0).requires_grad_()]
        self._tasks = tasks

    def weights(self) -> Tensor:
        """See :class:`Adapted`."""
        return self.numbers[0].expand(self._tasks, -1)


class AdaptedLastLayer(Adapted):
    """Weights and biases of the last layer that has any; the others stay.

    Args:
        architecture: Of the networks.
        start_TP: Where they start.
    """

    def __init__(self, architecture: Architecture, start_TP: Tensor) -> None:
        last = architecture.layout[-1].name.rpartition(".")[0]
        first = min(spec.offset for spec in architecture.layout if spec.name.rpartition(".")[0] == last)
        self._before_TP = start_TP[:, :first].detach()
        self.numbers = [start_TP[:, first:].detach().clone().requires_grad_()]

    def weights(self) -> Tensor:
        """See :class:`Adapted`."""
        return torch.cat([self._before_TP, self.numbers[0]], dim=1)


class AdaptedLowRank(Adapted):
    """A low-rank change of each weight tensor (LoRA, Hu et al., arXiv 2106.09685, section 4.1); biases stay.

    Args:
        architecture: Of the networks.
        start_TP: What is changed.
        rank: Of each change.
        seed: Of the factors that start at random; the others start at zero.
    """

    def __init__(self, architecture: Architecture, start_TP: Tensor, rank: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._start_TP = start_TP.detach()
        self._specs = [spec for spec in architecture.layout if len(spec.shape) > 1]
        self.numbers = []
        for spec in self._specs:
            units, inputs = spec.shape[0], math.prod(spec.shape[1:])
            right = torch.randn(1, rank, inputs, generator=generator).expand(len(start_TP), -1, -1) / math.sqrt(inputs)
            self.numbers += [torch.zeros(len(start_TP), units, rank).requires_grad_(), right.clone().requires_grad_()]

    def weights(self) -> Tensor:
        """See :class:`Adapted`."""
        change_TP = torch.zeros_like(self._start_TP)
        for spec, left, right in zip(self._specs, self.numbers[::2], self.numbers[1::2], strict=True):
            change_TP[:, spec.span] = (left @ right).flatten(1)
        return self._start_TP + change_TP


class LabeledTasks(Protocol):
    """Labeled examples of several tasks."""

    @property
    def tasks(self) -> Sequence[str]:
        """Their names."""
        ...

    @property
    def rows(self) -> Sequence[Tensor]:
        """Of each task, its examples' places."""
        ...

    def __len__(self) -> int: ...

    def drawn(self, tasks: Sequence[int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """So many examples of each of some tasks: ``inputs_TBX`` and ``labels_TB``."""
        ...


def adapt(
    adapted: Adapted,
    architecture: Architecture,
    task: Task,
    examples: LabeledTasks,
    *,
    steps: int,
    learning_rate: float,
    batch: int,
    seed: int = 0,
) -> None:
    """Fits the numbers of every task to its examples by Adam, whose step size falls along a half cosine.

    A prior weighs as much as one example: the more labels a task has, the less it counts.

    Args:
        adapted: What is fitted, in place.
        architecture: Of the networks.
        task: What they are trained for.
        examples: Of the tasks, in the order of the numbers.
        steps: How many.
        learning_rate: Adam's at the start.
        batch: Examples of each task a step.
        seed: Of the examples drawn.

    Raises:
        DivergedError: A loss is not finite.
    """
    optimizer = Adam(adapted.numbers, lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)
    every = range(len(examples))
    labels_T = torch.tensor([len(rows) for rows in examples.rows])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        inputs, labels_TB = examples.drawn(every, batch, generator)
        loss_T = task_loss(task, architecture.logits(adapted.weights(), inputs), labels_TB)
        if not torch.isfinite(loss_T).all():
            odd = examples.tasks[int((~torch.isfinite(loss_T)).nonzero()[0])]
            raise DivergedError(
                f"the loss of task {odd!r} is not finite in step {step + 1} of adaptation; lower the learning rate, "
                f"which is {learning_rate}"
            )
        gradients = torch.autograd.grad((loss_T + adapted.penalty() / labels_T).sum(), adapted.numbers)
        for numbers, gradient in zip(adapted.numbers, gradients, strict=True):
            numbers.grad = gradient
        optimizer.step()


def task_accuracies(
    architecture: Architecture,
    task: Task,
    weights_TP: Tensor,
    examples: TaskExamples,
    tasks: Sequence[int] | None = None,
) -> Tensor:
    """The accuracy of each network on all examples of its task: ``[T]``; 0 where an output is not finite.

    Args:
        architecture: Of the networks.
        task: What they are trained for.
        weights_TP: Their weights.
        examples: Of the tasks.
        tasks: The task of each network; in the order of the examples' tasks by default.
    """
    accuracies = []
    for weights_P, number in zip(weights_TP, range(len(examples)) if tasks is None else tasks, strict=True):
        network = single_architecture(architecture, weights_P.unsqueeze(0))
        accuracies.append(evaluate(network, examples.of(number), task)["accuracy"])
    return torch.cat(accuracies).nan_to_num(0.0)
