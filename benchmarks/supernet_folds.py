"""What generators and networks are fitted to, and judged by, in ``benchmarks.supernet``: folds of a recipe's tasks.

Shape letters: T tasks, B examples of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.tasks.task_examples import TaskExamples, moved
from zoo.data.class_tasks import parse_task
from zoo.recipes import Recipe
from zoo.storage.rows import SPLITS, split_of


@dataclass(frozen=True)
class Fold:
    """A fit: the tasks that it is of, those that it is judged by, and those by which learning rates are chosen.

    Attributes:
        training: Tasks that the generator is fitted to.
        validation: Tasks on whose validation examples adaptation by this fit is measured, for others to choose by.
        test: Tasks on whose test examples it is judged.
        tuned_by: Numbers of the folds whose validation chooses for this one.
        draw: Which labeled examples its test tasks have, where there are few; see :class:`TaskExamples`.
    """

    training: Sequence[str]
    validation: Sequence[str]
    test: Sequence[str]
    tuned_by: Sequence[int]
    draw: int = 0


def split_folds(recipe: Recipe, seeds: int, most: Mapping[str, int | None], classes: Sequence[int] = ()) -> list[Fold]:
    """The recipe's split of its tasks, so many times, each with labeled examples of its own.

    Args:
        recipe: Whose tasks.
        seeds: How many fits.
        most: At most how many tasks of a split are looked at; all where it is not named.
        classes: Only tasks of these are looked at, of others than the training tasks; all where empty.
    """
    tasks: dict[str, list[str]] = {split: [] for split in SPLITS}
    for task in tasks_of(recipe):
        split = split_of(0, recipe.block_members, task, recipe.held_out)
        if split == "train" or not classes or set(parse_task(task)) <= set(classes):
            tasks[split].append(task)
    training, validation, test = (tasks[split][: most.get(split)] for split in SPLITS)
    return [Fold(training, validation, test, tuned_by=(0,), draw=seed) for seed in range(seeds)]


def left_out_folds(recipe: Recipe, count: int, tuned_by: int | None, together: int = 1) -> list[Fold]:
    """Folds that leave out one pair of classes each, or some, spread over all of them.

    Args:
        recipe: Whose tasks.
        count: How many pairs are left out, by one fold or another.
        tuned_by: At most how many of the other folds choose learning rates for one; all of them where ``None``.
        together: How many pairs a fold leaves out, a divisor of their number.
    """
    pairs: dict[frozenset[int], list[str]] = {}
    for task in tasks_of(recipe):
        pairs.setdefault(frozenset(parse_task(task)), []).append(task)
    every = list(pairs.values())
    left_out = [every[len(every) * number // count] for number in range(count)]
    folds, found = count // together, []
    for number in range(folds):
        own = [task for tasks in left_out[number * together :][:together] for task in tasks]
        rest = [task for tasks in every for task in tasks if task not in own]
        others = [other for other in range(folds) if other != number]
        found.append(Fold(rest, own, own, others[:tuned_by]))
    return found


def tasks_of(recipe: Recipe) -> list[str]:
    """The tasks of a recipe, in order."""
    return sorted(recipe.axes["task"].choices, key=parse_task)


class AllAsOne:
    """The examples of several tasks, as if they were one task: what one network for all of them is trained on.

    Args:
        examples: Of the tasks.
    """

    tasks = ("all tasks",)

    def __init__(self, examples: TaskExamples) -> None:
        self.rows = [torch.cat(examples.rows)]
        self._examples, self._targets, self._shift = examples.examples, torch.cat(examples.targets), examples.shift

    def __len__(self) -> int:
        return 1

    def drawn(self, tasks: Sequence[int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """See :class:`trainables.hypernetworks.adaptation.LabeledTasks`."""
        chosen = torch.randint(len(self._targets), (count,), generator=generator)
        inputs = self._examples.select(self.rows[0][chosen]).inputs
        inputs = moved(inputs, self._shift, generator) if self._shift else inputs
        return inputs.unsqueeze(0), self._targets[chosen].unsqueeze(0)
