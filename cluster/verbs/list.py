"""``list``: the zoos, studies and reports of a store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import options
from cluster.display import human_bytes
from cluster.stores import CARD_FILE, REPORT_FILE, REPORTS, existing_store
from cluster.verb import Result, Verb
from zoo.words import counted

if TYPE_CHECKING:
    from zoo.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class ListedZoo:
    """A zoo; ``complete`` once it has a manifest, ``damaged`` says what is wrong with that."""

    zoo: str
    complete: bool = False
    shards: int | None = None
    members: int = 0
    snapshots: int = 0
    bytes: int = 0
    content_sha256: str | None = None
    created: str | None = None
    damaged: str | None = None

    @property
    def text(self) -> str:
        """One line."""
        if self.damaged:
            return f"{self.zoo}  damaged: {self.damaged}"
        if not self.complete:
            shards = counted(self.shards or 0, "shard")
            return f"{self.zoo}  unfinished, {shards}; `zooscale generate` or `import` continues it"
        return f"{self.zoo}  {counted(self.members, 'member')}  {human_bytes(self.bytes)}  {self.created}"


@dataclass(frozen=True, kw_only=True)
class ListedStudy:
    """A study; ``complete`` once all its trials have ended, ``damaged`` says what is wrong with its record."""

    study: str
    complete: bool = False
    zoo: str | None = None
    trials: int | None = None
    trials_completed: int = 0
    trials_failed: int = 0
    damaged: str | None = None

    @property
    def text(self) -> str:
        """One line."""
        if self.damaged:
            return f"{self.study}  damaged: {self.damaged}"
        if self.trials is None:
            return f"{self.study}  unfinished, no trials yet; `zooscale search` runs or continues it"
        ended = self.trials_completed + self.trials_failed
        failed = f", {self.trials_failed} failed" if self.trials_failed else ""
        return f"{self.study}  {ended} of {counted(self.trials, 'trial')}{failed}  on {self.zoo}"


@dataclass(frozen=True, kw_only=True)
class ListedReport:
    """A report or a card, and its page."""

    report: str
    uri: str

    @property
    def text(self) -> str:
        """One line."""
        return self.uri


@dataclass(frozen=True, kw_only=True)
class Inventory(Result):
    """What a store holds."""

    store: str
    zoos: tuple[ListedZoo, ...]
    studies: tuple[ListedStudy, ...]
    reports: tuple[ListedReport, ...]

    @property
    def text(self) -> str:
        lines = [f"store {self.store}"]
        for title, entries in (("zoos", self.zoos), ("studies", self.studies), ("reports", self.reports)):
            lines += ["", title if entries else f"{title}: none"]
            lines += [f"  {entry.text}" for entry in entries]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class List(Verb):
    """List the zoos, studies and reports of a store."""

    store: options.Store = "./store"

    def run(self) -> Inventory:
        """Reads manifests and study records; what is damaged does not hide the rest."""
        from trainables.study_files import STUDIES
        from zoo.storage.catalog import list_zoos

        store = existing_store(self.store)
        return Inventory(
            store=store.uri,
            zoos=tuple(_zoo(store, listing.name, listing.shards) for listing in list_zoos(store)),
            studies=tuple(_study(store, name) for name in store.folders(STUDIES)),
            reports=tuple(
                ListedReport(report=name, uri=store.join(REPORTS, name, file))
                for name in store.folders(REPORTS)
                for file in (REPORT_FILE, CARD_FILE)
                if store.exists(f"{REPORTS}/{name}/{file}")
            ),
        )


def _zoo(store: Store, name: str, shards: int) -> ListedZoo:
    from zoo.storage.errors import ZooError
    from zoo.storage.manifest import read_manifest

    try:
        manifest = read_manifest(store, name)
    except ZooError as error:
        return ListedZoo(zoo=name, damaged=str(error))
    if manifest is None:
        return ListedZoo(zoo=name, shards=shards)
    return ListedZoo(
        zoo=name,
        complete=True,
        shards=len(manifest.shards),
        members=manifest.members,
        snapshots=sum(entry.rows for entry in manifest.shards),
        bytes=sum(entry.size_bytes for entry in manifest.shards),
        content_sha256=manifest.content_sha256,
        created=manifest.created,
    )


def _study(store: Store, name: str) -> ListedStudy:
    from trainables.study_files import STUDY_FILE, StudyFolder

    path = StudyFolder(store, name).path(STUDY_FILE)
    if not store.exists(path):
        return ListedStudy(study=name)
    try:
        facts = json.loads(store.read(path))
        study, completed, failed = facts["study"], facts["trials_completed"], facts["trials_failed"]
        trials = study["trials"] if study.get("spaces", True) else len(study["trainables"])  # see Study.wanted_trials
        zoo = facts["zoo"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        return ListedStudy(study=name, damaged=f"{type(error).__name__}: {error}")
    return ListedStudy(
        study=name,
        complete=completed + failed >= trials,
        zoo=zoo,
        trials=trials,
        trials_completed=completed,
        trials_failed=failed,
    )
