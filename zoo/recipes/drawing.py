"""How members follow from a recipe: counter-based draws, each a function of the recipe and a number alone.

A draw is keyed by its field: with a further axis, all other fields keep their values. In a random design, choices come
in rounds: each round has every choice once, in a random order of its own, so that any number of members has all of
them alike. In a grid the same holds of the combinations of all choices.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from zoo.population import Member
from zoo.recipes.axis import LEVELS, Axis, Design, Level
from zoo.streams import Purpose, stream

# Fields of members that axes can be over; the others are the same for all, or the number of the member.
MEMBER_FIELDS = tuple(each.name for each in dataclasses.fields(Member) if each.name not in ("id", "batch_size"))
# Members of a block are trained together, on one order of one set of examples, so they share these unless their axis
# says otherwise.
OF_BLOCKS = ("optimizer", "training_fraction", "order_seed", "subset_seed", "subset_size", "subset_index", "task")
ANY_SEED = Axis(range=(0, 2**63 - 1), scale="whole")
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


def with_level(name: str, axis: Axis) -> Axis:
    """The axis with the level that suits its field, unless it has one; a constant has none."""
    suited: Level = "shard" if name not in MEMBER_FIELDS else "block" if name in OF_BLOCKS else "member"
    return dataclasses.replace(axis, level="" if axis.constant else axis.level or suited)


# Each member and each block has its own, unless an axis says otherwise.
SEEDS = {name: with_level(name, ANY_SEED) for name in ("seed", "order_seed", "subset_seed")}


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """What a recipe says of how members are drawn.

    Attributes:
        axes: All axes by their fields, with their levels.
        design: "random" or "grid".
        seed: Seed of all draws.
        block_members: Members of a block.
        shard_members: Members of a shard, at most.
        window_members: Members of a window, where an architecture is drawn for each member.
    """

    axes: Mapping[str, Axis]
    design: Design
    seed: int
    block_members: int
    shard_members: int
    window_members: int

    @cached_property
    def architecture_axes(self) -> dict[str, Axis]:
        """The axes over arguments of the architecture."""
        return {name: axis for name, axis in self.axes.items() if name not in MEMBER_FIELDS}

    @cached_property
    def member_axes(self) -> dict[str, Axis]:
        """The axes over fields of members, seeds among them."""
        return SEEDS | {name: axis for name, axis in self.axes.items() if name in MEMBER_FIELDS}

    @cached_property
    def mixed(self) -> bool:
        """Whether an architecture is drawn for each member."""
        return any(axis.level == "member" for axis in self.architecture_axes.values())

    @cached_property
    def factors(self) -> dict[str, dict[str, int]]:
        """In a grid: by level, for each axis that has choices, how many."""
        counts = {
            name: max((variant.count for variant in axis.variants), default=1) for name, axis in self.axes.items()
        }
        return {
            level: {name: counts[name] for name, axis in self.axes.items() if axis.level == level and counts[name] > 1}
            for level in LEVELS
        }

    def shard(self, member: int) -> Shard:
        """The shard that a member lies in, whole whatever the number of members."""
        if self.mixed:
            shards = _window(self, member // self.window_members)
            return shards[bisect.bisect_right(shards, member, key=lambda shard: shard.first) - 1]
        return _shard(self, member // self.shard_members)

    def member(self, index: int) -> dict[str, Any]:
        """What a member has, by field."""
        values = _values(self, self.member_axes, index, dict(self.shard(index).arguments))
        return {field: values[field] for field in self.member_axes}


@lru_cache(maxsize=64)
def _shard(drawing: Drawing, number: int) -> Shard:
    first = number * drawing.shard_members
    values = _values(drawing, drawing.architecture_axes, first, {})
    return Shard(first, first + drawing.shard_members, tuple(values.items()))


@lru_cache(maxsize=8)
def _window(drawing: Drawing, number: int) -> tuple[Shard, ...]:
    """The shards of a window, within which an architecture is drawn for each member.

    Which numbers the members of an architecture have means nothing, so those of one are neighbors and fill shards.
    Shards of one architecture lie evenly apart, so that any first part of them is a sample of all.
    """
    start = number * drawing.window_members
    counts = Counter(
        tuple(_values(drawing, drawing.architecture_axes, index, {}).items())
        for index in range(start, start + drawing.window_members)
    )
    drawn = stream(Purpose.RECIPE, drawing.seed, _key("order of shards"), number)
    sizes: list[tuple[float, int, tuple[tuple[str, Any], ...]]] = []
    for arguments, count in counts.items():
        offset, shards = drawn.random(), -(-count // drawing.shard_members)
        sizes += [
            ((part + offset) / shards, min(drawing.shard_members, count - part * drawing.shard_members), arguments)
            for part in range(shards)
        ]
    found, first = [], start
    for _, size, arguments in sorted(sizes, key=lambda each: each[0]):
        found.append(Shard(first, first + size, arguments))
        first += size
    return tuple(found)


def _values(drawing: Drawing, axes: Mapping[str, Axis], index: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """The values that some axes have for a member, by field, and those that are known already."""
    numbers = {
        "shard": index // drawing.shard_members,
        "block": index // drawing.block_members,
        "member": index,
    }
    places = _grid_places(drawing, index) if drawing.design == "grid" else {}
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
                values[field] = _draw(drawing, field, source, numbers[axis.level])
        return values[field]

    for field in axes:
        value_of(field)
    return values


def _draw(drawing: Drawing, field: str, source: Axis, number: int) -> Any:
    """One value of a field, from choices or a range, for the shard, block or member of this number."""
    if source.count > 1:
        return source.choices[_in_rounds(drawing, field, number, source.count)]
    drawn = stream(Purpose.RECIPE, drawing.seed, _key(field), number)
    if source.lengths:
        length = source.lengths[drawn.integers(len(source.lengths))]
        return tuple(source.choices[place] for place in drawn.integers(len(source.choices), size=length))
    low, high = source.range
    if source.scale == "whole":
        return int(drawn.integers(int(low), int(high), endpoint=True))
    if source.scale == "linear":
        return _rounded(drawn.uniform(low, high))
    return _rounded(math.exp(drawn.uniform(math.log(low), math.log(high))))


def _grid_places(drawing: Drawing, index: int) -> dict[str, int]:
    """In a grid, which of its choices each field has, by the place of the member.

    Shards go through the combinations of what is chosen for a shard in rounds; the blocks of one such combination
    through those of what is chosen for a block; and the members of one such block and shard through those of what is
    chosen for a member. Each round has each combination once, so their numbers never differ by more than what is
    unfinished. The combinations of shards begin their rounds of blocks at different places of one order, so that the
    first blocks of all of them are of as many combinations as can be.
    """
    of_shards, of_blocks, of_members = (drawing.factors[level] for level in LEVELS)
    shards, blocks, members = (math.prod(factors.values()) for factors in (of_shards, of_blocks, of_members))
    shard, place = divmod(index, drawing.shard_members)
    of_shard = _in_rounds(drawing, "grid of shards", shard, shards)
    block_in_shard, place = divmod(place, drawing.block_members)
    block = shard // shards * (drawing.shard_members // drawing.block_members) + block_in_shard
    turn, step = divmod(block, blocks)
    shifted = (step + of_shard * blocks // shards) % blocks
    of_block = _in_rounds(drawing, "grid of blocks", turn * blocks + shifted, blocks)
    number = block // blocks * drawing.block_members + place
    of_member = _in_rounds(drawing, "grid of members", number, members, of_shard * blocks + of_block)
    return _unravel(of_shard, of_shards) | _unravel(of_block, of_blocks) | _unravel(of_member, of_members)


def _unravel(combination: int, factors: Mapping[str, int]) -> dict[str, int]:
    """The place in each factor of a combination of all."""
    if not factors:
        return {}
    places = np.unravel_index(combination, tuple(factors.values()))
    return {field: int(place) for field, place in zip(factors, places, strict=True)}


def _in_rounds(drawing: Drawing, what: str, number: int, choices: int, sequence: int = 0) -> int:
    """Which of some choices has a number of a sequence: each round has each of them once, in random order."""
    turn, place = divmod(number, choices)
    return _round(drawing.seed, what, turn + sequence * MOST, choices)[place]


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
