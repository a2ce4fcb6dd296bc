"""Zoos of depths with a snapshot after every epoch: what neurons do over training, from shallow to deep networks."""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.axis import Axis
from zoo.recipes.recipe import Recipe

DEEPEST, WIDTH, EPOCHS = 6, 16, 20

DIGITS = Recipe(
    name="digits-depths",
    dataset="digits",
    members=384,
    axes={
        "hidden": Axis(choices=tuple((WIDTH,) * depth for depth in range(1, DEEPEST + 1)), level="shard"),
        "learning_rate": 3e-3,
    },
    batch_size=32,
    epochs=EPOCHS,
    snapshot_epochs=tuple(range(EPOCHS + 1)),
    shard_members=16,
    block_members=1,
    description="MLPs 64-16-…-10 of one to six hidden layers of 16 units, a snapshot after every epoch.",
    cost=4e-4,
    expected="test accuracy 93.8 ± 1.7 %",
)

MNIST = replace(
    DIGITS,
    name="mnist-depths",
    dataset="mnist",
    axes={**DIGITS.axes, "learning_rate": 1e-3},
    batch_size=64,
    epochs=10,
    snapshot_epochs=tuple(range(11)),
    description="As digits-depths, on MNIST.",
    cost=None,
    expected="",
)

F_MNIST = replace(
    MNIST,
    name="f-mnist-depths",
    dataset="fashion_mnist",
    description="As digits-depths, on Fashion-MNIST.",
)
