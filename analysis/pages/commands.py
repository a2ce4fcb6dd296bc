"""The commands that make a zoo again, with settings as the command line reads them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from zoo.exchange.generated import GENERATED
from zoo.recipes import RECIPES
from zoo.recipes.recipe import NOT_IDENTITY

# What can be set of an axis; its level and scale stay as they are.
SETTABLE = {"choices", "range", "level", "scale"}


def zoo_commands(recipe: Mapping[str, Any], members: int) -> list[str]:
    """The command that makes a zoo again, set where the recipe differs from the built-in one of its name.

    That an imported zoo is the same can be told by its source's hash; where the source lies nobody knows.
    """
    name = recipe["name"]
    if recipe.get("source_format") == GENERATED:
        return ["# made by a study of the zoo's store, which its column `imported` names", "zooscale make STUDY"]
    if recipe.get("kind") == "imported":
        options = f" --dataset {shlex.quote(recipe['dataset'])}" if recipe["dataset"] else ""
        epochs = ",".join(map(str, recipe["snapshot_epochs"]))
        return [
            f"# imported: SOURCE is the folder or file with content sha256 {recipe['source_sha256']};",
            "# --architecture as before, if there was one",
            f"zooscale import SOURCE --format {recipe['source_format']} --name {shlex.quote(name)} --epochs {epochs}"
            f"{options}",
        ]
    changed = _changes(recipe, RECIPES[name].to_json()) if name in RECIPES else None
    if changed is None:
        return [
            "# a recipe of the user's own, to be named as module:attribute; this is all that it says:",
            f"# {json.dumps(recipe)}",
            f"zooscale generate MODULE:ATTRIBUTE --members {members}",
        ]
    return [f"zooscale generate {name} --members {members}{settings(changed)}"]


def _changes(recipe: Mapping[str, Any], built_in: Mapping[str, Any]) -> dict[str, Any] | None:
    """What to set so that a built-in recipe becomes another; ``None`` where a command line cannot say it."""
    said = (*NOT_IDENTITY, "axes")
    changed = {field: value for field, value in recipe.items() if field not in said and value != built_in[field]}
    axes, before = recipe["axes"], built_in["axes"]
    if before.keys() - axes.keys():
        return None
    for field, axis in axes.items():
        if axis == before.get(field):
            continue
        kept = all(axis.get("level", level) == level for level in [before.get(field, axis).get("level")] if level)
        if not kept or field in recipe or not axis.keys() <= SETTABLE:
            return None
        changed[field] = _axis_text(axis)
    return changed


def _axis_text(axis: Mapping[str, Any]) -> str:
    """An axis as the command line reads it."""
    if "range" in axis:
        return "..".join(_text(end) for end in axis["range"])
    tuples = any(isinstance(choice, list) for choice in axis["choices"])
    return ("/" if tuples else ",").join(_text(choice) for choice in axis["choices"])


def settings(values: Mapping[str, Any]) -> str:
    """Each field as ``--set field=value``, as the command line reads it."""
    return "".join(f" --set {shlex.quote(f'{field}={_text(value)}')}" for field, value in values.items())


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_text(entry) for entry in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
