"""A study on storage: its folder, its journal on the driver's disk, and the trials that the journal knows."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from trainables.study_files import STUDIES
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

SNAPSHOT = re.compile(r"journal-(\d{4})\.log")
LIVE, TENSORBOARD = "live", "tensorboard"
# User attributes of a trial in the journal.
CONFIG, METRICS, SECONDS, FAILURE = "config", "metrics", "seconds", "failure"
INTERRUPTED = "interrupted"


class StudyFolder:
    """Where the parts of a study lie.

    Attributes:
        store: The store.
        name: ``<study>-<digest8>``.
        live: Folder on the driver's disk for the journal and TensorBoard's logs: inside a local store, else in the
            user's cache.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        if store.is_local:
            self.live = Path(store.join(STUDIES, name, LIVE))
        else:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            self.live = cache / "zooscale" / hashlib.sha256(store.uri.encode()).hexdigest()[:8] / name

    @property
    def journal(self) -> Path:
        """The study journal."""
        return self.live / "journal.log"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's logs, one folder a trial."""
        return self.live / TENSORBOARD

    def path(self, *parts: str) -> str:
        """A path of the study in its store."""
        return "/".join([STUDIES, self.name, *parts])

    def checkpoint(self, trial: int, fit: int = 0) -> str:
        """The folder in the store of a trial's model, or of that of a further fit with another seed."""
        return self.path("checkpoints", f"trial-{trial:04d}", *([f"fit-{fit}"] if fit else []))

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

    def save_logs(self) -> None:
        """Copies TensorBoard's logs to a store that is not on this disk, so that dashboards elsewhere have them."""
        if self.store.is_local or not self.tensorboard.is_dir():
            return
        for file in sorted(path for path in self.tensorboard.rglob("*") if path.is_file()):
            stored = self.path(TENSORBOARD, *file.relative_to(self.tensorboard).parts)
            if not self.store.exists(stored) or self.store.size(stored) < file.stat().st_size:
                self.store.put(stored, file.read_bytes())

    def fetch_logs(self) -> None:
        """Copies from the store what this disk lacks of TensorBoard's logs."""
        self.tensorboard.mkdir(parents=True, exist_ok=True)
        for stored in [] if self.store.is_local else self.store.list(self.path(TENSORBOARD)):
            content = self.store.read(stored)
            target = self.tensorboard / stored.removeprefix(self.path(TENSORBOARD) + "/")
            if not target.exists() or target.stat().st_size < len(content):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)

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
    def open_journal(self) -> Iterator[JournalStorage]:
        """Opens the journal for writing: that on this disk, or the newest one in the store if that goes further.

        Raises:
            BlockingIOError: Another process is at it.
            ZooError: Neither of the two is a continuation of the other.
        """
        self.live.mkdir(parents=True, exist_ok=True)
        with (self.live / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BlockingIOError(
                    f"another search of study {self.name} is running; wait for it or end it"
                ) from error
            here = self.journal.read_bytes() if self.journal.exists() else b""
            newest = self._longer(_whole_lines(here), _whole_lines(self._newest_snapshot()))
            if newest != here:
                self.journal.write_bytes(newest)
            yield JournalStorage(JournalFileBackend(str(self.journal)))


def _whole_lines(journal: bytes) -> bytes:
    """A journal without what a killed process left of its last entry: the next one would be appended to it."""
    return journal[: journal.rfind(b"\n") + 1]


def load_study(storage: BaseStorage, name: str, modes: tuple[str, ...], metrics: tuple[str, ...]) -> optuna.Study:
    """The study in a journal; a new one where there is none yet."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        load_if_exists=True,
        directions=["minimize" if mode == "min" else "maximize" for mode in modes],
    )
    if study.metric_names != list(metrics):
        with warnings.catch_warnings():  # of an interface that may change
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(metrics))  # what dashboards call the objectives
    return study


def reap(study: optuna.Study) -> int:
    """Marks trials that a killed search left running as failed; returns how many."""
    left = study.get_trials(deepcopy=False, states=[TrialState.RUNNING, TrialState.WAITING])
    for trial in left:
        Trial(study, trial._trial_id).set_user_attr(FAILURE, INTERRUPTED)
        study.tell(trial.number, state=TrialState.FAIL)
    return len(left)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ran to their end, be it success or divergence; interrupted ones do not count."""
    trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.FAIL])
    return [trial for trial in trials if trial.user_attrs.get(FAILURE) != INTERRUPTED]


def trial_row(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as one row of ``trials.parquet``: configuration, metrics, state, duration."""
    return {
        "trial": trial.number,
        "state": trial.state.name,
        **trial.user_attrs.get(CONFIG, {}),
        **trial.user_attrs.get(METRICS, {}),
        SECONDS: trial.user_attrs.get(SECONDS),
        FAILURE: trial.user_attrs.get(FAILURE),
    }
