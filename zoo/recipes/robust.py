"""Zoos of networks that were trained to withstand noise and adversaries: every combination, as many members of each.

A grid of weight noise on a random share of the neurons (as in ``zoo.training.weight_noise``) and of adversarial
training (``zoo.training.adversary``): neither, one of them, both. The members of a block share the order of their
examples, so the four are compared on equal terms; ``zooscale analyze --by weight_noise,adversarial_epsilon`` tells what
each withstands.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.recipe import Recipe

DIGITS_ROBUST = Recipe(
    name="digits-robust",
    dataset="digits",
    members=256,
    axes={
        "hidden": (32,),
        "learning_rate": 3e-3,
        "weight_noise": [0.0, 0.5],
        "weight_noise_share": 0.25,
        "adversarial_epsilon": [0.0, 0.1],
        "adversarial_steps": 5,
    },
    design="grid",
    batch_size=32,
    epochs=30,
    snapshot_epochs=(0, 10, 30),
    block_members=16,
    shard_members=64,
    description="MLPs 64-32-10 (2 410 parameters): trained as ever, with noise on the weights of random neurons, on "
    "adversarial examples (PGD, ε = 0.1), or with both.",
    expected="on 256 test images, accuracy 96.6, 96.6, 96.1 and 95.2 %; under PGD at ε = 0.1 37, 40, 70 and 69 %",
)

F_MNIST_ROBUST = replace(
    DIGITS_ROBUST,
    name="f-mnist-robust",
    dataset="fashion_mnist",
    axes={
        **DIGITS_ROBUST.axes,
        "hidden": (64,),  # adversarial training of networks with 32 units ends where all have one answer
        "learning_rate": 1e-3,
        "adversarial_epsilon": [0.0, 0.05],
        "adversarial_steps": 1,
    },
    batch_size=64,
    epochs=3,
    snapshot_epochs=(0, 1, 3),
    description="MLPs 784-64-10 (50 890 parameters) on Fashion-MNIST: trained as ever, with noise on the weights of "
    "random neurons, on adversarial examples (FGSM, ε = 0.05), or with both.",
    expected="with a quarter of the training images accuracy 83.6, 83.4, 77.3 and 74.1 % on 1 000 test images; under "
    "PGD at ε = 0.05 37, 41, 68 and 64 %",
)

CIFAR10_ROBUST = replace(
    DIGITS_ROBUST,
    name="cifar10-robust",
    dataset="cifar10",
    architecture="cnn-strided",
    axes={
        **DIGITS_ROBUST.axes,
        "hidden": (8, 16),
        "kernel": 3,
        "learning_rate": 2e-3,
        "adversarial_epsilon": [0.0, 0.015],
        "adversarial_steps": 1,
    },
    normalize=(0.5, 0.25),  # without it adversarial training hardly begins to learn
    batch_size=64,
    epochs=6,
    snapshot_epochs=(0, 2, 6),
    description="CNNs of two convolutions with 8 and 16 channels (11 642 parameters) on CIFAR-10: trained as ever, with"
    " noise on the weights of random neurons, on adversarial examples (FGSM, ε = 0.015, about 4 of 255), or with both.",
    expected="with 8 000 training images accuracy 46.8, 45.1, 36.2 and 29.7 % on 2 000 test images; under PGD at "
    "ε = 0.004 13, 15, 33 and 29 %, at 0.015 0, 0, 26 and 24 %",
)
