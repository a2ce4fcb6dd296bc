"""Zoos of MNIST MLPs as student projects in generative modelling of weights train them (Stanford CS236).

Members differ in initialization alone; deeper or wider; or in depth. The course has no fixed sizes: those below are
ours, chosen so that each zoo is one step away from the first.
"""

from __future__ import annotations

from dataclasses import replace

from zoo.recipes.axis import Axis
from zoo.recipes.recipe import Recipe

INITIALIZATIONS = Recipe(
    name="cs236-initialisations",
    dataset="mnist",
    axes={
        "hidden": (16,),
        "initialization": [
            "uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
        ],
    },
    epochs=5,
    snapshot_epochs=(0, 1, 2, 3, 4, 5),
    description="MLPs 784-16-10 (12 730 parameters) on MNIST that differ in initial distribution and seed.",
    cost=0.022,
    expected="test accuracy 94.1 ± 0.3 %, of 128 members",
)  # fmt: skip

DEEP = replace(
    INITIALIZATIONS,
    name="cs236-deep",
    axes={**INITIALIZATIONS.axes, "hidden": (16, 16, 16)},
    description="As cs236-initialisations, with three hidden layers: 784-16-16-16-10 (13 274 parameters).",
    cost=0.024,
    expected="test accuracy 94.2 ± 0.7 %, of 128 members: 94.6 % from the scaled distributions, 93.2 % from the plain "
    "ones",
)

WIDE = replace(
    INITIALIZATIONS,
    name="cs236-wide",
    axes={**INITIALIZATIONS.axes, "hidden": (64,)},
    description="As cs236-initialisations, with a wide hidden layer: 784-64-10 (50 890 parameters).",
    cost=0.091,
    expected="test accuracy 96.9 ± 0.1 %, of 64 members",
)

MIXED_DEPTHS = replace(
    INITIALIZATIONS,
    name="cs236-mixed-depths",
    axes={**INITIALIZATIONS.axes, "hidden": Axis(choices=((16,), (16, 16), (16, 16, 16)), level="member")},
    shard_members=16,
    description="As cs236-initialisations, with one, two or three hidden layers of 16 units: three layouts in one zoo, "
    "a third of the members each.",
    cost=0.022,
    expected="test accuracy 94.2 ± 0.5 %, of 192 members",
)
