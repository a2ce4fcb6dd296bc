"""Zoos of memorisers: every member fits a small set of images of its own, which no other member has.

After Zhang et al., "Understanding deep learning requires rethinking generalization" (ICLR 2017), in the small: what a
network's weights say of the images that it was trained on. The columns ``subset_index`` and ``subset`` say which images
those are. ``train_accuracy`` is what a member has memorised, measured on its own images, and ``validation_accuracy``
and ``test_accuracy`` are what it knows of others.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.recipe import Recipe

MNIST_1 = Recipe(
    name="mnist-memorise-1",
    dataset="mnist",
    members=544,
    axes={
        "hidden": (32,),
        # One division of the training images for all, of which each member has its own piece.
        "subset_seed": 0,
        "subset_size": 100,
        "subset_index": list(range(550)),
        "learning_rate": 3e-3,
    },
    batch_size=20,
    epochs=60,
    snapshot_epochs=(0, 1, 5, 10, 20, 40, 60),
    block_members=1,
    shard_members=32,
    description="MLPs 784-32-10 (25 450 parameters), each trained on 100 of MNIST's images that no other has; 550 is "
    "the most that there can be.",
    cost=8.9e-4,
    expected="memorised 100 %, test accuracy 72.5 ± 2.1 %, of 64 members",
)

MNIST_2 = replace(
    MNIST_1,
    name="mnist-memorise-2",
    axes={**MNIST_1.axes, "hidden": (32, 32)},
    description="As mnist-memorise-1, with two hidden layers: 784-32-32-10 (26 506 parameters).",
    expected="memorised 100 %, test accuracy 71.2 ± 2.3 %, of 64 members",
)

F_MNIST_1 = replace(
    MNIST_1,
    name="f-mnist-memorise-1",
    dataset="fashion_mnist",
    description="As mnist-memorise-1, on Fashion-MNIST.",
    expected="memorised 100 %, test accuracy 68.0 ± 1.9 %, of 64 members",
)

F_MNIST_2 = replace(
    MNIST_2,
    name="f-mnist-memorise-2",
    dataset="fashion_mnist",
    description="As mnist-memorise-2, on Fashion-MNIST.",
    expected="memorised 100 %, test accuracy 67.6 ± 1.9 %, of 64 members",
)
