"""Removal of what no manifest lists, and of whole folders of a store: zoos, studies, reports."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.storage.catalog import require_manifest
from zoo.storage.manifest import listed_shards, manifest_paths, shard_path, zoo_folder
from zoo.storage.store import Store


def remove_unfinished(store: Store, name: str) -> list[str]:
    """Deletes what an interrupted extension has left of a zoo: files that none of its manifests lists.

    Args:
        store: The store.
        name: Full name of the zoo.

    Returns:
        URIs of what was deleted.

    Raises:
        ZooError: The zoo has no manifest, a manifest is damaged, or the store cannot be written.
    """
    require_manifest(store, name)
    kept = listed_shards(store, name)
    removed = [path for path in store.list(shard_path(name, "")) if path not in kept]
    for path in removed:
        store.delete(path)
    return [store.join(path) for path in (*removed, *store.delete_partial(zoo_folder(name)))]


def remove_zoo(store: Store, name: str) -> None:
    """Deletes a zoo, its manifests first, oldest to newest: what is left of it meanwhile is whole or unfinished.

    Raises:
        ZooError: The store cannot be written.
    """
    remove_folder(store, zoo_folder(name), first=manifest_paths(store, name))


def remove_folder(store: Store, folder: str, first: Sequence[str] = ()) -> None:
    """Deletes all that lies in a folder of a store.

    Args:
        store: The store.
        folder: The folder.
        first: Paths of what makes it look whole, which go before the rest, in this order.

    Raises:
        ZooError: The store cannot be written.
    """
    for path in dict.fromkeys([*first, *store.list(folder)]):
        store.delete(path)
    store.delete_partial(folder)
