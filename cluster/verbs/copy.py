"""``copy``: a zoo, a study or a report as it lies, into another store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import options
from cluster.display import human_bytes, live
from cluster.stores import ROWS, STUDIES, ZOOS, Entry, find_entry, with_studies
from cluster.verb import Planned, Result
from zoo.words import counted

if TYPE_CHECKING:
    from zoo.storage.store import Store

# TensorBoard's logs of a study lie with its journal in a local store, by themselves in others.
LIVE, LOGS = "live", "tensorboard"


@dataclass(frozen=True, kw_only=True)
class Copied(Result):
    """What is, or with ``copied`` was, copied: how many files, among them those that are there already."""

    source: str
    target: str
    copies: tuple[str, ...]
    files: int
    bytes: int
    copied: bool = False

    @property
    def text(self) -> str:
        did = "copied" if self.copied else "would copy"
        size = f"{counted(self.files, 'file')}, {human_bytes(self.bytes)}"
        return f"{did} {', '.join(self.copies)} from {self.source} to {self.target}: {size}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy(Planned):
    """Copy a zoo, a study or a report into another store. What is there already stays; an interrupted copy goes on.

    With a zoo goes what was measured of it, so that analyses there need not measure it again.
    """

    name: options.Entry
    to: Annotated[str, typer.Option(help="The other store.")]
    store: options.Store = "./store"
    with_studies: Annotated[bool, typer.Option("--with-studies", help="With a zoo, also the studies on it.")] = False

    def plan(self) -> Copied:
        """Counts what would be copied.

        Raises:
            ValueError: There is no such thing, or it is a study without results.
            ZooError: It is an unfinished zoo, or the other store has a zoo of that name with other content.
        """
        from zoo.storage.store import Store

        target = Store(self.to)
        copies = [(entry, _places(entry, target)) for entry in self._entries()]
        sizes = [size for entry, places in copies for path, size in entry.sizes.items() if path in places]
        return Copied(
            source=copies[0][0].store.uri,
            target=target.uri,
            copies=tuple(entry.path for entry, _ in copies),
            files=len(sizes),
            bytes=sum(sizes),
        )

    def run(self) -> Copied:
        """Copies it; last what makes it look whole."""
        from zoo.storage.store import Store

        planned, target = self.plan(), Store(self.to)
        target.check_writable(planned.copies[0])
        for entry in self._entries():
            _copy(entry, target)
        return replace(planned, copied=True)

    def _entries(self) -> list[Entry]:
        """What is copied."""
        entry = find_entry(self.name, self.store)
        return with_studies(entry) if self.with_studies and entry.kind == ZOOS else [entry]


def _places(entry: Entry, target: Store) -> dict[str, str]:
    """The files of a zoo, study or report, and where each belongs in another store; last what makes it look whole."""
    from trainables.study_files import STUDY_FILE
    from zoo.exchange.copying import require_no_other
    from zoo.storage.manifest import manifest_paths, shard_path
    from zoo.storage.zoo import Zoo

    if entry.kind == ZOOS:
        zoo = Zoo.open(entry.name, store=entry.store)
        require_no_other(zoo, target)
        shards = [shard_path(zoo.name, shard.name) for shard in zoo.manifest.shards]
        return {path: path for path in (*_new_rows(entry, target), *shards, manifest_paths(zoo.store, zoo.name)[-1])}
    logs, logs_there = (
        f"{entry.path}/{LIVE}/{LOGS}/" if store.is_local else f"{entry.path}/{LOGS}/" for store in (entry.store, target)
    )
    places = {}
    for path in entry.sizes:
        if path.startswith(logs):
            places[path] = logs_there + path.removeprefix(logs)
        elif not path.startswith(f"{entry.path}/{LIVE}/"):  # the journal in use, of which there are copies beside
            places[path] = path
    if entry.kind == STUDIES:
        record = f"{entry.path}/{STUDY_FILE}"
        if record not in places:
            raise ValueError(f"study {entry.name} in {entry.store.uri} has no results yet; let its search finish")
        places[record] = places.pop(record)
    return places


def _new_rows(entry: Entry, target: Store) -> list[str]:
    """What was measured of a zoo and the other store does not have; where both have it, it differs in seconds only."""
    folder = f"{ROWS}/{entry.name}"
    there = set(target.list(folder))
    return [path for path in entry.store.list(folder) if path not in there]


def _copy(entry: Entry, target: Store) -> None:
    """Copies one of them, and shows how far that is."""
    from zoo.exchange.copying import copy_objects, copy_zoo
    from zoo.storage.zoo import Zoo

    with live(f"copy {entry.name}", 1, "files") as task:
        if entry.kind == ZOOS:
            zoo = Zoo.open(entry.name, store=entry.store)
            copy_objects(entry.store, target, {path: path for path in _new_rows(entry, target)})
            copy_zoo(zoo, target, lambda done, count: task.update(done, total=count))
        else:
            places = _places(entry, target)
            copy_objects(entry.store, target, places, lambda done, count: task.update(done, total=count))
