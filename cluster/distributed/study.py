"""A search's journal on the driver's disk, and the trials that the journal knows."""

from __future__ import annotations

import fcntl
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from cluster.distributed.logs import LiveFolder
from search_spaces.studies import Proposal, Study
from trainables.registry import find_trainable
from zoo.storage.errors import ZooError

SNAPSHOT = re.compile(r"journal-(\d{4})\.log")
# User attributes of a trial in the journal.
TRAINABLE, CONFIG, METRICS, SECONDS, FAILURE = "trainable", "config", "metrics", "seconds", "failure"
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """What a display is told at the end of a trial.

    Attributes:
        number: Number of the trial.
        metrics: What validation gave; empty where it failed.
        failure: Why it failed; ``None`` where it did not.
    """

    number: int
    metrics: Mapping[str, float]
    failure: str | None


class SearchFolder(LiveFolder):
    """A study's folder with the journal of its search."""

    @property
    def journal(self) -> Path:
        """The study journal."""
        return self.live / "journal.log"

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


def load_study(storage: BaseStorage, name: str, study: Study) -> optuna.Study:
    """The study in a journal; a new one where there is none yet."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    record = optuna.create_study(
        storage=storage,
        study_name=name,
        load_if_exists=True,
        directions=["minimize" if direction == "min" else "maximize" for direction in study.directions],
    )
    if record.metric_names != list(study.objectives):
        with warnings.catch_warnings():  # of an interface that may change
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            record.set_metric_names(list(study.objectives))  # what dashboards call the objectives
    return record


def new_sampler(study: Study, seed: int) -> optuna.samplers.BaseSampler:
    """Tree-structured Parzen estimator; parameters that belong to one of several trainables are modeled apart."""
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=len(study.trainables) > 1)


def note_proposal(trial: Trial, proposal: Proposal) -> None:
    """Puts into the journal what a trial is to fit."""
    trial.set_user_attr(TRAINABLE, proposal.trainable)
    trial.set_user_attr(CONFIG, dict(proposal.config))


def note_end(
    trial: Trial, study: Study, metrics: Mapping[str, float], seconds: float | None, failure: str | None
) -> str | None:
    """Puts into the journal how a trial ended, before it is told; limits that only the fit could tell among it.

    Returns:
        Why it failed: for want of finite objectives too, which Optuna refuses. ``None`` where it did not.
    """
    objectives = {name: metrics.get(name) for name in study.objectives}
    if failure is None and not all(value is not None and math.isfinite(value) for value in objectives.values()):
        failure = f"objectives are not finite: {objectives}"
    trial.set_user_attr(METRICS, {name: value for name, value in metrics.items() if math.isfinite(value)})
    trial.set_user_attr(SECONDS, seconds)
    if failure is not None:
        trial.set_user_attr(FAILURE, failure)
    elif study.limits:
        trainable = find_trainable(trial.user_attrs.get(TRAINABLE, study.trainables[0]))
        for name, excess in study.excesses(trainable, metrics).items():
            if name not in trial.constraints:
                trial.set_constraint(name, excess)
    return failure


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
        TRAINABLE: trial.user_attrs.get(TRAINABLE),
        **trial.user_attrs.get(CONFIG, {}),
        **trial.user_attrs.get(METRICS, {}),
        SECONDS: trial.user_attrs.get(SECONDS),
        FAILURE: trial.user_attrs.get(FAILURE),
    }
