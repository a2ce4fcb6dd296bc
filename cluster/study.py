"""A study on storage: its folder, its journal on the driver's disk, and the trials that the journal knows."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from cluster.inventory import STUDIES
from zoo.storage.store import Store

SNAPSHOT = re.compile(r"journal-(\d{4})\.log")
LIVE = "live"
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
        return self.live / "tensorboard"

    def path(self, *parts: str) -> str:
        """A path of the study in its store."""
        return "/".join([STUDIES, self.name, *parts])

    def checkpoint(self, trial: int) -> str:
        """The folder of a trial's model in the store."""
        return self.path("checkpoints", f"trial-{trial:04d}")

    def snapshots(self) -> list[str]:
        """Paths of the copies of the journal in the store, oldest first."""
        paths = self.store.list(self.path())
        return [path for path in paths if SNAPSHOT.fullmatch(path.removeprefix(self.path() + "/"))]

    def save_journal(self) -> None:
        """Copies the journal to the store under the next free number, if it has changed."""
        content = self.journal.read_bytes()
        taken = self.snapshots()
        if taken and self.store.read(taken[-1]) == content:
            return
        number = len(taken) + 1
        while not self.store.put_new(self.path(f"journal-{number:04d}.log"), content):
            number += 1

    @contextmanager
    def open_journal(self) -> Iterator[JournalStorage]:
        """Opens the journal for writing: that on this disk, else a copy of the newest one in the store.

        Raises:
            BlockingIOError: Another process is at it.
        """
        self.live.mkdir(parents=True, exist_ok=True)
        with (self.live / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BlockingIOError(
                    f"another search of study {self.name} is running; wait for it or end it"
                ) from error
            if not self.journal.exists() and (taken := self.snapshots()):
                self.journal.write_bytes(self.store.read(taken[-1]))
            _drop_partial_line(self.journal)
            yield JournalStorage(JournalFileBackend(str(self.journal)))


def _drop_partial_line(journal: Path) -> None:
    """Cuts off what a killed process left of its last entry: the next one would be appended to it."""
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        journal.write_bytes(content[: content.rfind(b"\n") + 1])


def load_study(storage: BaseStorage, name: str, modes: tuple[str, ...]) -> optuna.Study:
    """The study in a journal; a new one where there is none yet."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        load_if_exists=True,
        directions=["minimize" if mode == "min" else "maximize" for mode in modes],
    )


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
