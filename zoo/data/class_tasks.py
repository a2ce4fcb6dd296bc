"""Class tasks: which classes of a data set a member is to tell apart, as a view of the data set.

The task ``""`` is the whole data set. ``"3-8"`` is one class against one other: images of class 3 get label 0, images
of class 8 label 1. ``"8-3"`` has the same images with reversed labels.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from zoo.data.examples import Examples

# One way to write each number, so that a task has one name.
CLASS = re.compile(r"0|[1-9][0-9]*")


def parse_task(task: str) -> tuple[int, ...]:
    """The classes of a task in the order of its labels; empty for the whole data set.

    Raises:
        ValueError: It is not the name of a task.
    """
    if not task:
        return ()
    parts = task.split("-")
    if len(parts) < 2 or len(set(parts)) != len(parts) or not all(CLASS.fullmatch(part) for part in parts):
        raise ValueError(
            f"task is {task!r}; allowed: '' for the whole data set, or different classes joined by hyphens, "
            "such as '3-8'"
        )
    return tuple(int(part) for part in parts)


def task_labels(task: str, labels: Tensor) -> Tensor:
    """The label that each image has in a task, -1 where it is no part of it: int64 ``[N]``."""
    classes = parse_task(task)
    if not classes:
        return labels
    mapped = torch.full_like(labels, -1)
    for label, original in enumerate(classes):
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
