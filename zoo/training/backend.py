"""What trains a group of members: the seam between the one training loop and its several ways of computing.

Shape letters: M members, P parameters, G blocks, S steps, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.training.autograd import AutogradBackend
from zoo.training.closed_form import ClosedFormBackend
from zoo.training.lanes import LanesBackend


class GroupTrainer(Protocol):
    """One group of members in training: weights and optimizer state."""

    def run_epoch(self, epoch: int, examples_GSB: np.ndarray, targets_GSB: np.ndarray) -> None:
        """Trains every member for one epoch.

        Args:
            epoch: Its number, from 1.
            examples_GSB: For each block and step, the rows of the examples, int64.
            targets_GSB: Their targets: labels int64, or numbers float32 ``[G, S, B, K]``.
        """

    def begin_copy(self) -> Callable[[], Tensor]:
        """Begins to copy the weights out as they are now; training may go on meanwhile.

        Returns:
            What waits for the copy and returns it: ``weights_MP`` float32 on the CPU, not touched again.
        """


class Backend(Protocol):
    """One way of computing, for members of one architecture and task on some examples."""

    def start(self, members: Sequence[Member], weights_MP: Tensor, block: int, batch: int) -> GroupTrainer:
        """Begins to train a group.

        Args:
            members: Of one ``zoo.training.grouping.Alike``; block by block.
            weights_MP: Their initial weights.
            block: Members that share their minibatches.
            batch: Examples a step.
        """


class BackendType(Protocol):
    """How a backend is chosen and made."""

    def obstacle(
        self,
        architecture: Architecture,
        members: Sequence[Member],
        task: Task,
        examples: Examples,
        device: torch.device,
    ) -> str | None:
        """Why the backend cannot train these members; ``None`` where it can.

        Args:
            architecture: Of all of them.
            members: Of one ``zoo.training.grouping.Alike``.
            task: What they are trained for.
            examples: Training examples.
            device: Where.
        """

    def members_at_once(self, architecture: Architecture, batch: int, device: torch.device) -> int:
        """How many members a group should have to be trained fastest, at a number of examples a step."""

    def __call__(self, architecture: Architecture, task: Task, examples: Examples, device: torch.device) -> Backend:
        """Makes the backend; what all groups share, such as the examples on the device, is prepared once."""


# In order of preference.
BACKENDS: dict[str, BackendType] = {
    "lanes": LanesBackend,
    "closed-form": ClosedFormBackend,
    "autograd": AutogradBackend,
}


def choose_backend(
    architecture: Architecture,
    members: Sequence[Member],
    task: Task,
    examples: Examples,
    device: torch.device,
    name: str = "auto",
) -> tuple[str, BackendType]:
    """The backend of a name, or the fastest that can do it.

    Args:
        architecture: What is trained.
        members: Of one ``zoo.training.grouping.Alike``.
        task: What they are trained for.
        examples: Training examples.
        device: Where.
        name: A name in ``BACKENDS``, or "auto".

    Returns:
        Its name and type.

    Raises:
        ValueError: There is no such backend, or it cannot train these members here.
    """
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"backend is {name!r}; allowed: auto, {', '.join(BACKENDS)}")
    obstacles = []
    for candidate in BACKENDS if name == "auto" else [name]:
        kind = BACKENDS[candidate]
        obstacle = kind.obstacle(architecture, members, task, examples, device)
        if obstacle is None:
            return candidate, kind
        obstacles.append(f"{candidate}: {obstacle}")
    if name != "auto":
        raise ValueError(f"backend {name} cannot train these members on {device}: {obstacle}; take 'auto'")
    raise ValueError(f"no backend can train these members on {device}: {'; '.join(obstacles)}")
