"""More pairs to learn from than there are of ten classes: MNIST and Fashion-MNIST as one data set, and CIFAR-100.

``benchmarks.joined_pairs:mnist_and_fashion`` has 20 classes, digits 0 to 9 and articles of clothing 10 to 19.
``PAIRS`` tells one from one other, in both orders. The pairs of digits that are held out are those of
``mnist-tasks-reversed`` with half held out; pairs of a digit and an article of clothing are only trained on.
``CIFAR100_PAIRS`` are 400 of the 4 950 pairs of CIFAR-100's classes, in both orders, of a cut of it
(``benchmarks.cifar_cuts``).
"""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from zoo.data import Dataset, Examples, load_dataset
from zoo.data.class_tasks import one_vs_one, parse_task
from zoo.data.examples import SPLITS
from zoo.data.task import Task
from zoo.recipes import find_recipe
from zoo.storage.rows import split_of

CLASSES, HELD_OUT = 10, 52


def mnist_and_fashion() -> Dataset:
    """Both, article of clothing c as class 10 + c."""
    digits, clothes = load_dataset("mnist"), load_dataset("fashion_mnist")
    parts = {}
    for split in SPLITS:
        one, other = getattr(digits, split), getattr(clothes, split)
        targets = torch.cat([one.targets, other.targets + CLASSES])
        parts[split] = Examples(torch.cat([one.values, other.values]), targets, one.scale)
    return Dataset("mnist-and-fashion", Task("softmax", 2 * CLASSES), **parts)


def _kept(task: str) -> bool:
    first, second = parse_task(task)
    return first // CLASSES == second // CLASSES or split_of(0, 1, task, HELD_OUT) == "train"


_MNIST = find_recipe("mnist-tasks-reversed")
PAIRS = replace(
    _MNIST,
    name="mnist-and-fashion-tasks-reversed",
    dataset="benchmarks.joined_pairs:mnist_and_fashion",
    axes={**_MNIST.axes, "task": [task for task in one_vs_one(2 * CLASSES, reversals=True) if _kept(task)]},
    held_out=HELD_OUT,
    description="",
    cost=None,
    expected="",
)

_SMALL = find_recipe("cifar100-against-last-small-reversed")
_CHOSEN = random.Random(0).sample(one_vs_one(100), 400)
CIFAR100_PAIRS = replace(
    _SMALL,
    name="cifar100-pairs-reversed",
    dataset="benchmarks.cifar_cuts:cifar100",
    axes={**_SMALL.axes, "task": [*_CHOSEN, *("-".join(task.split("-")[::-1]) for task in _CHOSEN)]},
    held_out=10,
    description="",
    cost=None,
    expected="",
)
