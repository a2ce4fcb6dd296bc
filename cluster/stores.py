"""Finding stores, and what is in them, by what the user calls them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.display import human_bytes

if TYPE_CHECKING:
    from zoo.storage.store import Store
    from zoo.storage.zoo import Zoo

ZOOS, STUDIES, REPORTS, TABLES = "zoos", "studies", "reports", "tables"
# Of a zoo, as :class:`analysis.kept_rows.KeptRows` keeps them, which takes long to load.
ROWS = "rows"
KINDS = (ZOOS, STUDIES, REPORTS)
REPORT_FILE, CARD_FILE = "report.html", "card.html"


@dataclass(frozen=True)
class Entry:
    """A zoo, a study or a report: a folder of a store.

    Attributes:
        store: The store.
        kind: "zoos", "studies" or "reports".
        name: Its full name.
    """

    store: Store
    kind: str
    name: str

    @property
    def path(self) -> str:
        """Its path in the store."""
        return f"{self.kind}/{self.name}"

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each of its files by their paths; of a report also its tables, of a zoo what was measured of it."""
        beside = {REPORTS: TABLES, ZOOS: ROWS}.get(self.kind)
        sizes = self.store.sizes(self.path)
        return sizes if beside is None else sizes | self.store.sizes(f"{beside}/{self.name}")


def existing_store(uri: str) -> Store:
    """A store to read from.

    Raises:
        ValueError: A local folder that does not exist, a file, or a place on object storage where nothing is.
    """
    from zoo.storage.store import Store

    store = Store(uri)
    if store.is_local and Path(store.uri).is_file():
        raise ValueError(f"{store.uri} is a file; a store is a folder with zoos, studies and reports")
    if not (store.exists("") if store.is_local else store.folders() or store.files()):
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
    from zoo.storage.zoo import Zoo

    return Zoo.open(zoo) if "/" in zoo else Zoo.open(zoo, store=existing_store(store_uri))


def find_entry(given: str, store_uri: str) -> Entry:
    """What a user names: ``NAME`` of a zoo or study, or a unique beginning of it; ``KIND/NAME``; or a URI.

    Raises:
        ValueError: There is no such thing, there are several, or the store does not exist.
    """
    from zoo.storage.catalog import named

    root, _, name = given.rstrip("/").rpartition("/")
    root, _, kind = root.rpartition("/")
    if not name or kind not in ("", *KINDS):
        raise ValueError(
            f"{given!r} is nothing that a store has; allowed: NAME, or KIND/NAME with KIND one of {', '.join(KINDS)}, "
            "alone or after the address of a store"
        )
    store = existing_store(root or store_uri)
    entries = [Entry(store, each, found) for each in ([kind] if kind else KINDS[:2]) for found in store.folders(each)]
    meant = named([entry.name for entry in entries], name)
    matches = [entry for entry in entries if entry.name in meant]
    if len(matches) > 1:
        paths = ", ".join(entry.path for entry in matches)
        raise ValueError(f"{given!r} is the beginning of several names in {store.uri}: {paths}; give one of these")
    if not matches:
        there = ", ".join(entry.path for entry in entries) or "none"
        called = {ZOOS: "zoo", STUDIES: "study", REPORTS: "report"}.get(kind, "zoo or study")
        raise ValueError(f"there is no {called} {name!r} in {store.uri}; there are: {there}")
    return matches[0]


def with_studies(zoo: Entry) -> list[Entry]:
    """A zoo, after it the studies that were made on it."""
    from trainables.study_files import StudyFolder, study_names

    on_it = []
    for name in study_names(zoo.store):
        facts = StudyFolder(zoo.store, name).facts() or {}
        if facts.get("zoo", {}).get("name") == zoo.name:
            on_it.append(Entry(zoo.store, STUDIES, name))
    return [zoo, *on_it]


def lack_of_space(store: Store, folder: str, size: float) -> str:
    """What is to be said where the disk that a store is on has no room for so many bytes; empty where it has.

    Args:
        store: Any store; of those elsewhere it is not known.
        folder: Where something is going to be written.
        size: About how many bytes.
    """
    if not store.is_local:
        return ""
    there = Path(store.uri)
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if size <= free:
        return ""
    return (
        f"{store.join(folder)} needs about {human_bytes(size)}, and the disk has {human_bytes(free)} free; make it "
        "smaller, or name another --store"
    )
