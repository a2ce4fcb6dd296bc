"""What a recipe must be: found out when it is made, and before anything is trained on its data set."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import numpy as np

from zoo.architecture import ARCHITECTURES
from zoo.config import require
from zoo.data.class_tasks import parse_task
from zoo.data.examples import Dataset
from zoo.population import Member
from zoo.population.distributions import find_initialization
from zoo.population.optimizers import find_optimizer
from zoo.recipes.axis import LEVELS, Axis, Design

if TYPE_CHECKING:
    from zoo.recipes.recipe import Recipe

COUNTS = (
    "members", "batch_size", "epochs", "block_members", "shard_members", "window_members", "evaluation_examples",
)  # fmt: skip
# Fields of members that axes can be over; the others are the same for all, or the number of the member.
MEMBER_FIELDS = tuple(each.name for each in dataclasses.fields(Member) if each.name not in ("id", "batch_size"))
# What the function that builds an architecture is given besides its axes.
BUILT_WITH = ("input_shape", "classes")


def check_common(recipe: Recipe) -> None:
    """Raises a ``ValueError`` where something that is common to all members is not allowed."""
    for name in COUNTS:
        value = getattr(recipe, name)
        require(type(value) is int and value > 0, recipe, name, "a whole number, 1 or more")
    require(type(recipe.seed) is int and 0 <= recipe.seed < 2**63, recipe, "seed", "a whole number, 0 to 2**63 - 1")
    require(recipe.design in get_args(Design), recipe, "design", ", ".join(get_args(Design)))
    if recipe.normalize != ():
        allowed = "(mean, standard deviation), finite, the second above 0; or nothing"
        require(isinstance(recipe.normalize, tuple) and len(recipe.normalize) == 2, recipe, "normalize", allowed)
        values = list(recipe.normalize)
        numbers = all(type(value) in (int, float) and abs(value) < math.inf for value in values)
        require(numbers and values[1] > 0, recipe, "normalize", allowed)
    multiple = f"a multiple of block_members ({recipe.block_members})"
    require(recipe.shard_members % recipe.block_members == 0, recipe, "shard_members", multiple)
    epochs = recipe.snapshot_epochs
    require(
        isinstance(epochs, tuple)
        and all(type(epoch) is int and epoch >= 0 for epoch in epochs)
        and tuple(sorted(set(epochs))) == epochs
        and epochs[-1:] == (recipe.epochs,),
        recipe,
        "snapshot_epochs",
        f"increasing, from 0 or more to epochs ({recipe.epochs})",
    )
    for name in ("description", "expected"):
        require(isinstance(getattr(recipe, name), str), recipe, name, "a text")
    measured = type(recipe.cost) in (int, float) and 0 < (recipe.cost or 0) < math.inf
    require(recipe.cost is None or measured, recipe, "cost", "a number above 0, or nothing")
    require(isinstance(recipe.axes, Mapping), recipe, "axes", "a mapping from fields to axes")


def check_axes(recipe: Recipe) -> None:
    """Raises a ``ValueError`` where an axis is not allowed, by itself or beside the others."""
    for name, axis in recipe.axes.items():
        _check_level(recipe, name, axis)
        _check_given(recipe, name, axis)
    if recipe.architecture in ARCHITECTURES:  # one of the user's own is imported where it is needed, no earlier
        check_names(recipe)
    _check_values(recipe)
    if recipe.design == "grid":
        _check_grid(recipe)


def check_names(recipe: Recipe) -> None:
    """Raises a ``ValueError`` where an axis is over no field of members and no argument of their architecture."""
    parameters = inspect.signature(recipe.builder).parameters
    arguments = [name for name in parameters if name not in BUILT_WITH]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in recipe.architecture_axes:
        if name not in arguments and not takes_any:
            raise ValueError(
                f"Recipe.axes has {name!r}; allowed: fields of members ({', '.join(MEMBER_FIELDS)}), and arguments of "
                f"architecture {recipe.architecture!r} ({', '.join(arguments)})"
            )


def check_data(recipe: Recipe, data: Dataset) -> None:
    """Raises a ``ValueError`` where members cannot be trained on a data set, before any is.

    It may lack a class of a task or have too few examples for the subsets, its examples do not fit an architecture, or
    an optimizer or initial distribution of the user's own is not found.
    """
    check_names(recipe)
    for name in recipe.values_of("optimizer"):
        find_optimizer(name)
    for name in recipe.values_of("initialization"):
        find_initialization(name)
    tasks = recipe.values_of("task")
    for task in tasks:
        if task and any(label >= data.classes for label in parse_task(task)):
            _refuse("task", f"has {task!r}", f"classes 0 to {data.classes - 1}, as {data.name!r} has")
    size = max(recipe.values_of("subset_size"))
    if size:
        examples = min(_examples_of(data, task) for task in tasks)
        most, highest = examples // size, max(recipe.values_of("subset_index"))
        if highest >= most:
            allowed = f"0 to {most - 1}" if most else "no subset"
            why = f"since the training examples of {data.name!r} have {most} disjoint subsets of {size}"
            _refuse("subset_index", f"has {highest}", f"{allowed}, {why}")
    for arguments in dict.fromkeys(shard.arguments for shard in recipe.shards(0, recipe.members)):
        recipe.build(dict(arguments), data)


def _examples_of(data: Dataset, task: str) -> int:
    """How many training examples a task has."""
    if not task:
        return len(data.train)
    return int(np.bincount(data.train.targets.numpy(), minlength=data.classes)[list(parse_task(task))].sum())


def _check_level(recipe: Recipe, name: str, axis: Axis) -> None:
    """Raises where a value is drawn for what cannot have one of its own."""
    if name in MEMBER_FIELDS:
        if recipe.mixed and axis.level == "shard":
            _refuse(name, "has level 'shard'", "block or member where architectures are drawn for each member")
        return
    levels = {each.level for each in recipe.architecture_axes.values() if not each.constant}
    if not (levels <= {"shard"} or levels <= {"member"}):
        _refuse(name, f"has level {axis.level!r}", "shard, or else member for all that architectures differ in")


def _check_given(recipe: Recipe, name: str, axis: Axis) -> None:
    """Raises where an axis depends on one that there is not, on itself, or on one that is drawn more often."""
    others = recipe.architecture_axes | (recipe.member_axes if name in MEMBER_FIELDS else {})
    seen = [name]
    while axis.given:
        if axis.given not in others or axis.given in seen:
            left = ", ".join(other for other in others if other not in seen)
            _refuse(seen[-1], f"is given {axis.given!r}", left or "none, for there is no other axis")
        other = others[axis.given]
        if not other.constant and LEVELS.index(other.level) > LEVELS.index(axis.level):
            _refuse(
                seen[-1], f"has level {axis.level!r}", f"{other.level!r}, that of {axis.given!r}, which it is given"
            )
        seen.append(axis.given)
        axis = other


def _check_values(recipe: Recipe) -> None:
    """Raises where an axis has a value that members cannot have."""
    axes = {name: axis for name, axis in recipe.axes.items() if name in MEMBER_FIELDS}
    before: dict[str, Any] = {}  # what a field is allowed to be can depend on those before it
    for name in (name for name in MEMBER_FIELDS if name in axes):
        values = recipe.values_of(name)
        for value in values:
            _check_value(name, value, before)
        before.update({name: values[0]} if values else {})
    for axis in axes.values():
        for value in axis.cases if axis.given in MEMBER_FIELDS else ():
            _check_value(axis.given, value, {})
    if len({len(parse_task(task)) for task in recipe.values_of("task")}) > 1:
        _refuse("task", f"has {recipe.values_of('task')}", "tasks of equally many classes")
    if "subset_index" in recipe.axes:
        count = recipe.axes["subset_index"].count
        why = f"since there are {count} choices of subset_index, each for one block of {recipe.block_members}"
        most = count * recipe.block_members
        require(recipe.members <= most, recipe, "members", f"up to {most}, {why}")


def _check_value(name: str, value: Any, others: Mapping[str, Any]) -> None:
    try:
        Member(**{"id": 0, "seed": 0, **others, name: value})
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"Recipe.axes[{name!r}] has {value!r}: {error}") from error


def _check_grid(recipe: Recipe) -> None:
    """Raises where the combinations of all choices cannot be gone through."""
    require(not recipe.mixed, recipe, "design", "random where architectures are drawn for each member")
    for name, axis in recipe.axes.items():
        counts = sorted({variant.count for variant in axis.variants})
        if len(counts) > 1:
            _refuse(name, f"has {' and '.join(map(str, counts))} choices in its cases", "equally many in a grid")
    if recipe.member_axes["seed"].range:
        return
    combinations = math.prod(math.prod(factors.values()) for factors in recipe.factors.values())
    allowed = f"up to {combinations}, the combinations of the grid: with these seeds more would be the same again"
    require(recipe.members <= combinations, recipe, "members", allowed)
    within = math.prod(recipe.factors["member"].values())
    divisor = f"a divisor of {within}, the combinations within a block"
    require(within % recipe.block_members == 0, recipe, "block_members", divisor)


def _refuse(name: str, what: str, allowed: str) -> NoReturn:
    raise ValueError(f"Recipe.axes[{name!r}] {what}; allowed: {allowed}")
