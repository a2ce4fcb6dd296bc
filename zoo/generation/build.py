"""Generation of zoos: plan, build and store shards, commit. What a cluster does with many workers, one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from zoo.data.examples import Dataset
from zoo.generation.commit import ZooPlan, commit, plan_zoo, zoo_name
from zoo.generation.shard_training import train_shard
from zoo.generation.writer import ShardWriter
from zoo.recipes import Recipe
from zoo.storage.manifest import ShardEntry, read_manifest
from zoo.storage.shards import ShardContents
from zoo.storage.staging import find_dataset
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def plan_shards(recipe: Recipe, first: int, end: int) -> tuple[range, ...]:
    """Divides members ``first`` to ``end - 1`` into a recipe's shards; of the first and last it may be a part."""
    return tuple(range(max(first, shard.first), min(shard.end, end)) for shard in recipe.shards(first, end))


@dataclass(frozen=True, kw_only=True)
class GenerationPlan(ZooPlan):
    """What is to be done to make or extend a zoo.

    Attributes:
        recipe: The recipe, ``members`` being what the zoo will have.
        data: The data set.
    """

    recipe: Recipe
    data: Dataset

    @property
    def unplanned(self) -> int:
        """Members that it has no shards of, where it is one of the first ones alone."""
        return self.recipe.members - sum(map(len, self.shards))

    @property
    def missing_members(self) -> int:
        """How many members are to be trained, those without shards in the plan among them."""
        return sum(map(len, self.missing)) + self.unplanned

    @property
    def missing_shards(self) -> int:
        """About how many shards these make; exactly, where the plan has them all."""
        return len(self.missing) + round(self.unplanned * len(self.shards) / sum(map(len, self.shards)))


def plan_generation(
    recipe: Recipe, store: Store, members: int | None = None, *, at_most: int | None = None
) -> GenerationPlan:
    """Finds out what is there already and what is missing.

    Args:
        recipe: What to generate.
        store: Where.
        members: How many; by default what the recipe says, or what the zoo has if that is more.
        at_most: Of so many further members the plan has the shards, which takes a second for 100 000; of all by
            default.

    Raises:
        ValueError: ``members`` is not positive, or the recipe does not fit the data.
        ZooError: The store cannot be read, or the zoo's manifest is damaged.
    """
    if members is not None and members < 1:
        raise ValueError(f"members is {members}; allowed: 1 or more")
    data = find_dataset(store, recipe.dataset)
    digest = recipe.digest(data.sha256)
    name = zoo_name(recipe, digest)
    previous = read_manifest(store, name)
    wanted = recipe.members if members is None else members
    done = previous.members if previous else 0
    if wanted < done and members is not None:
        logger.warning("zoo %s has %d members already; none are removed to make it %d", name, done, wanted)
    total = max(wanted, done)
    recipe = replace(recipe, members=total)
    recipe.check_data(data)
    kept = tuple(entry.members for entry in previous.shards) if previous else ()
    planned = total if at_most is None else min(total, done + at_most)
    plan = plan_zoo(recipe, data.sha256, store, kept + plan_shards(recipe, done, planned))
    told = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return GenerationPlan(**told | {"recipe": recipe, "data": data})


def generate_zoo(
    recipe: Recipe, store: Store | str, members: int | None = None, progress: Progress | None = None
) -> Zoo:
    """Generates a zoo in this process, continues one that was interrupted, or extends a finished one.

    Memory does not depend on the number of members: it is that of the images and of two shards, each 4 bytes times
    members of a shard, snapshots and parameters (see :class:`zoo.generation.writer.ShardWriter`).

    Args:
        recipe: What to generate.
        store: Where.
        members: How many members; by default what the recipe says, or what the zoo has if that is more.
        progress: Called with (members in the store, members wanted) before the first and after each shard, there
            in the thread that stores it while the next is trained.

    Raises:
        ValueError: ``members`` is not positive.
        ZooError: The store cannot be written, or a shard left there is damaged or of another recipe.
    """
    store = store if isinstance(store, Store) else Store(store)
    plan = plan_generation(recipe, store, members)
    return write_zoo(plan, store, lambda shard: train_shard(plan.recipe, plan.data, shard), progress)


def write_zoo(
    plan: ZooPlan, store: Store, make: Callable[[range], ShardContents], progress: Progress | None = None
) -> Zoo:
    """Makes the shards that are missing, one after the other, and commits the zoo.

    Args:
        plan: What is missing.
        store: Where the zoo lies.
        make: Makes the contents of one shard.
        progress: As in :func:`generate_zoo`.

    Raises:
        ZooError: The store cannot be written, or a shard left there is damaged or of another recipe.
    """
    done = plan.recipe.members - sum(map(len, plan.missing))
    report = progress or (lambda _done, _total: None)
    report(done, plan.recipe.members)
    written: list[ShardEntry] = []

    def stored(shard: range, entry: ShardEntry | None) -> None:
        nonlocal done
        done += len(shard)
        written.extend([entry] if entry else [])
        report(done, plan.recipe.members)

    with ShardWriter(store, plan.name, stored) as writer:
        for shard in plan.missing:
            writer.write(make(shard))
    return commit(plan, store, written)
