"""Which zoos a store has, finished or not, and which of them is meant. This module needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.storage.errors import ZooError
from zoo.storage.manifest import ZOOS, Manifest, manifest_paths, read_manifest, shard_path
from zoo.storage.store import DEFAULT_STORE, Store
from zoo.words import counted, zooscale


@dataclass(frozen=True, slots=True)
class ZooListing:
    """A zoo found in a store.

    Attributes:
        name: ``<recipe>-<digest8>``.
        manifests: Paths of its manifests, oldest first; none where generation has not finished.
        shards: Number of shard files where there is no manifest, which would tell.
    """

    name: str
    manifests: tuple[str, ...]
    shards: int

    @property
    def complete(self) -> bool:
        """Whether it can be opened."""
        return bool(self.manifests)


def find_listing(store: Store, name: str) -> ZooListing:
    """What there is of a zoo, whether complete or not."""
    manifests = manifest_paths(store, name)
    shards = 0 if manifests else sum(file.endswith(".parquet") for file in store.files(shard_path(name, "")))
    return ZooListing(name, manifests, shards)


def list_zoos(store: Store) -> list[ZooListing]:
    """All zoos of a store, also those that generation has not finished."""
    listings = (find_listing(store, name) for name in store.folders(ZOOS))
    return [listing for listing in listings if listing.complete or listing.shards]


def named(names: Sequence[str], given: str) -> list[str]:
    """Those of some names ``<recipe>-<digest8>`` that are meant: the given one, else its recipe's, else beginnings."""
    matches = [name for name in names if name == given]
    matches = matches or [name for name in names if name.rpartition("-")[0] == given]
    return matches or [name for name in names if name.startswith(given)]


def resolve_name(store: Store, name: str) -> str:
    """The full name of the zoo whose name is, or alone begins with, ``name``.

    Where ``name`` is that of a recipe, zoos of other recipes that begin the same do not count.

    Raises:
        ZooError: There is none, or several; the message lists those there are.
    """
    if name and manifest_paths(store, name):
        return name
    listings = list_zoos(store)
    meant = named([listing.name for listing in listings], name)
    matches = [listing for listing in listings if listing.name in meant]
    matches = [listing for listing in matches if listing.complete] or matches
    if len(matches) == 1:
        return matches[0].name
    if matches:
        raise ZooError(
            f"{name!r} is the beginning of several zoos in {store.uri}: "
            f"{', '.join(listing.name for listing in matches)}; give more of the name"
        )
    known = ", ".join(listing.name + ("" if listing.complete else " (unfinished)") for listing in listings)
    raise ZooError(
        f"there is no zoo {name!r} in {store.uri}; "
        + (f"it has {known}" if known else "it has none: `zooscale generate RECIPE` makes one")
    )


def require_manifest(store: Store, name: str) -> Manifest:
    """The newest manifest of a zoo.

    Raises:
        ZooError: The zoo is not finished: how much of it there is, and how to go on; or the manifest is damaged.
    """
    manifest = read_manifest(store, name)
    if manifest is None:
        shards = find_listing(store, name).shards
        recipe = name.rpartition("-")[0] or name
        raise ZooError(
            f"zoo {name} in {store.uri} is unfinished: {counted(shards, 'shard')} but no manifest. "
            f"`zooscale generate {recipe}`, or the `zooscale import` that it comes from, continues where it stopped if "
            "given the same options; "
            f"`{zooscale('rm', name, '--store', store.uri)}` deletes it"
        )
    return manifest


def locate(zoo: str | os.PathLike[str], store: Store | str | None = None) -> tuple[Store, str]:
    """Finds the store and the full name of a zoo, finished or not.

    Args:
        zoo: As in :meth:`Zoo.open`.
        store: As in :meth:`Zoo.open`.

    Raises:
        ZooError: There is no such zoo, or the address is none of a zoo.
    """
    given = os.fspath(zoo).rstrip("/")
    if store is None and "/" in given:
        full = given if "://" in given else os.path.abspath(os.path.expanduser(given))
        root, _, given = full.rpartition("/")
        root, _, folder = root.rpartition("/")
        if folder != ZOOS:
            raise ZooError(f"{zoo} is not the address of a zoo; one ends in /{ZOOS}/NAME")
        store = Store(root)
    elif not isinstance(store, Store):
        store = Store(DEFAULT_STORE if store is None else store)
    return store, resolve_name(store, given)
