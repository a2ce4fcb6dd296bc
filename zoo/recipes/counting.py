"""Zoos of networks that count: how many objects of one class are there in a scene?

After the third experiment of SuperNet. A task is a class to be counted, and its scenes are composed of real images
(``zoo.data.scenes``). A class of the test split is counted by no training network, though it occurs in their scenes.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.data.scenes import counting_tasks
from zoo.recipes.recipe import Recipe

DIGITS = Recipe(
    name="digits-counting",
    dataset="digits_scenes",
    members=160,
    architecture="cnn-strided",
    axes={
        "hidden": (16, 16),
        "dense": (16,),
        "average": True,
        "task": counting_tasks(10),
        "learning_rate": 1e-2,
    },
    batch_size=32,
    epochs=40,
    snapshot_epochs=(0, 1, 10, 40),
    block_members=4,
    held_out=40,
    shard_members=32,
    description="CNNs (7 172 parameters) that count, in scenes of up to nine digits, those of one class: 10 tasks, 16 "
    "members each.",
)

DIGITS_TURNED = replace(
    DIGITS,
    name="digits-turned-counting",
    dataset="digits_turned_scenes",
    members=320,
    axes={**DIGITS.axes, "task": counting_tasks(80)},
    description="As digits-counting, each digit in eight orientations, each of which is a class: 80 tasks, 4 members "
    "each.",
)

MNIST = replace(
    DIGITS,
    name="mnist-counting",
    dataset="mnist_scenes",
    epochs=20,
    snapshot_epochs=(0, 1, 5, 20),
    description="As digits-counting, in scenes of MNIST's digits at half their size.",
)

CIFAR100 = replace(
    DIGITS,
    name="cifar100-counting",
    dataset="cifar100_scenes",
    members=400,
    axes={**DIGITS.axes, "task": counting_tasks(100), "learning_rate": 3e-3},
    normalize=(0.5, 0.25),
    description="As digits-counting, in scenes of CIFAR-100's images at half their size: 100 tasks, 4 members each.",
)
