"""Recipes: what generates a zoo. A recipe is data; members follow from it by counter-based streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.config import lookup
from zoo.recipes import (
    counting,
    cs236,
    depths,
    hyper_representations,
    memorisation,
    mixed,
    ours,
    robust,
    tasks,
    unterthiner,
)
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

_MODULES = (ours, cs236, depths, hyper_representations, unterthiner, memorisation, tasks, counting, robust, mixed)

# All that these modules define, in their order.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for module in _MODULES for recipe in vars(module).values() if isinstance(recipe, Recipe)
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
