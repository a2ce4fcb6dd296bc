"""Stores the shards of an import, and the manifest that makes a zoo of them: shards first, manifest last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from zoo.generation.build import shard_entry
from zoo.storage.environment import environment
from zoo.storage.errors import ZooError
from zoo.storage.manifest import MANIFEST_VERSION, Manifest, ShardEntry, read_manifest, shard_path, write_manifest
from zoo.storage.rows import sum_hashes
from zoo.storage.shards import ShardContents, ShardFile, describe_shard, encode_shard
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

Progress = Callable[[int, int], None]


def store_shards(
    store: Store,
    name: str,
    recipe: Mapping[str, object],
    digest: str,
    dataset_sha256: str,
    shards: Iterator[ShardContents],
    count: int,
    progress: Progress | None = None,
) -> Zoo:
    """Stores shards that are missing, and the manifest that makes a zoo of all of them.

    Raises:
        ZooError: The store cannot be written, or has a shard of that name with other content.
    """
    entries: list[ShardEntry] = []
    architectures: list[Mapping[str, object]] = []
    for done, contents in enumerate(shards, start=1):
        entries.append(shard_entry(_store_shard(store, name, contents), architectures))
        if progress is not None:
            progress(done, count)
    manifest = Manifest(
        schema_version=MANIFEST_VERSION,
        recipe=recipe,
        digest=digest,
        dataset_sha256=dataset_sha256,
        members=entries[-1].end,
        architectures=tuple(architectures),
        shards=tuple(entries),
        content_sha256=sum_hashes([entry.content_sha256 for entry in entries]),
        environment=environment(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    before = read_manifest(store, name)
    if before is None or before.shards != manifest.shards:
        write_manifest(store, name, manifest)
    return Zoo.open(name, store=store)


def is_whole(store: Store, name: str) -> bool:
    """Whether there is such a zoo, and all shards that its manifest lists are there."""
    manifest = read_manifest(store, name)
    if manifest is None:
        return False
    present = set(store.list(shard_path(name, "")))
    return all(shard_path(name, entry.name) in present for entry in manifest.shards)


def _store_shard(store: Store, zoo: str, contents: ShardContents) -> ShardFile:
    """Stores one shard; what is there already stays, if it is the same."""
    data = encode_shard(contents)
    path = shard_path(zoo, contents.members.name)
    file = describe_shard(data, path)
    if store.put_new(path, data):
        return file
    found = describe_shard(store.read(path), store.join(path))
    if (found.members, found.content_sha256) != (file.members, file.content_sha256):
        raise ZooError(
            f"{store.join(path)} is there already with other content; `zooscale verify {zoo} --remove-unfinished` "
            "deletes it where no manifest lists it"
        )
    return found
