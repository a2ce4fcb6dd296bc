"""Recipes: what generates a zoo. A recipe is data; members follow from it by counter-based streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.config import lookup
from zoo.recipes import cs236, hyper_representations, memorisation, mixed, ours, tasks, unterthiner
from zoo.recipes.axis import Axis
from zoo.recipes.imported import Imported
from zoo.recipes.ours import DIGITS_MLP_DIVERSE, DIGITS_MLP_SEEDS
from zoo.recipes.recipe import Recipe
from zoo.words import nearest, zooscale

__all__ = [
    "DIGITS_MLP_DIVERSE",
    "DIGITS_MLP_SEEDS",
    "RECIPES",
    "Axis",
    "Imported",
    "Recipe",
    "RecipeLike",
    "find_recipe",
    "recipe_from_json",
]

# What stands behind a zoo: a recipe, or a record of where it was imported from.
RecipeLike = Recipe | Imported

RECIPES: dict[str, Recipe] = {
    "digits-mlp-diverse": ours.DIGITS_MLP_DIVERSE,
    "digits-mlp-seeds": ours.DIGITS_MLP_SEEDS,
    "tetris-seeds": ours.TETRIS_SEEDS,
    "mnist-mlp-seeds": ours.MNIST_MLP_SEEDS,
    "mnist-mlp-diverse": ours.MNIST_MLP_DIVERSE,
    "cs236-initialisations": cs236.INITIALIZATIONS,
    "cs236-deep": cs236.DEEP,
    "cs236-wide": cs236.WIDE,
    "cs236-mixed-depths": cs236.MIXED_DEPTHS,
    "hr-tetris-seed": hyper_representations.TETRIS_SEED,
    "hr-tetris-hyp": hyper_representations.TETRIS_HYP,
    "hr-mnist-seed": hyper_representations.MNIST_SEED,
    "hr-f-mnist-seed": hyper_representations.F_MNIST_SEED,
    "hr-mnist-hyp-1-fix-seed": hyper_representations.MNIST_HYP_1_FIX_SEED,
    "hr-mnist-hyp-1-rand-seed": hyper_representations.MNIST_HYP_1_RAND_SEED,
    "hr-mnist-hyp-5-fix-seed": hyper_representations.MNIST_HYP_5_FIX_SEED,
    "hr-mnist-hyp-5-rand-seed": hyper_representations.MNIST_HYP_5_RAND_SEED,
    "unterthiner-mnist": unterthiner.MNIST,
    "unterthiner-f-mnist": unterthiner.F_MNIST,
    "unterthiner-svhn-gray": unterthiner.SVHN_GRAY,
    "unterthiner-cifar10-gray": unterthiner.CIFAR10_GRAY,
    "unterthiner-svhn": unterthiner.SVHN,
    "unterthiner-cifar10": unterthiner.CIFAR10,
    "mnist-memorise-1": memorisation.MNIST_1,
    "mnist-memorise-2": memorisation.MNIST_2,
    "f-mnist-memorise-1": memorisation.F_MNIST_1,
    "f-mnist-memorise-2": memorisation.F_MNIST_2,
    "digits-tasks": tasks.DIGITS,
    "digits-tasks-reversed": tasks.DIGITS_REVERSED,
    "mnist-tasks": tasks.MNIST,
    "mnist-tasks-reversed": tasks.MNIST_REVERSED,
    "f-mnist-tasks": tasks.F_MNIST,
    "f-mnist-tasks-reversed": tasks.F_MNIST_REVERSED,
    "digits-mlp-mixed": mixed.DIGITS_MLP,
    "mnist-mlp-mixed": mixed.MNIST_MLP,
    "mnist-cnn-mixed": mixed.MNIST_CNN,
}


def find_recipe(name: str) -> Recipe:
    """A recipe by its name in ``RECIPES``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such recipe; the message says where all are listed.
    """
    if name not in RECIPES and ":" not in name:
        raise ValueError(
            f"unknown recipe {name!r}; {nearest(name, RECIPES)}`{zooscale('recipes')}` lists all; module:attribute "
            "names one of your own"
        )
    recipe = lookup(RECIPES, name, "recipe")
    if not isinstance(recipe, Recipe):
        raise ValueError(f"recipe {name!r} is a {type(recipe).__name__}; it must be a zoo.recipes.Recipe")
    return recipe


def recipe_from_json(value: Mapping[str, Any]) -> RecipeLike:
    """What stands behind a zoo, from its manifest.

    Raises:
        ValueError: It is of an unknown kind, or a field is unknown, missing or not allowed.
    """
    kind = value.get("kind", "recipe")
    if kind == Imported.kind:
        return Imported.from_json(value)
    if kind != "recipe":
        raise ValueError(f"a zoo's recipe is of kind {kind!r}; allowed: recipe, {Imported.kind}")
    return Recipe.from_json({key: entry for key, entry in value.items() if key != "kind"})
