"""How members follow from a recipe: counter-based draws, each a function of the recipe and a number alone.

A draw is keyed by its field: with a further axis, all other fields keep their values. In a random design, choices come
in rounds: each round has every choice once, in a random order of its own, so that any number of members has all of
them alike. In a grid the same holds of the combinations of all choices.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.population import Member
from zoo.recipes.axis import LEVELS, Axis
from zoo.streams import Purpose, stream

if TYPE_CHECKING:
    from zoo.recipes.recipe import Recipe

# Numbers of shards, blocks or members are below this, and so are turns of their rounds.
MOST = 2**32


@dataclass(frozen=True, slots=True)
class Shard:
    """Members that lie in one shard, and are therefore of one architecture.

    Attributes:
        first: First member.
        end: One past the last.
        arguments: Names and values of what their architecture is built with.
    """

    first: int
    end: int
    arguments: tuple[tuple[str, Any], ...]


def draw_shard(recipe: Recipe, member: int) -> Shard:
    """The shard that a member lies in."""
    if recipe.mixed:
        shards = _window(recipe, member // recipe.window_members)
        return shards[bisect.bisect_right(shards, member, key=lambda shard: shard.first) - 1]
    return _shard(recipe, member // recipe.shard_members)


@lru_cache(maxsize=64)
def _shard(recipe: Recipe, number: int) -> Shard:
    first = number * recipe.shard_members
    values = _values(recipe, recipe.architecture_axes, first, {})
    return Shard(first, first + recipe.shard_members, tuple(values.items()))


@lru_cache(maxsize=8)
def _window(recipe: Recipe, number: int) -> tuple[Shard, ...]:
    """The shards of a window, within which an architecture is drawn for each member.

    Which numbers the members of an architecture have means nothing, so those of one are neighbors and fill shards.
    Shards of one architecture lie evenly apart, so that any first part of them is a sample of all.
    """
    start = number * recipe.window_members
    counts = Counter(
        tuple(_values(recipe, recipe.architecture_axes, index, {}).items())
        for index in range(start, start + recipe.window_members)
    )
    drawn = stream(Purpose.RECIPE, recipe.seed, _key("order of shards"), number)
    sizes: list[tuple[float, int, tuple[tuple[str, Any], ...]]] = []
    for arguments, count in counts.items():
        offset, shards = drawn.random(), -(-count // recipe.shard_members)
        sizes += [
            ((part + offset) / shards, min(recipe.shard_members, count - part * recipe.shard_members), arguments)
            for part in range(shards)
        ]
    found, first = [], start
    for _, size, arguments in sorted(sizes, key=lambda each: each[0]):
        found.append(Shard(first, first + size, arguments))
        first += size
    return tuple(found)


def draw_member(recipe: Recipe, index: int) -> Member:
    """Member ``index`` of a recipe."""
    known = dict(draw_shard(recipe, index).arguments)
    values = _values(recipe, recipe.member_axes, index, known)
    return Member(id=index, batch_size=recipe.batch_size, **{field: values[field] for field in recipe.member_axes})


def _values(recipe: Recipe, axes: Mapping[str, Axis], index: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """The values that some axes have for a member, by field, and those that are known already."""
    numbers = {
        "shard": index // recipe.shard_members,
        "block": index // recipe.block_members,
        "member": index,
    }
    places = _grid_places(recipe, index) if recipe.design == "grid" else {}
    values = dict(known)

    def value_of(field: str) -> Any:
        if field not in values:
            axis = axes[field]
            source = axis.under(value_of(axis.given)) if axis.given else axis
            if len(source.choices) == 1 and not source.lengths:
                values[field] = source.choices[0]
            elif field in places and source.count > 1:
                values[field] = source.choices[places[field]]
            else:
                values[field] = _draw(recipe, field, source, numbers[axis.level])
        return values[field]

    for field in axes:
        value_of(field)
    return values


def _draw(recipe: Recipe, field: str, source: Axis, number: int) -> Any:
    """One value of a field, from choices or a range, for the shard, block or member of this number."""
    if source.count > 1:
        return source.choices[_in_rounds(recipe, field, number, source.count)]
    drawn = stream(Purpose.RECIPE, recipe.seed, _key(field), number)
    if source.lengths:
        length = source.lengths[drawn.integers(len(source.lengths))]
        return tuple(source.choices[place] for place in drawn.integers(len(source.choices), size=length))
    low, high = source.range
    if source.scale == "whole":
        return int(drawn.integers(int(low), int(high), endpoint=True))
    if source.scale == "linear":
        return _rounded(drawn.uniform(low, high))
    return _rounded(math.exp(drawn.uniform(math.log(low), math.log(high))))


def _grid_places(recipe: Recipe, index: int) -> dict[str, int]:
    """In a grid, which of its choices each field has, by the place of the member.

    Shards go through the combinations of what is chosen for a shard in rounds; the blocks of one such combination
    through those of what is chosen for a block; and the members of one such block and shard through those of what is
    chosen for a member. Each round has each combination once, so their numbers never differ by more than what is
    unfinished. The combinations of shards begin their rounds of blocks at different places of one order, so that the
    first blocks of all of them are of as many combinations as can be.
    """
    of_shards, of_blocks, of_members = (recipe.factors[level] for level in LEVELS)
    shards, blocks, members = (math.prod(factors.values()) for factors in (of_shards, of_blocks, of_members))
    shard, place = divmod(index, recipe.shard_members)
    of_shard = _in_rounds(recipe, "grid of shards", shard, shards)
    block_in_shard, place = divmod(place, recipe.block_members)
    block = shard // shards * (recipe.shard_members // recipe.block_members) + block_in_shard
    turn, step = divmod(block, blocks)
    shifted = (step + of_shard * blocks // shards) % blocks
    of_block = _in_rounds(recipe, "grid of blocks", turn * blocks + shifted, blocks)
    number = block // blocks * recipe.block_members + place
    of_member = _in_rounds(recipe, "grid of members", number, members, of_shard * blocks + of_block)
    return _unravel(of_shard, of_shards) | _unravel(of_block, of_blocks) | _unravel(of_member, of_members)


def _unravel(combination: int, factors: Mapping[str, int]) -> dict[str, int]:
    """The place in each factor of a combination of all."""
    if not factors:
        return {}
    places = np.unravel_index(combination, tuple(factors.values()))
    return {field: int(place) for field, place in zip(factors, places, strict=True)}


def _in_rounds(recipe: Recipe, what: str, number: int, choices: int, sequence: int = 0) -> int:
    """Which of some choices has a number of a sequence: each round has each of them once, in random order."""
    turn, place = divmod(number, choices)
    return _round(recipe.seed, what, turn + sequence * MOST, choices)[place]


@lru_cache(maxsize=1024)
def _round(seed: int, what: str, number: int, choices: int) -> tuple[int, ...]:
    """The order of one round."""
    return tuple(stream(Purpose.RECIPE, seed, _key(what), number).permutation(choices).tolist())


@lru_cache(maxsize=256)
def _key(what: str) -> int:
    """The counter of a stream that belongs to a field, or to what else is drawn."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "little")


def _rounded(value: float) -> float:
    """A number with 6 digits, so that it prints and stores the same everywhere."""
    return float(f"{value:.6g}")
