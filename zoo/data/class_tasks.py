"""Class tasks: which classes of a data set a member is to tell apart, as a view of the data set.

The task ``""`` is the whole data set. ``"3-8"`` is one class against one other: images of class 3 get label 0, images
of class 8 label 1. ``"8-3"`` has the same images with reversed labels. ``"3-rest"`` is one class against all others,
``"12-to-15"`` tells classes 12, 13, 14 and 15 apart.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import torch
from torch import Tensor

from zoo.data.examples import Examples

# One way to write each number, so that a task has one name.
CLASS = re.compile(r"0|[1-9][0-9]*")
# What stands for all classes that a task does not name: in its name, and among its classes.
REST_WORD, REST = "rest", -1
# Between the first and the last of three or more classes that follow one another.
TO_WORD, MOST_BETWEEN = "to", 10_000


def parse_task(task: str) -> tuple[int, ...]:
    """The classes of a task in the order of its labels, ``REST`` for all others; empty for the whole data set.

    Raises:
        ValueError: It is not the name of a task.
    """
    if not task:
        return ()
    parts = task.split("-")
    if len(parts) == 3 and parts[1] == TO_WORD:
        parts = _between(parts[0], parts[2])
    named = parts[:-1] if parts[-1] == REST_WORD else parts
    if len(parts) < 2 or len(set(parts)) != len(parts) or not all(CLASS.fullmatch(part) for part in named):
        raise ValueError(
            f"task is {task!r}; allowed: '' for the whole data set, or different classes joined by hyphens, "
            "such as '3-8', the last of which may be 'rest' for all others, such as '3-rest'; or three or more that "
            "follow one another, such as '12-to-15'"
        )
    return tuple(REST if part == REST_WORD else int(part) for part in parts)


def _between(first: str, last: str) -> list[str]:
    """The names of all classes from one to another; the words as they are where they do not name three or more."""
    if CLASS.fullmatch(first) and CLASS.fullmatch(last) and 2 <= int(last) - int(first) <= MOST_BETWEEN:
        return [str(label) for label in range(int(first), int(last) + 1)]
    return [first, TO_WORD, last]


def task_labels(task: str, labels: Tensor) -> Tensor:
    """The label that each image has in a task, -1 where it is no part of it: int64 ``[N]``."""
    classes = parse_task(task)
    if not classes:
        return labels
    mapped = torch.full_like(labels, len(classes) - 1 if classes[-1] == REST else -1)
    for label, original in enumerate(classes):
        if original != REST:
            mapped[labels == original] = label
    return mapped


def select(task: str, images: Examples) -> Examples:
    """The images of a task with their labels in it.

    Raises:
        ValueError: The data set has no image of the task.
    """
    if not task:
        return images
    labels = task_labels(task, images.targets)
    rows = torch.nonzero(labels >= 0).flatten()
    if not len(rows):
        raise ValueError(f"no image belongs to task {task!r}; its classes do not occur in this data set")
    return replace(images.select(rows), targets=labels[rows])


def one_vs_one(classes: int, *, reversals: bool = False) -> list[str]:
    """All tasks of telling one class from one other: "0-1", "0-2" …, and with reversals "1-0", "2-0" … too."""
    pairs = itertools.permutations if reversals else itertools.combinations
    return [f"{first}-{second}" for first, second in pairs(range(classes), 2)]


def one_vs_last(classes: int, *, reversals: bool = False) -> list[str]:
    """All tasks of telling a class from the last one: "0-9", "1-9" … of ten, and with reversals "9-0", "9-1" … too."""
    last = classes - 1
    tasks = [f"{label}-{last}" for label in range(last)]
    return [*tasks, *(f"{last}-{label}" for label in range(last))] if reversals else tasks


def one_vs_rest(classes: int) -> list[str]:
    """All tasks of telling one class from all others: "0-rest", "1-rest" …."""
    return [f"{label}-{REST_WORD}" for label in range(classes)]
