"""How members follow from a recipe: counter-based draws, each a function of the recipe and a number alone."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zoo.population import Member
from zoo.streams import Purpose, stream

if TYPE_CHECKING:
    from zoo.recipes.recipe import Recipe

# Plain gradient descent needs larger steps than the adaptive methods.
STEP_FACTOR = {"sgd": 100.0, "momentum": 10.0}

T = TypeVar("T")


class Draw(IntEnum):
    """What is drawn: independent draws of one recipe are told apart by the stream's second counter."""

    ACTIVATION = 0
    BLOCK = 1
    MEMBER = 2
    TASK = 5
    SEED_ORDER = 6
    SEEDS = 7
    SUBSETS = 8
    GRID_BLOCK = 9
    GRID_MEMBER = 10
    WINDOW = 11


@dataclass(frozen=True, slots=True)
class Shape:
    """What is chosen of an architecture.

    Attributes:
        activation: Activation function.
        hidden: Widths of the hidden layers.
        kernel: Size of the convolutions; ``None`` for that of the architecture.
    """

    activation: str
    hidden: tuple[int, ...]
    kernel: int | None


@dataclass(frozen=True, slots=True)
class Shard:
    """Members that lie in one shard, and are therefore of one shape.

    Attributes:
        first: First member.
        end: One past the last.
        shape: Their shape.
    """

    first: int
    end: int
    shape: Shape


def draw_shard(recipe: Recipe, member: int) -> Shard:
    """The shard that a member lies in.

    Shards go through activations in rounds, each round in its own random order, so that every one has its share from
    the first few shards on. In a recipe of several shapes these are drawn for each member instead.
    """
    if recipe.has_shapes:
        shards = _window(recipe, member // recipe.window_members)
        return shards[bisect.bisect_right(shards, member, key=lambda shard: shard.first) - 1]
    number = member // recipe.shard_members
    activation = recipe.activations[_in_rounds(recipe, Draw.ACTIVATION, number, len(recipe.activations))]
    first = number * recipe.shard_members
    return Shard(first, first + recipe.shard_members, Shape(activation, recipe.hidden, None))


@lru_cache(maxsize=8)
def _window(recipe: Recipe, number: int) -> tuple[Shard, ...]:
    """The shards of a window, within which a shape is drawn for each member.

    Which numbers the members of a shape have means nothing, so those of one shape are neighbors and fill shards of
    one architecture. Shards of one shape lie evenly apart, so that any first part of them is a sample of all.
    """
    drawn = stream(Purpose.RECIPE, recipe.seed, Draw.WINDOW, number)
    counts: Counter[Shape] = Counter()
    for _ in range(recipe.window_members):
        activation = _choose(drawn, recipe.activations)
        hidden = recipe.hidden
        if recipe.depths:
            hidden = tuple(_choose(drawn, recipe.widths) for _ in range(_choose(drawn, recipe.depths)))
        counts[Shape(activation, hidden, _choose(drawn, recipe.kernels) if recipe.kernels else None)] += 1
    sizes: list[tuple[float, int, Shape]] = []
    for shape, count in counts.items():
        offset, shards = drawn.random(), -(-count // recipe.shard_members)
        sizes += [
            ((part + offset) / shards, min(recipe.shard_members, count - part * recipe.shard_members), shape)
            for part in range(shards)
        ]
    found, first = [], number * recipe.window_members
    for _, size, shape in sorted(sizes, key=lambda each: each[0]):
        found.append(Shard(first, first + size, shape))
        first += size
    return tuple(found)


def draw_member(recipe: Recipe, index: int) -> Member:
    """Member ``index`` of a recipe."""
    block = index // recipe.block_members
    values = _independent(recipe, index)
    if recipe.design == "grid":
        values |= _of_grid(recipe, index)
    elif recipe.fixed_seeds:
        which = _in_rounds(recipe, Draw.SEED_ORDER, block, recipe.fixed_seeds)
        values |= _with_seed(fixed_seed(recipe, which))
    if recipe.tasks != ("",):
        values["task"] = recipe.tasks[_in_rounds(recipe, Draw.TASK, block, len(recipe.tasks))]
    if recipe.subset_size:
        # One permutation for all, of which each block has its own piece.
        values["subset_seed"] = int(stream(Purpose.RECIPE, recipe.seed, Draw.SUBSETS).integers(2**63))
        values |= {"subset_size": recipe.subset_size, "subset_index": block}
    if recipe.scale_learning_rates:
        values["learning_rate"] *= STEP_FACTOR.get(values["optimizer"], 1.0)
    if recipe.scaled_initializations and values["initialization"] not in recipe.scaled_initializations:
        values["init_scale"] = 1.0
    return Member(id=index, batch_size=recipe.batch_size, **values)


def fixed_seed(recipe: Recipe, which: int) -> int:
    """One of the seeds of a recipe that has fixed ones."""
    return int(stream(Purpose.RECIPE, recipe.seed, Draw.SEEDS, which).integers(2**63))


def _independent(recipe: Recipe, index: int) -> dict[str, Any]:
    """Independent draws for a block and for a member; their order is part of what a recipe means."""
    of_block = stream(Purpose.RECIPE, recipe.seed, Draw.BLOCK, index // recipe.block_members)
    optimizer = _choose(of_block, recipe.optimizers)
    fraction = _choose(of_block, recipe.training_fractions)
    block_seed = int(of_block.integers(2**63))
    of_member = stream(Purpose.RECIPE, recipe.seed, Draw.MEMBER, index)
    rates, decays, dropouts = recipe.learning_rate_choices, recipe.weight_decay_range, recipe.dropout_range
    rate = _choose(of_member, rates) if rates else _log_uniform(of_member, *recipe.learning_rates)
    scale = _log_uniform(of_member, *recipe.init_scales)
    initialization = _choose(of_member, recipe.initializations)
    decay = _log_uniform(of_member, *decays) if decays else _choose(of_member, recipe.weight_decays)
    dropout = _rounded(of_member.uniform(*dropouts)) if dropouts else _choose(of_member, recipe.dropouts)
    return {
        "optimizer": optimizer,
        "training_fraction": fraction,
        "order_seed": block_seed,
        "subset_seed": block_seed,
        "learning_rate": rate,
        "init_scale": scale,
        "initialization": initialization,
        "weight_decay": decay,
        "dropout": dropout,
        "seed": int(of_member.integers(2**63)),
    }


def _of_grid(recipe: Recipe, index: int) -> dict[str, Any]:
    """What a member has by its place in the grid.

    Shards go through the activations in rounds; the blocks of one activation through the combinations of what is
    chosen for a block; and the members of one activation and such combination through those of what is chosen for a
    member. Each round has each combination once, so their numbers never differ by more than what is unfinished. The
    activations begin their rounds of blocks at different places of one order, so that the first blocks of all of them
    are of as many combinations as can be.
    """
    activations, block_combinations, member_combinations = recipe.grid_sizes
    shard, place = divmod(index, recipe.shard_members)
    activation = _in_rounds(recipe, Draw.ACTIVATION, shard, activations)
    block_in_shard, place = divmod(place, recipe.block_members)
    block = shard // activations * (recipe.shard_members // recipe.block_members) + block_in_shard
    turn, step = divmod(block, block_combinations)
    shifted = (step + activation * block_combinations // activations) % block_combinations
    combination = _in_rounds(recipe, Draw.GRID_BLOCK, turn * block_combinations + shifted, block_combinations)
    number = block // block_combinations * recipe.block_members + place
    cell = activation * block_combinations + combination
    of_member = _in_rounds(recipe, Draw.GRID_MEMBER, number, member_combinations, cell)

    rates = recipe.learning_rate_choices
    of_blocks = (len(recipe.optimizers), len(recipe.training_fractions), max(1, recipe.fixed_seeds))
    optimizer, fraction, which_seed = np.unravel_index(combination, of_blocks)
    of_members = (len(recipe.initializations), max(1, len(rates)), len(recipe.weight_decays), len(recipe.dropouts))
    initialization, rate, decay, dropout = np.unravel_index(of_member, of_members)
    values: dict[str, Any] = {
        "optimizer": recipe.optimizers[optimizer],
        "training_fraction": recipe.training_fractions[fraction],
        "initialization": recipe.initializations[initialization],
    }
    if rates:
        values["learning_rate"] = rates[rate]
    if not recipe.weight_decay_range:
        values["weight_decay"] = recipe.weight_decays[decay]
    if not recipe.dropout_range:
        values["dropout"] = recipe.dropouts[dropout]
    if recipe.fixed_seeds:
        values |= _with_seed(fixed_seed(recipe, int(which_seed)))
    return values


def _with_seed(seed: int) -> dict[str, int]:
    return {"seed": seed, "order_seed": seed, "subset_seed": seed}


def _in_rounds(recipe: Recipe, draw: Draw, number: int, choices: int, sequence: int = 0) -> int:
    """Which of some choices has a number of a sequence: each round has each of them once, in random order."""
    turn, place = divmod(number, choices)
    order = stream(Purpose.RECIPE, recipe.seed, draw, turn + (sequence << 32)).permutation(choices)
    return int(order[place])


def _choose(generator: np.random.Generator, choices: tuple[T, ...]) -> T:
    return choices[generator.integers(len(choices))]


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    """A log-uniform draw."""
    return _rounded(math.exp(generator.uniform(math.log(low), math.log(high))))


def _rounded(value: float) -> float:
    """A number with 6 digits, so that it prints and stores the same everywhere."""
    return float(f"{value:.6g}")
