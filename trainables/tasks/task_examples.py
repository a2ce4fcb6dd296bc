"""Examples of several class tasks of one data set, drawn alike for all.

Shape letters: T tasks, B examples of each, C outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.class_tasks import REST_WORD, parse_task, task_labels
from zoo.data.examples import Examples
from zoo.data.scenes import counted_class
from zoo.data.task import Task
from zoo.population import Population


class TaskExamples:
    """The examples of each task.

    Args:
        tasks: Names of tasks; see ``zoo.data.class_tasks``.
        examples: Of the data set.
        labels: At most so many labeled examples of each class of a task, the first ones; all where ``None``.
        draw: Takes the next so many instead, and so on, for other labeled examples of the same tasks.
        objects: What describes the tasks, if the data set has it; see :class:`zoo.data.examples.Dataset`.

    Attributes:
        rows: Of each task, its examples' places (int64).
        targets: Of each task, their labels in it.
        shift: See :meth:`shifted`.

    Raises:
        ValueError: A task has a class without examples, or not as many as ``labels`` asks for.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        examples: Examples,
        labels: int | None = None,
        objects: Examples | None = None,
        draw: int = 0,
    ) -> None:
        self.tasks, self.shift = tuple(tasks), 0
        self.examples, self.objects = examples, objects
        self.rows: list[Tensor] = []
        self.targets: list[Tensor] = []
        for name in tasks:
            target_N = task_labels(name, examples.targets)
            rows = torch.nonzero(target_N >= 0).flatten()
            if labels is not None:
                rows = torch.cat(
                    [_some(name, target_N, number, labels, draw) for number in range(len(parse_task(name)))]
                )
            present = set(target_N[rows].tolist())
            lacking = [label for number, label in enumerate(parse_task(name)) if number not in present]
            if lacking:
                raise ValueError(
                    f"task {name!r} has no examples of class {lacking[0]}; the data set has classes "
                    f"{int(examples.targets.min())} to {int(examples.targets.max())}"
                )
            self.rows.append(rows)
            self.targets.append(target_N[rows])

    def __len__(self) -> int:
        return len(self.tasks)

    def shifted(self, most: int) -> TaskExamples:
        """The same, of which images that are drawn are moved by up to so many pixels, and mirrored or not.

        Those of a task are moved alike.
        """
        other = copy.copy(self)
        other.shift = most
        return other

    @cached_property
    def describing(self) -> TaskExamples:
        """By what tasks are described: themselves, or where they count, objects of the class that they ask about.

        Raises:
            ValueError: There are objects, but a task does not ask how many there are of one class.
        """
        if self.objects is None:
            return self
        labels = [counted_class(parse_task(task)) for task in self.tasks]
        return TaskExamples([f"{label}-{REST_WORD}" for label in labels], self.objects)

    def drawn(self, tasks: Sequence[int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """So many examples of each of some tasks, drawn with replacement.

        Returns:
            ``inputs_TBX`` float32 (X is the shape of one example) and ``labels_TB``.
        """
        inputs, labels = [], []
        for task in tasks:
            chosen = torch.randint(len(self.rows[task]), (count,), generator=generator)
            own = self.examples.select(self.rows[task][chosen]).inputs
            inputs.append(moved(own, self.shift, generator) if self.shift else own)
            labels.append(self.targets[task][chosen])
        return torch.stack(inputs), torch.stack(labels)

    def of(self, task: int) -> Examples:
        """All examples of a task, with their labels in it."""
        chosen = self.examples.select(self.rows[task])
        return Examples(chosen.values, self.targets[task], chosen.scale)


def moved(images_BX: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """The same images moved by up to ``most`` pixels in either direction, and mirrored or not, all alike.

    Raises:
        ValueError: They are no images.
    """
    if images_BX.ndim != 4:
        raise ValueError(
            f"shift is {most}, but examples have shape {tuple(images_BX.shape[1:])}; allowed: 0 but for images"
        )
    height, width = images_BX.shape[2:]
    down, right = torch.randint(2 * most + 1, (2,), generator=generator).tolist()
    mirrored = images_BX.flip(3) if torch.rand((), generator=generator) < 0.5 else images_BX
    padded = F.pad(mirrored, (most,) * 4, mode="replicate")
    return padded[:, :, down : down + height, right : right + width]


def task_loss(task: Task, outputs_TBC: Tensor, labels_TB: Tensor) -> Tensor:
    """The mean loss of each task: ``[T]``."""
    losses_N = task.losses()(outputs_TBC.flatten(0, 1), labels_TB.flatten(0, 1))
    return losses_N.unflatten(0, labels_TB.shape[:2]).mean(1)


def tasks_of(populations: Iterable[Population]) -> tuple[str, ...]:
    """The class tasks of some networks, each once, in order."""
    return tuple(
        dict.fromkeys(member.task for population in populations for member in population.members if member.task)
    )


def _some(task: str, target_N: Tensor, number: int, count: int, draw: int) -> Tensor:
    rows, wanted = torch.nonzero(target_N == number).flatten(), (draw + 1) * count
    if len(rows) < wanted:
        raise ValueError(
            f"task {task!r} has {len(rows)} examples with label {number}; {wanted} are asked for: take fewer labels"
        )
    return rows[wanted - count : wanted]
