"""Zoos of tasks: every member tells one class from one other, in the reversed zoos half of them with swapped labels.

After the task families that hypernetworks for weights are trained on, where the same images under swapped labels show
whether a network was generated for its task or is one for all. A task and its reversal lie in one split, so that
members of the test split have tasks that no training member has.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from zoo.recipes.recipe import Recipe


def one_vs_one(classes: int, *, reversals: bool = False) -> tuple[str, ...]:
    """All tasks of telling one class from one other: "0-1", "0-2" …, and with reversals "1-0", "2-0" … too."""
    pairs = itertools.permutations if reversals else itertools.combinations
    return tuple(f"{first}-{second}" for first, second in pairs(range(classes), 2))


DIGITS = Recipe(
    name="digits-tasks",
    dataset="digits",
    members=1440,
    tasks=one_vs_one(10),
    hidden=(8,),
    learning_rates=(3e-3, 3e-3),
    batch_size=16,
    epochs=20,
    snapshot_epochs=(0, 1, 5, 10, 20),
    block_members=8,
)
"""MLPs 64-8-2 (538 parameters) on the 45 pairs of digits, 32 members each.

Test accuracy 99.4 % with a standard deviation of 0.9 points; 15 seconds of one core.
"""

DIGITS_REVERSED = replace(DIGITS, name="digits-tasks-reversed", tasks=one_vs_one(10, reversals=True))
"""The same, half of the members with swapped labels: 90 tasks, 16 members each.

Test accuracy 99.3 % with a standard deviation of 2.0 points; 15 seconds of one core.
"""

MNIST = replace(
    DIGITS,
    name="mnist-tasks",
    dataset="mnist",
    learning_rates=(1e-3, 1e-3),
    batch_size=64,
    epochs=3,
    snapshot_epochs=(0, 1, 2, 3),
)
"""MLPs 784-8-2 (6 298 parameters) on the 45 pairs of MNIST's digits, 32 members each.

Test accuracy 98.7 % with a standard deviation of 1.0 point, of a cut of 128 members; about a minute of one core.
"""

MNIST_REVERSED = replace(MNIST, name="mnist-tasks-reversed", tasks=one_vs_one(10, reversals=True))
"""The same, half of the members with swapped labels: 90 tasks, 16 members each.

Test accuracy 99.1 % with a standard deviation of 0.5 points, of a cut of 128 members; about a minute of one core.
"""

F_MNIST = replace(MNIST, name="f-mnist-tasks", dataset="fashion_mnist")
"""MLPs 784-8-2 on the 45 pairs of Fashion-MNIST's classes, 32 members each.

Test accuracy 98.8 % with a standard deviation of 1.3 points, of a cut of 128 members; about a minute of one core.
"""

F_MNIST_REVERSED = replace(MNIST_REVERSED, name="f-mnist-tasks-reversed", dataset="fashion_mnist")
"""The same, half of the members with swapped labels: 90 tasks, 16 members each. Not run here."""
