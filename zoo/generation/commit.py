"""Commits of zoos: which shards one consists of and which are missing, and the manifest that makes a zoo of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from zoo.config import to_json
from zoo.recipes import RecipeLike
from zoo.storage.environment import environment
from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.manifest import (
    MANIFEST_VERSION,
    Manifest,
    ShardEntry,
    read_manifest,
    shard_name,
    shard_path,
    write_manifest,
)
from zoo.storage.rows import content_hash, schema_fault, sum_hashes
from zoo.storage.shards import ShardHeader, describe_shard, read_shard
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo


@dataclass(frozen=True, kw_only=True)
class ZooPlan:
    """What a zoo is to consist of.

    Attributes:
        recipe: What stands behind it, ``members`` being what the zoo will have.
        dataset_sha256: Content hash of the data set; empty where it is not known.
        name: Name of the zoo.
        digest: Its identity.
        previous: Its newest manifest, if it has one.
        shards: All shards that it will consist of.
        missing: Those that are not in the store yet.
    """

    recipe: RecipeLike
    dataset_sha256: str
    name: str
    digest: str
    previous: Manifest | None
    shards: tuple[range, ...]
    missing: tuple[range, ...]


def plan_zoo(recipe: RecipeLike, dataset_sha256: str, store: Store, shards: Sequence[range]) -> ZooPlan:
    """Finds out what of a zoo is there already and what is missing.

    Args:
        recipe: What stands behind it.
        dataset_sha256: Content hash of the data set; empty where it is not known.
        store: Where it is to lie.
        shards: What it is to consist of.

    Raises:
        ValueError: The recipe's name cannot be part of a path.
        ZooError: The store cannot be read, or the zoo's manifest is damaged.
    """
    digest = recipe.digest(dataset_sha256)
    name = zoo_name(recipe, digest)
    present = set(store.list(shard_path(name, "")))
    return ZooPlan(
        recipe=recipe,
        dataset_sha256=dataset_sha256,
        name=name,
        digest=digest,
        previous=read_manifest(store, name),
        shards=tuple(shards),
        missing=tuple(shard for shard in shards if shard_path(name, shard_name(shard)) not in present),
    )


def zoo_name(recipe: RecipeLike, digest: str) -> str:
    """Name of the zoo that a recipe with this digest makes.

    Raises:
        ValueError: The recipe's name cannot be part of a path.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", recipe.name):
        raise ValueError(f"Recipe.name is {recipe.name!r}; allowed: letters, digits, dots, hyphens, underscores")
    return f"{recipe.name}-{digest[:8]}"


def commit(plan: ZooPlan, store: Store, written: Collection[ShardEntry] = ()) -> Zoo:
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
    remade = set(plan.missing)
    present = set(store.list(shard_path(plan.name, ""))) if written else set()
    ours = {entry.name: entry for entry in written if shard_path(plan.name, entry.name) in present}
    entries = []
    for shard in plan.shards:
        file = shard_name(shard)
        entry = known.get(file)
        if entry is None or shard in remade:
            fresh = ours.get(file) or checked_entry(plan, store, shard)
            if entry is not None and fresh.content_sha256 != entry.content_sha256:
                raise ZooError(
                    f"{store.join(shard_path(plan.name, file))} was missing and has been made anew, but with "
                    "other weights than its manifest says: this machine or these library versions give other bits. "
                    "Put back the original, or make the zoo anew in another store"
                )
            entry = fresh
        entries.append(entry)
    if plan.previous is None or tuple(entries) != plan.previous.shards:
        manifest = Manifest(
            schema_version=MANIFEST_VERSION,
            recipe=to_json(plan.recipe),
            digest=plan.digest,
            dataset_sha256=plan.dataset_sha256,
            members=plan.recipe.members,
            shards=tuple(entries),
            content_sha256=sum_hashes([entry.content_sha256 for entry in entries]),
            environment=environment(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_manifest(store, plan.name, manifest)
    return Zoo.open(plan.name, store=store)


def checked_entry(plan: ZooPlan, store: Store, members: range) -> ShardEntry:
    """Reads the whole of a stored shard, makes sure that it belongs where it lies, and describes it.

    Raises:
        ZooError: It is missing or damaged, of another recipe, or holds other members.
    """
    path = shard_path(plan.name, shard_name(members))
    where = store.join(path)
    try:
        data = store.read(path)
    except FileNotFoundError as error:
        raise ZooError(f"{where} is missing; {REMAKE}") from error
    header, table = read_shard(data, where)
    if header.digest != plan.digest:
        raise ZooError(
            f"{where} is of another recipe (digest {header.digest[:8]}, expected {plan.digest[:8]}); delete it, and "
            f"{REMAKE}"
        )
    if header.members != members:
        raise ZooError(
            f"{where} holds members {header.members.start} to {header.members.stop - 1}, not those of its name; "
            f"delete it, and {REMAKE}"
        )
    rows = len(members) * len(plan.recipe.snapshot_epochs)
    if len(table) != rows:
        raise ZooError(f"{where} has {len(table)} rows, expected {rows}; delete it, and {REMAKE}")
    entry = describe_shard(data, where)
    if fault := _fault(table, header, entry):
        raise ZooError(f"{where} is damaged: {fault}; delete it, and {REMAKE}")
    return entry


def _fault(table: pa.Table, header: ShardHeader, entry: ShardEntry) -> str:
    """What a shard shows of a damage that no checksum in it covers; empty where nothing.

    Args:
        table: Its rows.
        header: What it says about itself beside the rows.
        entry: What it says in its footer, where Arrow keeps the same once more.
    """
    if wrong := schema_fault(table.schema, header.architecture.parameters):
        return wrong
    try:
        content = content_hash(table, header.architecture)
    except (TypeError, ValueError) as error:
        return str(error)
    if not content == header.content_sha256 == entry.content_sha256:
        return "its rows are not those of the content hash that it states"
    same = (entry.members, entry.architecture) == (header.members, header.architecture.to_json())
    return "" if same else "it states two architectures, or members"
