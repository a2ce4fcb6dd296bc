"""``list`` and ``verify``, and finding zoos and stores by what the user calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from cluster.display import human_bytes, say
from zoo.storage.errors import ZooError
from zoo.storage.manifest import list_zoos, read_manifest
from zoo.storage.store import Store
from zoo.storage.verify import remove_unfinished, verify
from zoo.storage.zoo import Zoo, locate

STUDIES, REPORTS = "studies", "reports"
STUDY_FILE, REPORT_FILE, CARD_FILE = "study.json", "report.html", "card.html"


def existing_store(uri: str) -> Store:
    """A store to read from.

    Raises:
        ValueError: A local folder that does not exist.
    """
    store = Store(uri)
    if store.is_local and not store.exists(""):
        raise ValueError(
            f"there is no store {store.uri}; name one with --store, or make one with `zooscale generate RECIPE`"
        )
    return store


def open_zoo(zoo: str, store_uri: str) -> Zoo:
    """A zoo by its URI, or by its name (or the beginning of it) in a store.

    Raises:
        ZooError: There is none; the message lists those there are.
        ValueError: The store does not exist.
    """
    return Zoo.open(zoo) if "/" in zoo else Zoo.open(zoo, store=existing_store(store_uri))


def run_verify(zoo_name: str, store_uri: str, *, clean: bool = False) -> dict[str, Any]:
    """The verb ``verify``.

    Args:
        zoo_name: A zoo of the store, or its URI.
        store_uri: The store.
        clean: Whether to delete first what no manifest of the zoo lists. A zoo that was never finished is gone then,
            and there is nothing left to verify.

    Returns:
        What is printed as JSON, and ``text`` for people; ``findings`` is empty for a sound zoo.
    """
    removed: list[str] = []
    if clean:
        store, name = locate(zoo_name, None if "/" in zoo_name else existing_store(store_uri))
        removed = remove_unfinished(store, name)
        say(f"removed {len(removed)} unfinished files of {name}")
        if read_manifest(store, name) is None:
            return {"zoo": name, "removed": removed, "findings": [], "text": f"{name} was unfinished and is removed"}
    zoo = open_zoo(zoo_name, store_uri)
    say(f"verify {zoo.name}: {len(zoo.manifest.shards)} shards")
    findings = verify(zoo)
    lines = [str(finding) for finding in findings]
    summary = f"{len(findings)} findings" if findings else "sound"
    return {
        "zoo": zoo.name,
        "uri": zoo.uri,
        "content_sha256": zoo.content_sha256,
        "shards": len(zoo.manifest.shards),
        "removed": removed,
        "findings": [{"kind": finding.kind, "where": finding.where, "detail": finding.detail} for finding in findings],
        "text": "\n".join([*lines, f"{zoo.name}: {len(zoo)} members, {summary}"]),
    }


def run_list(store_uri: str) -> dict[str, Any]:
    """The verb ``list``.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    store = existing_store(store_uri)
    zoos = [
        _entry("zoo", listing.name, partial(_zoo_entry, store, listing.name, listing.shards))
        for listing in list_zoos(store)
    ]
    studies = [_entry("study", name, partial(_study_entry, store, name)) for name in store.folders(STUDIES)]
    reports = [
        {
            "report": name,
            "uri": store.join(REPORTS, name, file),
            "line": store.join(REPORTS, name, file),
        }
        for name in store.folders(REPORTS)
        for file in (REPORT_FILE, CARD_FILE)
        if store.exists(f"{REPORTS}/{name}/{file}")
    ]
    lines = [f"store {store.uri}"]
    for title, entries in (("zoos", zoos), ("studies", studies), ("reports", reports)):
        lines += ["", title if entries else f"{title}: none"]
        lines += [f"  {entry.pop('line')}" for entry in entries]
    return {"store": store.uri, "zoos": zoos, "studies": studies, "reports": reports, "text": "\n".join(lines)}


def _entry(kind: str, name: str, describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """An entry of the list; what is damaged says so and does not hide the others."""
    try:
        return {kind: name, **describe()}
    except (ZooError, ValueError, KeyError, TypeError) as error:
        words = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        return {kind: name, "complete": False, "damaged": words, "line": f"{name}  damaged: {words}"}


def _zoo_entry(store: Store, name: str, shards: int) -> dict[str, Any]:
    manifest = read_manifest(store, name)
    if manifest is None:
        return {
            "complete": False,
            "shards": shards,
            "line": f"{name}  unfinished, {shards} shards; `zooscale generate` or `zooscale import` continues it",
        }
    size = sum(entry.size_bytes for entry in manifest.shards)
    return {
        "complete": True,
        "shards": len(manifest.shards),
        "members": manifest.members,
        "snapshots": sum(entry.rows for entry in manifest.shards),
        "bytes": size,
        "content_sha256": manifest.content_sha256,
        "created": manifest.created,
        "line": f"{name}  {manifest.members:,} members  {human_bytes(size)}  {manifest.created}",
    }


def _study_entry(store: Store, name: str) -> dict[str, Any]:
    path = f"{STUDIES}/{name}/{STUDY_FILE}"
    if not store.exists(path):
        line = f"{name}  unfinished, no trials yet; `zooscale search` runs or continues it"
        return {"complete": False, "trials_completed": 0, "line": line}
    facts = json.loads(store.read(path))
    ended, wanted = facts["trials_completed"] + facts["trials_failed"], facts["study"]["trials"]
    return {
        "complete": ended >= wanted,
        "zoo": facts["zoo"]["name"],
        "trials_completed": facts["trials_completed"],
        "line": f"{name}  {ended} of {wanted} trials  on {facts['zoo']['name']}",
    }
