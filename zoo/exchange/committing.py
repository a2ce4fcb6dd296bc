"""Stores the shards of an import, and the manifest that makes a zoo of them: shards first, manifest last."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from zoo.storage.environment import environment
from zoo.storage.errors import ZooError
from zoo.storage.manifest import MANIFEST_VERSION, Manifest, ShardEntry, shard_path, write_manifest
from zoo.storage.rows import sum_hashes
from zoo.storage.shards import ShardContents, ShardHeader, encode_shard, open_shard, read_header
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
    """Stores shards, and the manifest that makes a zoo of them.

    Raises:
        ZooError: The store cannot be written, or has a shard of that name with other content.
    """
    entries: list[ShardEntry] = []
    architectures: list[Mapping[str, object]] = []
    for done, contents in enumerate(shards, start=1):
        entries.append(_store_shard(store, name, contents, architectures))
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
    write_manifest(store, name, manifest)
    return Zoo.open(name, store=store)


def _store_shard(
    store: Store, zoo: str, contents: ShardContents, architectures: list[Mapping[str, object]]
) -> ShardEntry:
    """Stores one shard; what is there already stays, if it is the same."""
    data = encode_shard(contents)
    path = shard_path(zoo, contents.members.name)
    header, rows = _header(data, path)
    if not store.put_new(path, data):
        data = store.read(path)
        found, rows = _header(data, store.join(path))
        if found.content_sha256 != header.content_sha256 or found.digest != header.digest:
            raise ZooError(
                f"{store.join(path)} is there already with other content; `zooscale verify {zoo} --remove-unfinished` "
                "deletes it where no manifest lists it"
            )
    architecture = header.architecture.to_json()
    if architecture not in architectures:
        architectures.append(architecture)
    return ShardEntry(
        name=contents.members.name,
        first=contents.members.first,
        end=contents.members.end,
        architecture=architectures.index(architecture),
        rows=rows,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        content_sha256=header.content_sha256,
    )


def _header(data: bytes, where: str) -> tuple[ShardHeader, int]:
    """What a shard says about itself, and how many rows it has."""
    file = open_shard(io.BytesIO(data), where)
    return read_header(file.schema_arrow, where), file.metadata.num_rows
