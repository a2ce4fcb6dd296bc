"""What the two torch backends share: a group's optimizer, minibatches and dropout on a device, step after step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.optimizers import find_optimizer
from zoo.training.device import DeviceExamples, Minibatches, exact_convolutions, stepper
from zoo.training.draws import DeviceDraws
from zoo.training.masks import DeviceDropout


class TorchBackend:
    """The examples on a device, for all groups of one architecture; see ``zoo.training.backend``."""

    def __init__(self, architecture: Architecture, task: Task, examples: Examples, device: torch.device) -> None:
        self.architecture = architecture
        self.task = task
        self.examples = DeviceExamples(examples, device)
        self.device = device


class TorchTrainer:
    """One group of members in training; a subclass says what a step is."""

    def __init__(
        self,
        backend: TorchBackend,
        members: Sequence[Member],
        parameters: Tensor,
        expand: Callable[[Sequence[float]], Tensor],
        inputs: Tensor,
        units: int,
        batch: int,
    ) -> None:
        """Prepares what stays in place.

        Args:
            backend: What all groups share.
            members: Who is trained, block by block.
            parameters: All members' parameters, flat; the optimizer works on it.
            expand: Repeats one value a member for each of its entries in ``parameters``.
            inputs: Buffer of the minibatches of all blocks, float32 ``[G·B, D]``.
            units: Units that dropout acts on.
            batch: Examples a step.
        """
        self.optimizer = find_optimizer(members[0].optimizer)(
            parameters,
            expand([member.learning_rate for member in members]),
            expand([member.weight_decay for member in members]) if any(m.weight_decay for m in members) else None,
        )
        self.minibatches = Minibatches(backend.examples, inputs)
        self.dropout: DeviceDropout | None = None
        # All that is drawn anew in each step; a subclass may have more.
        self.drawn: list[DeviceDraws] = []
        if units and any(member.dropout for member in members):
            self.dropout = DeviceDropout(members, units, batch, backend.device)
            self.drawn.append(self.dropout)
        self.stepper = stepper(backend.device)

    def run_epoch(self, epoch: int, examples_GSB: np.ndarray, targets_GSB: np.ndarray) -> None:
        steps = examples_GSB.shape[1]
        self.minibatches.begin_epoch(self.stepper, examples_GSB, targets_GSB)
        for draws in self.drawn:
            draws.begin_epoch(self.stepper, epoch, steps)
        with exact_convolutions():
            self.stepper.run(self.step, steps)

    def step(self) -> None:
        """One step of every member; reads and writes tensors that stay in place."""
        raise NotImplementedError
