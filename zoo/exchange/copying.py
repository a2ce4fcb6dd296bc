"""Copies of zoos and other folders of a store, as they lie, into another store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from zoo.generation.build import Progress
from zoo.storage.errors import ZooError
from zoo.storage.manifest import MANIFEST_PATTERN, ZOOS, Manifest, ShardEntry, read_manifest, shard_path, write_manifest
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.words import zooscale


def copy_zoo(zoo: Zoo, store: Store, progress: Progress | None = None) -> Zoo:
    """Copies a zoo: its shards first, its manifest last, so that there is a whole zoo or none.

    What is there already, such as after a copy that was interrupted, stays.

    Args:
        zoo: What to copy.
        store: Where to.
        progress: Called with (shards done, of how many).

    Raises:
        ZooError: A shard is missing or damaged, the store cannot be written, or it has a zoo of that name with other
            content.
    """
    require_no_other(zoo, store)
    present = set(store.list(shard_path(zoo.name, "")))
    for done, entry in enumerate(zoo.manifest.shards, start=1):
        path = shard_path(zoo.name, entry.name)
        new = path not in present and store.put_new(path, read_shard_file(zoo, entry))
        if not new and _sha256(store.read(path)) != entry.sha256:
            raise ZooError(
                f"{store.join(path)} is there already with other content; "
                f"`{zooscale('verify', zoo.name, '--remove-unfinished', '--store', store.uri)}` deletes it where no "
                "manifest lists it"
            )
        if progress is not None:
            progress(done, len(zoo.manifest.shards))
    write_manifest(store, zoo.name, zoo.manifest)
    return Zoo.open(zoo.name, store=store)


def require_no_other(zoo: Zoo, store: Store) -> None:
    """Raises ``ZooError`` where a store has a zoo of that name with other content."""
    previous = read_manifest(store, zoo.name)
    if previous is not None and not _hashes(previous) <= _hashes(zoo.manifest):
        raise ZooError(
            f"{store.uri} has zoo {zoo.name} already, with {previous.members} members and other content than the "
            f"{len(zoo)} of {zoo.uri}; copy it into another store"
        )


def check_copy(zoo: Zoo, store: Store, progress: Progress | None = None) -> Callable[[Progress | None], Zoo]:
    """Reads every shard of a zoo, and makes sure that it can be copied.

    Args:
        zoo: What to copy.
        store: Where to.
        progress: Called with (shards checked, of how many).

    Returns:
        What copies it, :func:`copy_zoo`; called with what is told of (shards done, of how many).

    Raises:
        ZooError: A shard is missing or damaged, or the store has a zoo of that name with other content.
    """
    require_no_other(zoo, store)
    for done, entry in enumerate(zoo.manifest.shards, start=1):
        read_shard_file(zoo, entry)
        if progress is not None:
            progress(done, len(zoo.manifest.shards))
    return partial(copy_zoo, zoo, store)


def copy_objects(source: Store, target: Store, places: Mapping[str, str], progress: Progress | None = None) -> None:
    """Copies objects that belong together. What is there already with the same content stays.

    Args:
        source: Where they lie.
        target: Where to.
        places: For the path of each in the one store that in the other; in this order.
        progress: Called with (objects done, of how many).

    Raises:
        ZooError: One is there already with other content, or the store cannot be written.
    """
    for done, (path, place) in enumerate(places.items(), start=1):
        data = source.read(path)
        if not target.put_new(place, data) and target.read(place) != data:
            raise ZooError(
                f"{target.join(place)} is there already with other content; "
                f"`{zooscale('rm', '/'.join(place.split('/')[:2]), '--store', target.uri)}` removes what it belongs to"
            )
        if progress is not None:
            progress(done, len(places))


def read_shard_file(zoo: Zoo, entry: ShardEntry) -> bytes:
    """The bytes of a shard, which are those that the manifest lists.

    Raises:
        ZooError: It is missing or damaged.
    """
    path = shard_path(zoo.name, entry.name)
    where, more = zoo.store.join(path), zooscale("verify", zoo.name, "--store", zoo.store.uri)
    try:
        data = zoo.store.read(path)
    except FileNotFoundError as error:
        raise ZooError(f"{where} is missing; `{more}` lists all damage") from error
    if _sha256(data) != entry.sha256:
        raise ZooError(f"{where} is damaged; `{more}` lists all damage")
    return data


def zoos_in(path: Path) -> list[Path]:
    """The zoos that a folder is, or holds as a store."""
    if not path.is_dir():
        return []
    if any(MANIFEST_PATTERN.fullmatch(entry.name) for entry in path.iterdir()):
        return [path]
    zoos = sorted((path / ZOOS).iterdir()) if (path / ZOOS).is_dir() else []
    return [zoo for zoo in zoos if zoos_in(zoo) == [zoo]]


def _hashes(manifest: Manifest) -> set[str]:
    return {entry.content_sha256 for entry in manifest.shards}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
