"""``rm``: a zoo, a study or a report leaves its store."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from cluster import options
from cluster.display import human_bytes
from cluster.stores import REPORTS, ROWS, STUDIES, TABLES, ZOOS, Entry, find_entry, with_studies
from cluster.verb import FAILED, Planned, Result
from zoo.words import counted


@dataclass(frozen=True, kw_only=True)
class Removal(Result):
    """What is to be removed from a store, with all its files; ``removed`` says whether it was, ``None`` before."""

    store: str
    removes: tuple[str, ...]
    files: int
    bytes: int
    removed: bool | None = None

    @property
    def text(self) -> str:
        did = {None: "would remove", True: "removed", False: "nothing was removed of"}[self.removed]
        size = f"{counted(self.files, 'file')}, {human_bytes(self.bytes)}"
        return f"{did} {', '.join(self.removes)} in {self.store}: {size}"

    @property
    def exit_code(self) -> int:
        return FAILED if self.removed is False else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rm(Planned):
    """Remove a zoo, a study or a report. What it consists of is counted, and asked about, before."""

    name: options.Entry
    store: options.Store = "./store"
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
    with_studies: Annotated[
        bool, typer.Option("--with-studies", help="With a zoo, also the studies on it, which are of no use without.")
    ] = False

    def plan(self) -> Removal:
        """Counts what would go.

        Raises:
            ValueError: There is no such thing, it is a zoo with studies that are to stay, or a search is running.
        """
        return _removal(self._entries())

    def run(self) -> Removal:
        """Removes it, if that is confirmed."""
        entries = self._entries()
        planned = _removal(entries)
        if not self.yes and not _confirmed(planned):
            return replace(planned, removed=False)
        for entry in reversed(entries):  # studies before the zoo that they need
            _remove(entry)
        return replace(planned, removed=True)

    def _entries(self) -> list[Entry]:
        """What is to go: first what was named, then the studies on it."""
        entry = find_entry(self.name, self.store)
        _require_no_search(entry)
        if entry.kind != ZOOS:
            return [entry]
        entries = with_studies(entry)
        if len(entries) > 1 and not self.with_studies:
            raise ValueError(
                f"{counted(len(entries) - 1, 'study', 'studies')} of {entry.store.uri} cannot be analyzed or continued "
                f"without zoo {entry.name}: {', '.join(study.name for study in entries[1:])}. Give --with-studies to "
                "remove them too"
            )
        return entries


def _require_no_search(entry: Entry) -> None:
    """Raises ``ValueError`` where a search of the study, or one on the zoo, is running on this machine."""
    if entry.kind == REPORTS:
        return
    from cluster.distributed.journal import SearchFolder

    names = [entry.name] if entry.kind == STUDIES else entry.store.folders(STUDIES)
    folders = [SearchFolder(entry.store, name) for name in names]
    for folder in folders:
        if (entry.kind == STUDIES or folder.searched_zoo() == entry.name) and folder.busy():
            raise ValueError(
                f"a search of study {folder.name} is running; wait for it or end it before {entry.path} goes"
            )


def _removal(entries: list[Entry]) -> Removal:
    sizes = [size for entry in entries for size in entry.sizes.values()]
    return Removal(
        store=entries[0].store.uri,
        removes=tuple(entry.path for entry in entries),
        files=len(sizes),
        bytes=sum(sizes),
    )


def _confirmed(planned: Removal) -> bool:
    """Whether the user, asked on stderr, agrees.

    Raises:
        ValueError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise ValueError(f"{planned.text}; give --yes to do so, as there is nobody to ask")
    return typer.confirm(f"{planned.text.replace('would remove', 'Remove')}?", err=True)


def _remove(entry: Entry) -> None:
    """Deletes a folder of a store, first what makes it look whole."""
    from trainables.study_files import STUDY_FILE
    from zoo.storage.removal import remove_folder, remove_zoo

    if entry.kind == ZOOS:
        remove_zoo(entry.store, entry.name)
        remove_folder(entry.store, f"{ROWS}/{entry.name}")
        return
    record = f"{entry.path}/{STUDY_FILE}"
    remove_folder(entry.store, entry.path, first=[record] if entry.store.exists(record) else [])
    if entry.kind == REPORTS:
        remove_folder(entry.store, f"{TABLES}/{entry.name}")
    if entry.kind == STUDIES and not entry.store.is_local:
        from cluster.distributed.logs import LiveFolder

        # Else a search of the same name would go on with the journal that it left on this machine.
        shutil.rmtree(LiveFolder(entry.store, entry.name).live, ignore_errors=True)
