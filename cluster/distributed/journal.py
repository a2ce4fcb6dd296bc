"""The journal of a search: on the driver's disk, and copied to the store."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from cluster.distributed.logs import LiveFolder
from zoo.storage.errors import ZooError

SNAPSHOT = re.compile(r"journal-(\d{4})\.log")


class SearchFolder(LiveFolder):
    """A study's folder with the journal of its search."""

    @property
    def journal(self) -> Path:
        """The study journal."""
        return self.live / "journal.log"

    @property
    def states(self) -> Path:
        """States of fits that have not ended."""
        return self.live / "states"

    def snapshots(self) -> list[str]:
        """Paths of the copies of the journal in the store, oldest first."""
        return [self.path(file) for file in self.store.files(self.path()) if SNAPSHOT.fullmatch(file)]

    def save_journal(self) -> None:
        """Copies the journal to the store under the next free number, if it has anything new.

        Raises:
            ZooError: Another machine has gone on with the study meanwhile.
        """
        content, stored = self.journal.read_bytes(), self._newest_snapshot()
        if stored.startswith(content):
            return
        self._longer(content, stored)
        number = len(self.snapshots()) + 1
        while not self.store.put_new(self.path(f"journal-{number:04d}.log"), content):
            number += 1

    def busy(self) -> bool:
        """Whether a search of this study is running on this machine, or on one that shares the disk."""
        try:
            with self._lock.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def searched_zoo(self) -> str:
        """Name of the zoo that is or was searched on, as far as is known on this machine; else empty."""
        try:
            return self._lock.read_text()
        except FileNotFoundError:
            return ""

    @property
    def _lock(self) -> Path:
        """Held by the process that searches."""
        return self.live / "lock"

    def _newest_snapshot(self) -> bytes:
        taken = self.snapshots()
        return self.store.read(taken[-1]) if taken else b""

    def _longer(self, here: bytes, stored: bytes) -> bytes:
        """The one of two journals that the other is the beginning of.

        Raises:
            ZooError: They tell different stories, as after a search on two machines.
        """
        longer, shorter = (here, stored) if len(here) >= len(stored) else (stored, here)
        if not longer.startswith(shorter):
            raise ZooError(
                f"study {self.name} has gone on differently on this machine ({self.journal}) and in {self.store.uri}; "
                f"delete {self.journal} to continue what is in the store, and search on one machine at a time"
            )
        return longer

    @contextmanager
    def open_journal(self, zoo: str = "") -> Iterator[JournalStorage]:
        """Opens the journal for writing: that on this disk, or the newest one in the store if that goes further.

        Args:
            zoo: Name of the zoo that is searched on.

        Raises:
            BlockingIOError: Another process is at it.
            ZooError: Neither of the two is a continuation of the other.
        """
        self.live.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BlockingIOError(
                    f"another search of study {self.name} is running; wait for it or end it"
                ) from error
            self._lock.write_text(zoo)
            here = self.journal.read_bytes() if self.journal.exists() else b""
            newest = self._longer(_whole_lines(here), _whole_lines(self._newest_snapshot()))
            if newest != here:
                self.journal.write_bytes(newest)
            yield JournalStorage(JournalFileBackend(str(self.journal)))


def _whole_lines(journal: bytes) -> bytes:
    """A journal without what a killed process left of its last entry: the next one would be appended to it."""
    return journal[: journal.rfind(b"\n") + 1]
