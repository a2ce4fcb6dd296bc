"""What the axes of a recipe must be, by themselves and beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from inspect import Parameter
from typing import Any, NoReturn

from zoo.data.class_tasks import parse_task
from zoo.population import Member
from zoo.recipes.axis import LEVELS, Axis
from zoo.recipes.drawing import MEMBER_FIELDS, Drawing

# Drawing so many architectures takes a quarter of a minute.
MOST_MIXED = 1_000_000


def check_axes(drawing: Drawing) -> None:
    """Raises a ``ValueError`` where an axis is not allowed, by itself or beside the others."""
    for name, axis in drawing.axes.items():
        _check_level(drawing, name, axis)
        _check_given(drawing, name, axis)
    _check_values({name: axis for name, axis in drawing.axes.items() if name in MEMBER_FIELDS})
    if drawing.design == "grid":
        _check_grid(drawing)


def check_names(drawing: Drawing, architecture: str, arguments: Mapping[str, Any]) -> None:
    """Raises a ``ValueError`` where an axis is over nothing that there is, or one is lacking.

    Args:
        drawing: With the axes.
        architecture: Name of the function that builds architectures.
        arguments: What axes can give it, with its defaults.
    """
    for name in drawing.architecture_axes:
        if name not in arguments:
            raise ValueError(
                f"Recipe.axes has {name!r}; allowed: fields of members ({', '.join(MEMBER_FIELDS)}), and arguments of "
                f"architecture {architecture!r} ({', '.join(arguments)})"
            )

    for name, default in arguments.items():
        if default is Parameter.empty and name not in drawing.axes:
            raise ValueError(f"Recipe.axes lacks {name!r}, which architecture {architecture!r} cannot do without")


def check_members(drawing: Drawing, members: int) -> None:
    """Raises a ``ValueError`` where members would be the same again, or share a subset that each has of its own."""
    most, why = math.inf, ""
    if drawing.mixed:
        most, why = MOST_MIXED, "since the architecture of each must be drawn before the first is trained"
    if "subset_index" in drawing.axes:
        count = drawing.axes["subset_index"].count
        most = count * drawing.block_members
        why = f"since there are {count} choices of subset_index, each for one block of {drawing.block_members}"
    if drawing.design == "grid" and not drawing.member_axes["seed"].range:
        combinations = math.prod(math.prod(factors.values()) for factors in drawing.factors.values())
        if combinations < most:
            most = combinations
            why = "the combinations of the grid: with these seeds more would be the same again"
        within = math.prod(drawing.factors["member"].values())
        if within % drawing.block_members:
            raise ValueError(
                f"Recipe.block_members is {drawing.block_members}; allowed: a divisor of {within}, the combinations "
                "within a block"
            )
    if members > most:
        raise ValueError(f"Recipe.members is {members}; allowed: up to {most}, {why}")


def refuse(name: str, what: str, allowed: str) -> NoReturn:
    """Raises a ``ValueError`` that says what of an axis is not allowed, and what is."""
    raise ValueError(f"Recipe.axes[{name!r}] {what}; allowed: {allowed}")


def _check_level(drawing: Drawing, name: str, axis: Axis) -> None:
    """Raises where a value is drawn for what cannot have one of its own."""
    if name in MEMBER_FIELDS:
        if drawing.mixed and axis.level == "shard":
            refuse(name, "has level 'shard'", "block or member where architectures are drawn for each member")
        return
    levels = {each.level for each in drawing.architecture_axes.values() if not each.constant}
    if not (levels <= {"shard"} or levels <= {"member"}):
        refuse(name, f"has level {axis.level!r}", "shard, or else member for all that architectures differ in")


def _check_given(drawing: Drawing, name: str, axis: Axis) -> None:
    """Raises where an axis depends on one that there is not, on itself, or on one that is drawn more often."""
    others = drawing.architecture_axes | (drawing.member_axes if name in MEMBER_FIELDS else {})
    seen = [name]
    while axis.given:
        if axis.given not in others or axis.given in seen:
            left = ", ".join(other for other in others if other not in seen)
            refuse(seen[-1], f"is given {axis.given!r}", left or "none, for there is no other axis")
        other = others[axis.given]
        if not other.constant and LEVELS.index(other.level) > LEVELS.index(axis.level):
            refuse(seen[-1], f"has level {axis.level!r}", f"{other.level!r}, that of {axis.given!r}, which it is given")
        seen.append(axis.given)
        axis = other


def _check_values(axes: Mapping[str, Axis]) -> None:
    """Raises where an axis has a value that members cannot have."""
    before: dict[str, Any] = {}  # what a field is allowed to be can depend on those before it
    for name in (name for name in MEMBER_FIELDS if name in axes):
        values = axes[name].all_values
        for value in values:
            _check_value(name, value, before)
        before.update({name: values[0]} if values else {})
    for axis in axes.values():
        for value in axis.cases if axis.given in MEMBER_FIELDS else ():
            _check_value(axis.given, value, {})
    tasks = axes["task"].all_values if "task" in axes else ()
    if len({len(parse_task(task)) for task in tasks}) > 1:
        refuse("task", f"has {tasks}", "tasks of equally many classes")


def _check_value(name: str, value: Any, others: Mapping[str, Any]) -> None:
    try:
        Member(**{"id": 0, "seed": 0, **others, name: value})
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"Recipe.axes[{name!r}] has {value!r}: {error}") from error


def _check_grid(drawing: Drawing) -> None:
    """Raises where the combinations of all choices cannot be gone through."""
    if drawing.mixed:
        raise ValueError("Recipe.design is 'grid'; allowed: random where architectures are drawn for each member")
    for name, axis in drawing.axes.items():
        counts = sorted({variant.count for variant in axis.variants})
        if len(counts) > 1:
            refuse(name, f"has {' and '.join(map(str, counts))} choices in its cases", "equally many in a grid")
