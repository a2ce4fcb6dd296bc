"""Zoos of several architectures: depth, width, kernel and activation differ, and with them the number of parameters.

Each member has an architecture and a minibatch order of its own, but in the zoo of MLPs and CNNs, where sixteen have.
Members of one architecture lie together in shards of up to 16. Read such a zoo with ``Zoo.populations``, one population
for each layout.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.axis import Axis
from zoo.recipes.ours import DIVERSE
from zoo.recipes.recipe import Recipe

DIGITS_MLP = Recipe(
    name="digits-mlp-mixed",
    dataset="digits",
    members=1024,
    axes={
        "hidden": Axis(choices=(8, 16, 32), lengths=(1, 2, 3), level="member"),
        "activation": Axis(choices=("relu", "tanh", "gelu"), level="member"),
        "learning_rate": Axis(range=(1e-3, 1e-2)),
    },
    batch_size=32,
    epochs=25,
    snapshot_epochs=(0, 5, 10, 25),
    block_members=1,
    shard_members=16,
    description="MLPs of one to three hidden layers of 8, 16 or 32 units: up to 39 layouts of 610 to 4 522 parameters.",
    cost=2.9e-4,
    expected="test accuracy 94.3 ± 3.1 %",
)

MNIST_MLP = replace(
    DIGITS_MLP,
    name="mnist-mlp-mixed",
    dataset="mnist",
    batch_size=64,
    epochs=3,
    snapshot_epochs=(0, 1, 2, 3),
    description="MLPs of one to three hidden layers of 8, 16 or 32 units on MNIST: 6 370 to 27 562 parameters.",
    cost=0.081,
    expected="test accuracy 93.0 ± 2.2 %, of 256 members",
)

MNIST_CNN = replace(
    MNIST_MLP,
    name="mnist-cnn-mixed",
    architecture="cnn",
    axes={
        **MNIST_MLP.axes,
        "hidden": Axis(choices=(4, 8), lengths=(1, 2, 3), level="member"),
        "kernel": Axis(choices=(3, 5), level="member"),
    },
    description="CNNs of one to three convolutions of 4 or 8 channels and of size 3 or 5, a pool after each, on MNIST.",
    cost=0.77,
    expected="test accuracy 97.0 ± 1.3 %, of 128 members",
)

DIGITS_BOTH = Recipe(
    name="digits-mlp-cnn-mixed",
    dataset="digits",
    members=1024,
    architecture="mlp-or-cnn",
    axes={
        **DIVERSE,
        "kind": Axis(choices=("mlp", "cnn"), level="shard"),
        "hidden": Axis(choices=((16,), (16, 16)), given="kind", cases={"cnn": Axis(choices=((4, 8),))}),
    },
    batch_size=32,
    epochs=60,
    snapshot_epochs=(0, 8, 15, 30, 60),
    shard_members=16,
    description="MLPs of one or two hidden layers of 16 units and CNNs of two convolutions of 4 and 8 channels, that "
    "differ in everything like digits-mlp-diverse: three layouts of 666 to 1 482 parameters.",
    cost=None,
    expected="",
)
