"""Generation of zoos: plan, build and store shards, commit. What a cluster does with many workers, one by one."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from zoo.config import to_json
from zoo.data.examples import Dataset
from zoo.generation.shard_training import train_shard
from zoo.generation.writer import ShardWriter
from zoo.recipes import Recipe, RecipeLike
from zoo.storage.environment import environment
from zoo.storage.errors import ZooError
from zoo.storage.manifest import (
    MANIFEST_VERSION,
    Manifest,
    ShardEntry,
    read_manifest,
    shard_path,
    write_manifest,
)
from zoo.storage.rows import sum_hashes
from zoo.storage.shards import ShardFile, ShardHeader, ShardRange, describe_shard, read_shard
from zoo.storage.staging import find_dataset
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def plan_shards(recipe: Recipe, first: int, end: int) -> tuple[ShardRange, ...]:
    """Divides members ``first`` to ``end - 1`` into a recipe's shards; of the first and last it may be a part."""
    return tuple(ShardRange(max(first, shard.first), min(shard.end, end)) for shard in recipe.shards(first, end))


def zoo_name(recipe: RecipeLike, digest: str) -> str:
    """Name of the zoo that a recipe with this digest makes.

    Raises:
        ValueError: The recipe's name cannot be part of a path.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", recipe.name):
        raise ValueError(f"Recipe.name is {recipe.name!r}; allowed: letters, digits, dots, hyphens, underscores")
    return f"{recipe.name}-{digest[:8]}"


@dataclass(frozen=True, kw_only=True)
class GenerationPlan:
    """What is to be done to make or extend a zoo.

    Attributes:
        recipe: The recipe, ``members`` being what the zoo will have.
        data: The data set.
        name: Name of the zoo.
        digest: Its identity.
        previous: Its newest manifest, if it has one.
        shards: All shards that it will consist of.
        missing: Those that are not in the store yet.
    """

    recipe: Recipe
    data: Dataset
    name: str
    digest: str
    previous: Manifest | None
    shards: tuple[ShardRange, ...]
    missing: tuple[ShardRange, ...]


def plan_generation(recipe: Recipe, store: Store, members: int | None = None) -> GenerationPlan:
    """Finds out what is there already and what is missing.

    Args:
        recipe: What to generate.
        store: Where.
        members: How many; by default what the recipe says, or what the zoo has if that is more.

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
    kept = tuple(ShardRange(entry.first, entry.end) for entry in previous.shards) if previous else ()
    shards = kept + plan_shards(recipe, done, total)
    present = set(store.list(shard_path(name, "")))
    return GenerationPlan(
        recipe=recipe,
        data=data,
        name=name,
        digest=digest,
        previous=previous,
        shards=shards,
        missing=tuple(shard for shard in shards if shard_path(name, shard.name) not in present),
    )


def commit(plan: GenerationPlan, store: Store, written: Collection[ShardFile] = ()) -> Zoo:
    """Checks what is new in the store, and writes the manifest that makes a zoo of it.

    Args:
        plan: What the zoo consists of.
        store: Where it lies.
        written: Shards that this run has created, as :class:`zoo.generation.writer.ShardWriter` tells of them: they
            need only be there still. All others that are new are read.

    Raises:
        ZooError: A shard is missing, damaged or of another recipe.
    """
    known = {entry.name: entry for entry in plan.previous.shards} if plan.previous else {}
    architectures = list(plan.previous.architectures) if plan.previous else []
    remade = {shard.name for shard in plan.missing}
    present = set(store.list(shard_path(plan.name, ""))) if written else set()
    ours = {file.members: file for file in written if shard_path(plan.name, file.members.name) in present}
    entries = []
    for shard in plan.shards:
        entry = known.get(shard.name)
        if entry is None or shard.name in remade:
            fresh = shard_entry(ours.get(shard) or _checked(plan, store, shard), architectures)
            if entry is not None and fresh.content_sha256 != entry.content_sha256:
                raise ZooError(
                    f"{store.join(shard_path(plan.name, shard.name))} was missing and has been made anew, but with "
                    "other weights than its manifest says: this machine or these library versions give other bits. "
                    "Put back the original, or generate the zoo anew in another store"
                )
            entry = fresh
        entries.append(entry)
    if plan.previous is None or tuple(entries) != plan.previous.shards:
        manifest = Manifest(
            schema_version=MANIFEST_VERSION,
            recipe=to_json(plan.recipe),
            digest=plan.digest,
            dataset_sha256=plan.data.sha256,
            members=plan.recipe.members,
            architectures=tuple(architectures),
            shards=tuple(entries),
            content_sha256=sum_hashes([entry.content_sha256 for entry in entries]),
            environment=environment(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_manifest(store, plan.name, manifest)
    return Zoo.open(plan.name, store=store)


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
    done = plan.recipe.members - sum(shard.end - shard.first for shard in plan.missing)
    report = progress or (lambda _done, _total: None)
    report(done, plan.recipe.members)
    written: list[ShardFile] = []

    def stored(shard: ShardRange, file: ShardFile | None) -> None:
        nonlocal done
        done += shard.end - shard.first
        written.extend([file] if file else [])
        report(done, plan.recipe.members)

    with ShardWriter(store, plan.name, stored) as writer:
        for shard in plan.missing:
            writer.write(train_shard(plan.recipe, plan.data, shard))
    return commit(plan, store, written)


def check_header(header: ShardHeader, digest: str, members: ShardRange, where: str) -> None:
    """Makes sure that a shard belongs where it lies.

    Raises:
        ZooError: It is of another recipe or holds other members.
    """
    if header.digest != digest:
        raise ZooError(
            f"{where} is of another recipe (digest {header.digest[:8]}, expected {digest[:8]}); delete it and run "
            "`zooscale generate` again"
        )
    if header.members != members:
        raise ZooError(
            f"{where} holds members {header.members.first} to {header.members.end - 1}, not those of its name; "
            "delete it and run `zooscale generate` again"
        )


def _checked(plan: GenerationPlan, store: Store, members: ShardRange) -> ShardFile:
    """Reads the whole of a stored shard, checks it and describes it."""
    path = shard_path(plan.name, members.name)
    where = store.join(path)
    try:
        data = store.read(path)
    except FileNotFoundError as error:
        raise ZooError(f"{where} is missing; run `zooscale generate` again to make it") from error
    header, table = read_shard(data, where)
    check_header(header, plan.digest, members, where)
    rows = (members.end - members.first) * len(plan.recipe.snapshot_epochs)
    if len(table) != rows:
        raise ZooError(f"{where} has {len(table)} rows, expected {rows}; delete it and run `zooscale generate` again")
    return describe_shard(data, where)


def shard_entry(file: ShardFile, architectures: list[Mapping[str, object]]) -> ShardEntry:
    """The manifest's entry of a shard, whose architecture is added to the list if it is new."""
    if file.architecture not in architectures:
        architectures.append(file.architecture)
    return ShardEntry(
        name=file.members.name,
        first=file.members.first,
        end=file.members.end,
        architecture=architectures.index(file.architecture),
        rows=file.rows,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        content_sha256=file.content_sha256,
        footer_bytes=file.footer_bytes,
        footer_crc32=file.footer_crc32,
        weights_crc32=file.weights_crc32,
    )
