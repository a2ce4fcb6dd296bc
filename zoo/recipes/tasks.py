"""Zoos of tasks: every member tells one class from one other, in the reversed zoos half of them with swapped labels.

After the task families that hypernetworks for weights are trained on, where the same images under swapped labels show
whether a network was generated for its task or is one for all. A task and its reversal lie in one split, so that
members of the test split have tasks that no training member has.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.data.class_tasks import one_vs_last, one_vs_one
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

# SuperNet's tasks: a class of CIFAR-100 against the last one, "class i against class 100" counted from one. Its network
# has 37 165 weights with one output; ours has an output for each of the two classes, and 101 weights more.
CIFAR100_AGAINST_LAST = Recipe(
    name="cifar100-against-last",
    dataset="cifar100",
    members=396,
    architecture="cnn-strided",
    axes={
        "hidden": (16, 16, 16, 16),
        "dense": (100, 100),
        "task": one_vs_last(100),
        "learning_rate": 1e-3,
    },
    normalize=(0.5, 0.25),
    batch_size=32,
    epochs=10,
    snapshot_epochs=(0, 1, 10),
    block_members=4,
    held_out=52,
    shard_members=32,
    description="CNNs of 37 266 parameters on 99 tasks: a class of CIFAR-100 against the last, 4 members each; 26 "
    "of them are held out for validation, 24 for tests.",
)

CIFAR100_AGAINST_LAST_REVERSED = replace(
    CIFAR100_AGAINST_LAST,
    name="cifar100-against-last-reversed",
    members=792,
    axes={**CIFAR100_AGAINST_LAST.axes, "task": one_vs_last(100, reversals=True)},
    description="As cifar100-against-last with both orders of the labels: 198 tasks, more than one network can solve.",
)

CIFAR100_AGAINST_LAST_SMALL = replace(
    CIFAR100_AGAINST_LAST,
    name="cifar100-against-last-small",
    axes={**CIFAR100_AGAINST_LAST.axes, "hidden": (8, 8, 8), "dense": (16,)},
    description="As cifar100-against-last, CNNs of 5 922 parameters.",
)

CIFAR100_AGAINST_LAST_SMALL_REVERSED = replace(
    CIFAR100_AGAINST_LAST_SMALL,
    name="cifar100-against-last-small-reversed",
    members=792,
    axes={**CIFAR100_AGAINST_LAST_SMALL.axes, "task": one_vs_last(100, reversals=True)},
    description="As cifar100-against-last-small with both orders of the labels: 198 tasks.",
)
