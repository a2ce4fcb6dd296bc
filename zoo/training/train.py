"""Training whole populations: the same result as one member at a time, many times faster.

Shape letters: M members, P parameters, G blocks, S steps, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.class_tasks import parse_task, task_labels
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.training.backend import Backend, BackendType, choose_backend
from zoo.training.grouping import Alike, Group, alike, batch_examples, group_members, minibatches, training_examples


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some members' weights at the end of one epoch.

    Attributes:
        rows: Which of the members given to :func:`train_population` these are.
        epoch: Epochs done; 0 is the initialization.
        steps: Optimizer steps done.
        weights_MP: Their weights, float32 on the CPU; not touched again.
    """

    rows: tuple[int, ...]
    epoch: int
    steps: int
    weights_MP: Tensor


class _Copy(NamedTuple):
    """A snapshot that is being copied out."""

    epoch: int
    steps: int
    finish: Callable[[], Tensor]

    def snapshot(self, rows: tuple[int, ...]) -> Snapshot:
        return Snapshot(rows, self.epoch, self.steps, self.finish())


def train_population(
    architecture: Architecture,
    members: Sequence[Member],
    data: Examples,
    *,
    task: Task | None = None,
    epochs: int,
    snapshot_epochs: Sequence[int],
    initial_MP: Tensor | None = None,
    device: str | torch.device = "cpu",
    backend: str = "auto",
    only: Container[int] | None = None,
) -> Iterator[Snapshot]:
    """Trains every member and yields their weights along the way.

    Members differ in anything that a :class:`~zoo.population.Member` says. Those that are
    ``zoo.training.grouping.Alike`` are trained together, fastest where blocks of them share a minibatch order; groups
    follow one another, so memory is bounded by one group. A member that diverges goes on with non-finite weights
    and does not touch the others.

    Args:
        architecture: The architecture of all members.
        members: How each one is trained.
        data: Training examples.
        task: What they are trained for; by default to tell the classes of its labels apart.
        epochs: Length of training.
        snapshot_epochs: When to yield: increasing, from 0 (the initialization) to ``epochs``.
        initial_MP: Initial weights, one row a member, in place of those drawn from the members' seeds.
        device: Where to compute.
        backend: A name in ``zoo.training.backend.BACKENDS``; by default, for each group, the fastest that can train
            it on this device.
        only: Rows of ``members`` that are wanted, by default all: groups without any are not trained. Members that
            are trained in one group are always trained together, so that the bits of their weights are the same
            whatever is wanted.

    Yields:
        Each (member, snapshot epoch) exactly once, group by group and in order of epochs within a group; with
        ``only``, also those of other members in the same groups.

    Raises:
        ValueError: No members, snapshot epochs out of order or range, examples, targets, tasks or subsets that do not
            fit the architecture or the data, no backend for the members, or no such device.
    """
    task = _classification(data) if task is None else task
    _check(architecture, members, data, task, epochs, list(snapshot_epochs))
    if initial_MP is not None and initial_MP.shape != (len(members), architecture.parameters):
        raise ValueError(
            f"initial weights have shape {tuple(initial_MP.shape)}; "
            f"expected ({len(members)}, {architecture.parameters})"
        )
    place = _place(device)
    computing: dict[str, Backend] = {}
    for group, name, kind in planned_groups(architecture, members, data, task, place, backend):
        if only is not None and not any(row in only for row in group.rows):
            continue
        chosen = [members[row] for row in group.rows]
        start_MP = initial_weights(architecture, chosen) if initial_MP is None else initial_MP[list(group.rows)]
        if name not in computing:
            computing[name] = kind(architecture, task, data, place)
        yield from _train_group(computing[name], group, chosen, start_MP, data, list(snapshot_epochs))


def planned_groups(
    architecture: Architecture,
    members: Sequence[Member],
    data: Examples,
    task: Task,
    device: torch.device,
    backend: str = "auto",
) -> list[tuple[Group, str, BackendType]]:
    """Which members are trained together, in turn, and the name and type of the backend that trains them.

    Arguments are those of :func:`train_population`.

    Raises:
        ValueError: A member's subset or task is not in the data, or no backend can train it.
    """
    kinds: dict[Alike, tuple[str, BackendType]] = {}

    def members_at_once(member: Member) -> int:
        of_group = alike(member, data)
        if of_group not in kinds:
            kinds[of_group] = choose_backend(architecture, [member], task, data, device, backend)
        return kinds[of_group][1].members_at_once(architecture, batch_examples(member, data), device)

    groups = group_members(members, data, members_at_once)
    return [(group, *kinds[alike(members[group.rows[0]], data)]) for group in groups]


def _place(device: str | torch.device) -> torch.device:
    """A device that exists.

    Raises:
        ValueError: It does not.
    """
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {str(device)!r}; allowed: cpu, cuda, cuda:0 and so on") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {str(device)!r}; torch sees no GPU here; allowed: cpu")
    return place


def _classification(data: Examples) -> Task:
    """The task of telling the classes of labels apart.

    Raises:
        ValueError: The targets are no labels.
    """
    if data.targets.dtype != torch.int64:
        raise ValueError(f"targets are {data.targets.dtype}, no labels; give the task that they are for")
    return Task("softmax", int(data.targets.max()) + 1)


def _check(
    architecture: Architecture,
    members: Sequence[Member],
    data: Examples,
    task: Task,
    epochs: int,
    wanted: Sequence[int],
) -> None:
    """Raises where the arguments of :func:`train_population` do not fit each other."""
    if not members:
        raise ValueError("there are no members to train; give at least one")
    if wanted != sorted(set(wanted)) or not wanted or wanted[0] < 0 or wanted[-1] > epochs:
        raise ValueError(f"snapshot epochs are {wanted}; allowed: increasing, each from 0 to epochs ({epochs})")
    shape, outputs = tuple(data.values.shape[1:]), architecture.classes
    if shape != architecture.input_shape:
        raise ValueError(f"examples have shape {shape}; the architecture takes {architecture.input_shape}")
    task.check(data.targets, "training examples")
    for class_task in dict.fromkeys(member.task for member in members):
        of_member = task.of_classes(parse_task(class_task))
        if not of_member.allows(outputs):
            raise ValueError(
                f"task {class_task or 'of the data set'} needs {of_member.outputs} outputs; the architecture has "
                f"{outputs}"
            )


def _train_group(
    backend: Backend,
    group: Group,
    members: Sequence[Member],
    start_MP: Tensor,
    data: Examples,
    wanted: Sequence[int],
) -> Iterator[Snapshot]:
    """Trains one group; see :func:`train_population`."""
    leaders = members[:: group.block]
    seen = [training_examples(leader, data) for leader in leaders]
    targets = [
        task_labels(leader.task, data.targets).numpy() if leader.task else data.targets.numpy() for leader in leaders
    ]
    trainer = backend.start(members, start_MP, group.block, batch_examples(leaders[0], data))
    steps = 0
    # A snapshot is copied out while the next epoch is under way.
    waiting = _Copy(0, 0, trainer.begin_copy()) if 0 in wanted else None
    for epoch in range(1, wanted[-1] + 1):
        order_GSB = np.stack([minibatches(*pair, epoch) for pair in zip(leaders, seen, strict=True)])
        targets_GSB = np.stack([of_task[rows] for of_task, rows in zip(targets, order_GSB, strict=True)])
        trainer.run_epoch(epoch, order_GSB, targets_GSB)
        steps += order_GSB.shape[1]
        if waiting is not None:
            yield waiting.snapshot(group.rows)
        waiting = _Copy(epoch, steps, trainer.begin_copy()) if epoch in wanted else None
    if waiting is not None:
        yield waiting.snapshot(group.rows)
