"""Small zoos of MLPs that run anywhere in seconds or minutes: seeds alone, and everything varied."""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.axis import Axis
from zoo.recipes.recipe import Recipe

DIGITS_MLP_SEEDS = Recipe(
    name="digits-mlp-seeds",
    dataset="digits",
    axes={"hidden": (16,), "learning_rate": 3e-3},
    batch_size=32,
    epochs=50,
    snapshot_epochs=(0, 5, 10, 25, 50),
    description="MLPs 64-16-10 (1 210 parameters) that differ in their seed alone.",
    cost=7e-5,
    expected="test accuracy 96.3 ± 0.5 %",
)

DIVERSE = {
    "activation": ["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"],
    "initialization": [
        "uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
    ],
    "init_scale": Axis(range=(0.5, 2.0)),
    "optimizer": ["sgd", "momentum", "adam", "adamw", "rmsprop"],
    # Plain gradient descent needs larger steps than the adaptive methods.
    "learning_rate": Axis(
        range=(1e-3, 1e-2),
        given="optimizer",
        cases={"sgd": Axis(range=(0.1, 1.0)), "momentum": Axis(range=(1e-2, 0.1))},
    ),
    "weight_decay": [0.0, 1e-4, 1e-3],
    "dropout": [0.0, 0.1, 0.3],
    "training_fraction": [0.25, 0.5, 1.0],
}  # fmt: skip

DIGITS_MLP_DIVERSE = Recipe(
    name="digits-mlp-diverse",
    dataset="digits",
    members=2000,
    axes={"hidden": (16,), **DIVERSE},
    batch_size=32,
    epochs=60,
    snapshot_epochs=(0, 8, 15, 30, 60),
    description="MLPs 64-16-10 (1 210 parameters) that differ in everything; the zoo of the demo.",
    cost=4.4e-5,
    expected="test accuracy 92.9 ± 4.2 %; over one snapshot a member 85 ± 15 %, and two members agree on 79 % of the "
    "test images",
)

TETRIS_SEEDS = Recipe(
    name="tetris-seeds",
    dataset="tetris",
    axes={"hidden": (5,), "bias": False, "activation": "tanh", "learning_rate": 1e-2},
    batch_size=32,
    epochs=75,
    snapshot_epochs=(0, 1, 2, 5, 10, 25, 50, 75),
    description="MLPs 16-5-4 without biases (100 parameters) that differ in their seed: after Schürholt et al. (2021), "
    "section 4. Shapes appear anywhere in the square, so five hidden units cannot tell all of them.",
    cost=3.4e-5,
    expected="test accuracy 62.9 ± 3.4 %",
)

MNIST_MLP_SEEDS = Recipe(
    name="mnist-mlp-seeds",
    dataset="mnist",
    axes={"hidden": (8,)},
    epochs=5,
    snapshot_epochs=(0, 1, 2, 3, 4, 5),
    shard_members=128,
    description="MLPs 784-8-10 (6 370 parameters) on MNIST that differ in their seed alone.",
    cost=0.013,
    expected="test accuracy 91.8 ± 0.4 %, of 128 members",
)

MNIST_MLP_DEEP_SEEDS = replace(
    MNIST_MLP_SEEDS,
    name="mnist-mlp-deep-seeds",
    axes={"hidden": (32, 32)},
    snapshot_epochs=(0, 5),
    description="As mnist-mlp-seeds, 784-32-32-10 (26 506 parameters): networks of which generators of weights are "
    "often fitted.",
    cost=None,
    expected="test accuracy 96.3 ± 0.2 %, of 256 members",
)

MNIST_MLP_DIVERSE = replace(
    MNIST_MLP_SEEDS,
    name="mnist-mlp-diverse",
    members=2000,
    axes={"hidden": (8,), **DIVERSE},
    epochs=3,
    snapshot_epochs=(1, 2, 3),
    shard_members=64,
    description="MLPs 784-8-10 (6 370 parameters) on MNIST that differ in everything.",
    cost=0.0087,
    expected="over one snapshot a member, test accuracy 85 ± 11 %, and two members agree on 82 % of the test images",
)
