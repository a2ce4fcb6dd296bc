"""Zoos of MNIST MLPs as student projects in generative modelling of weights train them (Stanford CS236).

Members differ in initialization alone; deeper or wider; or in depth. The course has no fixed sizes: those below are
ours, chosen so that each zoo is one step away from the first. Accuracies are those on test images, measured on cuts of
32 to 64 members; costs are CPU time of one core with evaluation.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.recipe import Recipe

INITIALIZATIONS = Recipe(
    name="cs236-initialisations",
    dataset="mnist",
    members=1000,
    hidden=(16,),
    initializations=(
        "uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
    ),
    epochs=5,
    snapshot_epochs=(0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""1 000 MLPs 784-16-10 (12 730 parameters) that differ in initial distribution and seed.

Accuracy 94.1 %, standard deviation 0.3 points; about 5 minutes.
"""

DEEP = replace(INITIALIZATIONS, name="cs236-deep", hidden=(16, 16, 16))
"""The same with three hidden layers, 784-16-16-16-10 (13 274 parameters).

Accuracy 94.1 %, standard deviation 0.8 points: 94.6 % from the scaled distributions, 93.2 % from the plain ones; about
6 minutes.
"""

WIDE = replace(INITIALIZATIONS, name="cs236-wide", hidden=(64,))
"""The same with a wide hidden layer, 784-64-10 (50 890 parameters).

Accuracy 96.9 %, standard deviation 0.1 points; about 20 minutes.
"""

MIXED_DEPTHS = replace(
    INITIALIZATIONS,
    name="cs236-mixed-depths",
    hidden=(),
    depths=(1, 2, 3),
    widths=(16,),
    shard_members=16,
)
"""The same with one, two or three hidden layers of 16 units: three layouts in one zoo, about a third of the members
each.

Accuracy 94.2 %, standard deviation 0.5 points, of a cut of 192 members; about 2 minutes.
"""
