"""``list``: the zoos, studies and reports of a store."""

from __future__ import annotations

import json
from dataclasses import dataclass

from cluster.display import human_bytes
from cluster.stores import CARD_FILE, REPORT_FILE, REPORTS, existing_store
from cluster.verb import Result, StoreOption, Verb
from zoo.storage.errors import ZooError
from zoo.storage.manifest import list_zoos, read_manifest
from zoo.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class ListedZoo:
    """A zoo of a store; what is not known is ``None``.

    Attributes:
        zoo: Its name.
        complete: Whether it has a manifest.
        shards: How many there are.
        members: Its networks.
        snapshots: Its rows.
        bytes: Size of its shards.
        content_sha256: Its hash.
        created: When it was finished, ISO 8601.
        damaged: What is wrong with it, if anything.
    """

    zoo: str
    complete: bool = False
    shards: int | None = None
    members: int | None = None
    snapshots: int | None = None
    bytes: int | None = None
    content_sha256: str | None = None
    created: str | None = None
    damaged: str | None = None

    @property
    def text(self) -> str:
        """One line."""
        if self.damaged is not None:
            return f"{self.zoo}  damaged: {self.damaged}"
        if self.members is None or self.bytes is None:
            return f"{self.zoo}  unfinished, {self.shards} shards; `zooscale generate` or `import` continues it"
        return f"{self.zoo}  {self.members:,} members  {human_bytes(self.bytes)}  {self.created}"


@dataclass(frozen=True, kw_only=True)
class ListedStudy:
    """A study of a store; what is not known is ``None``.

    Attributes:
        study: Its name.
        complete: Whether all its trials have ended.
        zoo: The zoo that it searched on.
        trials: How many it is to have.
        trials_completed: How many have ended well.
        trials_failed: How many have not.
        damaged: What is wrong with it, if anything.
    """

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
        if self.damaged is not None:
            return f"{self.study}  damaged: {self.damaged}"
        if self.trials is None:
            return f"{self.study}  unfinished, no trials yet; `zooscale search` runs or continues it"
        return f"{self.study}  {self.trials_completed + self.trials_failed} of {self.trials} trials  on {self.zoo}"


@dataclass(frozen=True, kw_only=True)
class ListedReport:
    """A report or card of a store.

    Attributes:
        report: Its name.
        uri: Its page.
    """

    report: str
    uri: str

    @property
    def text(self) -> str:
        """One line."""
        return self.uri


@dataclass(frozen=True, kw_only=True)
class Inventory(Result):
    """What a store holds.

    Attributes:
        store: Its URI.
        zoos: Its zoos, finished or not.
        studies: Its studies.
        reports: Its reports and cards.
    """

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

    store: StoreOption = "./store"

    def run(self) -> Inventory:
        """Reads manifests and study records."""
        from trainables.study_files import STUDIES

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
    from trainables.study_files import STUDIES, STUDY_FILE

    path = f"{STUDIES}/{name}/{STUDY_FILE}"
    if not store.exists(path):
        return ListedStudy(study=name)
    try:
        facts = json.loads(store.read(path))
        completed, failed, trials = facts["trials_completed"], facts["trials_failed"], facts["study"]["trials"]
        zoo = facts["zoo"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        words = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
        return ListedStudy(study=name, damaged=words)
    return ListedStudy(
        study=name,
        complete=completed + failed >= trials,
        zoo=zoo,
        trials=trials,
        trials_completed=completed,
        trials_failed=failed,
    )
