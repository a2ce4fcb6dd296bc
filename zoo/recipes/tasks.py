"""Zoos of tasks: every member tells one class from one other, in the reversed zoos half of them with swapped labels.

After the task families that hypernetworks for weights are trained on, where the same images under swapped labels show
whether a network was generated for its task or is one for all. A task and its reversal lie in one split, so that
members of the test split have tasks that no training member has.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.data.class_tasks import one_vs_one
from zoo.recipes.recipe import Recipe

DIGITS = Recipe(
    name="digits-tasks",
    dataset="digits",
    members=1440,
    axes={"hidden": (8,), "task": one_vs_one(10), "learning_rate": 3e-3},
    batch_size=16,
    epochs=20,
    snapshot_epochs=(0, 1, 5, 10, 20),
    block_members=8,
    description="MLPs 64-8-2 (538 parameters) on the 45 pairs of digits, 32 members each.",
    cost=4.6e-5,
    expected="test accuracy 99.4 ± 0.9 %",
)

DIGITS_REVERSED = replace(
    DIGITS,
    name="digits-tasks-reversed",
    axes={**DIGITS.axes, "task": one_vs_one(10, reversals=True)},
    description="As digits-tasks, half of the members with swapped labels: 90 tasks, 16 members each.",
    expected="test accuracy 99.4 ± 0.9 %",
)

MNIST = replace(
    DIGITS,
    name="mnist-tasks",
    dataset="mnist",
    axes={**DIGITS.axes, "learning_rate": 1e-3},
    batch_size=64,
    epochs=3,
    snapshot_epochs=(0, 1, 2, 3),
    description="MLPs 784-8-2 (6 298 parameters) on the 45 pairs of MNIST's digits, 32 members each.",
    cost=0.014,
    expected="test accuracy 98.7 ± 1.0 %, of 128 members",
)

MNIST_REVERSED = replace(
    MNIST,
    name="mnist-tasks-reversed",
    axes={**MNIST.axes, "task": one_vs_one(10, reversals=True)},
    description="As mnist-tasks, half of the members with swapped labels: 90 tasks, 16 members each.",
    expected="test accuracy 99.1 ± 0.5 %, of 128 members",
)

F_MNIST = replace(
    MNIST,
    name="f-mnist-tasks",
    dataset="fashion_mnist",
    description="As mnist-tasks, on the 45 pairs of Fashion-MNIST's classes.",
    expected="test accuracy 98.8 ± 1.3 %, of 128 members",
)

F_MNIST_REVERSED = replace(
    MNIST_REVERSED,
    name="f-mnist-tasks-reversed",
    dataset="fashion_mnist",
    description="As f-mnist-tasks, half of the members with swapped labels: 90 tasks, 16 members each.",
    expected="",
)
