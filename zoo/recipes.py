"""Recipes: what generates a zoo. A recipe is data; members follow from it by counter-based streams."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from zoo.activations import ACTIVATIONS
from zoo.architecture import Architecture, mlp
from zoo.config import digest, lookup, require, to_json
from zoo.data.images import ImageData
from zoo.population import Member
from zoo.training.streams import Purpose, stream

ARCHITECTURES: dict[str, Callable[..., Architecture]] = {"mlp": mlp}

# For each tuple of choices, the field of a member that they are for.
CHOICES = {
    "initialisations": "initialisation",
    "optimizers": "optimizer",
    "weight_decays": "weight_decay",
    "dropouts": "dropout",
    "training_fractions": "training_fraction",
}
# Independent choices of one recipe are told apart by the stream's second counter.
SHARD, BLOCK, MEMBER = 0, 1, 2
# Plain gradient descent needs larger steps than the adaptive methods; the recipe's learning rates are theirs.
STEP_FACTOR = {"sgd": 100.0, "momentum": 10.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What generates a zoo; flat, stored as JSON, identified by its digest.

    A tuple of names or numbers is a set of equally likely choices. A range is (lowest, highest), drawn
    log-uniformly. Activation is drawn for each shard; optimizer, training fraction and minibatch order for each
    block of ``block_members``; everything else for each member. Member i is the same whatever the number of
    members.

    Attributes:
        name: Name of the recipe.
        dataset: A name in ``zoo.data.DATASETS`` or ``module:attribute``.
        members: How many members by default; not part of the identity.
        architecture: A name in ``ARCHITECTURES`` or ``module:attribute`` of a function with the signature of
            ``zoo.architecture.mlp``.
        hidden: Widths of the hidden layers.
        bias: Whether layers have biases.
        activations: Choices of activation.
        initialisations: Choices of initial distribution.
        init_scales: Range of the factor on initial weights.
        optimizers: Choices of optimizer.
        learning_rates: Range for adaptive optimizers; 10 times that for momentum, 100 times for SGD.
        weight_decays: Choices of weight decay.
        dropouts: Choices of dropout probability.
        training_fractions: Choices of the share of training images.
        batch_size: Examples a step.
        epochs: Length of training.
        snapshot_epochs: Epochs at whose end weights are stored; 0 is the initialisation.
        seed: Seed of everything.
        block_members: Members that share one minibatch order and training subset, and lie in one split.
        shard_members: Members of a shard; a multiple of ``block_members``.
        evaluation_examples: Training images on which training loss and accuracy are measured.
    """

    name: str
    dataset: str
    members: int
    architecture: str = "mlp"
    hidden: tuple[int, ...] = (16,)
    bias: bool = True
    activations: tuple[str, ...] = ("relu",)
    initialisations: tuple[str, ...] = ("kaiming_uniform",)
    init_scales: tuple[float, float] = (1.0, 1.0)
    optimizers: tuple[str, ...] = ("adam",)
    learning_rates: tuple[float, float] = (1e-3, 1e-3)
    weight_decays: tuple[float, ...] = (0.0,)
    dropouts: tuple[float, ...] = (0.0,)
    training_fractions: tuple[float, ...] = (1.0,)
    batch_size: int = 64
    epochs: int = 25
    snapshot_epochs: tuple[int, ...] = (0, 1, 2, 5, 10, 25)
    seed: int = 0
    block_members: int = 16
    shard_members: int = 64
    evaluation_examples: int = 10_000

    def __post_init__(self) -> None:
        for field in ("hidden", "activations", "snapshot_epochs", *CHOICES):
            require(isinstance(getattr(self, field), tuple), self, field, "a tuple (in JSON a list)")
            if field != "hidden":
                require(len(getattr(self, field)) > 0, self, field, "at least one choice")
        for field in ("members", "batch_size", "epochs", "block_members", "shard_members", "evaluation_examples"):
            value = getattr(self, field)
            require(type(value) is int and value > 0, self, field, "a whole number, 1 or more")
        require(type(self.seed) is int and 0 <= self.seed < 2**63, self, "seed", "a whole number, 0 to 2**63 - 1")
        for field in ("init_scales", "learning_rates"):
            allowed = "(low, high), 0 < low <= high, finite"
            low_high = getattr(self, field)
            require(isinstance(low_high, tuple) and len(low_high) == 2, self, field, allowed)
            require(all(type(value) in (int, float) for value in low_high), self, field, allowed)
            require(0 < low_high[0] <= low_high[1] < math.inf, self, field, allowed)
        require(
            all(type(width) is int and width > 0 for width in self.hidden), self, "hidden", "whole numbers, 1 or more"
        )
        require(
            all(name in ACTIVATIONS for name in self.activations), self, "activations", f"of {', '.join(ACTIVATIONS)}"
        )
        for field, member_field in CHOICES.items():
            for choice in getattr(self, field):
                try:
                    Member(id=0, seed=0, **{member_field: choice})
                except (TypeError, ValueError) as error:
                    raise ValueError(f"Recipe.{field} is {getattr(self, field)!r}: {error}") from error
        require(
            self.shard_members % self.block_members == 0,
            self,
            "shard_members",
            f"a multiple of block_members ({self.block_members})",
        )
        require(
            all(type(epoch) is int and epoch >= 0 for epoch in self.snapshot_epochs)
            and tuple(sorted(set(self.snapshot_epochs))) == self.snapshot_epochs
            and self.snapshot_epochs[-1] == self.epochs,
            self,
            "snapshot_epochs",
            f"increasing, from 0 or more to epochs ({self.epochs})",
        )

    def identity(self) -> dict[str, object]:
        """The recipe as JSON without the number of members, which an extension changes."""
        value: dict[str, object] = to_json(self)
        del value["members"]
        return value

    def digest(self, dataset_sha256: str) -> str:
        """Identity of the zoo that the recipe makes of a data set with this content hash."""
        return digest({"recipe": self.identity(), "dataset_sha256": dataset_sha256})

    def shard_architecture(self, shard: int, data: ImageData) -> Architecture:
        """The one architecture of a shard.

        Shards go through the activations in rounds, each round in its own random order, so that every
        activation has its share from the first few shards on.
        """
        turn, place = divmod(shard, len(self.activations))
        order = stream(Purpose.RECIPE, self.seed, SHARD, turn).permutation(len(self.activations))
        build = lookup(ARCHITECTURES, self.architecture, "architecture")
        architecture: Architecture = build(
            data.input_shape,
            self.hidden,
            data.classes,
            activation=self.activations[order[place]],
            bias=self.bias,
        )
        return architecture

    def member(self, index: int) -> Member:
        """Member ``index``: a function of the recipe and the index alone."""
        block = index // self.block_members
        of_block = stream(Purpose.RECIPE, self.seed, BLOCK, block)
        optimizer = self.optimizers[of_block.integers(len(self.optimizers))]
        fraction = self.training_fractions[of_block.integers(len(self.training_fractions))]
        block_seed = int(of_block.integers(2**63))
        of_member = stream(Purpose.RECIPE, self.seed, MEMBER, index)
        rate = _log_uniform(of_member, self.learning_rates) * STEP_FACTOR.get(optimizer, 1.0)
        return Member(
            id=index,
            optimizer=optimizer,
            training_fraction=fraction,
            order_seed=block_seed,
            subset_seed=block_seed,
            learning_rate=rate,
            init_scale=_log_uniform(of_member, self.init_scales),
            initialisation=self.initialisations[of_member.integers(len(self.initialisations))],
            weight_decay=self.weight_decays[of_member.integers(len(self.weight_decays))],
            dropout=self.dropouts[of_member.integers(len(self.dropouts))],
            seed=int(of_member.integers(2**63)),
            batch_size=self.batch_size,
        )


def _log_uniform(generator: np.random.Generator, low_high: tuple[float, float]) -> float:
    """A log-uniform draw, rounded to 6 digits so that it prints and stores the same everywhere."""
    low, high = low_high
    return float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.6g}")


DIGITS_MLP_SEEDS = Recipe(
    name="digits-mlp-seeds",
    dataset="digits",
    members=1000,
    batch_size=32,
    learning_rates=(3e-3, 3e-3),
    epochs=50,
    snapshot_epochs=(0, 5, 10, 25, 50),
)
"""MLPs 64-16-10 that differ in their seed alone: test accuracy 96.3 % with a standard deviation of 0.5 points."""

DIVERSE = {
    "activations": ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"),
    "initialisations": (
        "uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
    ),
    "init_scales": (0.5, 2.0),
    "optimizers": ("sgd", "momentum", "adam", "adamw", "rmsprop"),
    "learning_rates": (1e-3, 1e-2),
    "weight_decays": (0.0, 1e-4, 1e-3),
    "dropouts": (0.0, 0.1, 0.3),
    "training_fractions": (0.25, 0.5, 1.0),
}  # fmt: skip

DIGITS_MLP_DIVERSE = Recipe(
    name="digits-mlp-diverse",
    dataset="digits",
    members=2000,
    batch_size=32,
    epochs=60,
    snapshot_epochs=(0, 8, 15, 30, 60),
    **DIVERSE,  # type: ignore[arg-type]
)
"""MLPs 64-16-10 that differ in everything; the zoo of the demo.

About 30 s of one core. Test accuracy after 60 epochs 93 % with a standard deviation of 6 points; over one snapshot
a member, 86 % and 15 points, and two members agree on 78 % of the test images.
"""

TETRIS_SEEDS = Recipe(
    name="tetris-seeds",
    dataset="tetris",
    members=1000,
    hidden=(5,),
    bias=False,
    activations=("tanh",),
    batch_size=32,
    learning_rates=(1e-2, 1e-2),
    epochs=75,
    snapshot_epochs=(0, 1, 2, 5, 10, 25, 50, 75),
)
"""MLPs 16-5-4 without biases, 100 parameters, that differ in their seed: after Schürholt et al. (2021), section 4.

Shapes appear anywhere in the square, so five hidden units reach a test accuracy of 63 %.
"""

MNIST_MLP_SEEDS = Recipe(
    name="mnist-mlp-seeds",
    dataset="mnist",
    members=1000,
    hidden=(8,),
    epochs=5,
    snapshot_epochs=(0, 1, 2, 3, 4, 5),
    shard_members=128,
)
"""MLPs 784-8-10 on MNIST that differ in their seed alone."""

MNIST_MLP_DIVERSE = replace(
    MNIST_MLP_SEEDS,
    name="mnist-mlp-diverse",
    members=2000,
    epochs=3,
    snapshot_epochs=(1, 2, 3),
    shard_members=64,
    **DIVERSE,  # type: ignore[arg-type]
)
"""MLPs 784-8-10 on MNIST that differ in everything.

Over one snapshot a member, test accuracy is 85 % with a standard deviation of 11 points, and two members agree on
82 % of the test images. About 2 minutes of one core.
"""

RECIPES: dict[str, Recipe] = {
    "digits-mlp-diverse": DIGITS_MLP_DIVERSE,
    "digits-mlp-seeds": DIGITS_MLP_SEEDS,
    "tetris-seeds": TETRIS_SEEDS,
    "mnist-mlp-seeds": MNIST_MLP_SEEDS,
    "mnist-mlp-diverse": MNIST_MLP_DIVERSE,
}


def find_recipe(name: str) -> Recipe:
    """A recipe by its name in ``RECIPES``, or the user's own by ``module:attribute``."""
    recipe = lookup(RECIPES, name, "recipe")
    if not isinstance(recipe, Recipe):
        raise ValueError(f"recipe {name!r} is a {type(recipe).__name__}; it must be a zoo.recipes.Recipe")
    return recipe
