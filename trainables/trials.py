"""A fit of a trial, epoch by epoch to its stored artifact: the same here, in a worker, and with another seed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainables.registry import find_trainable
from trainables.study_files import StudyFolder
from trainables.trainable import DivergedError, Fit, FitData
from zoo.config import digest, own_line

SEEDS = 2**32
# The state of a fit is kept every so often: writing it takes some milliseconds.
STATE_S = 5.0
SECONDS_FILE = "seconds.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialFit:
    """A fit to be made for a trial.

    Attributes:
        trial: Number of the trial.
        trainable: Name of what it fits.
        config: Values of its configuration's fields, as JSON.
        fit: 0 for the trial's own; a further one differs in its seed.
    """

    trial: int
    trainable: str
    config: Mapping[str, Any]
    fit: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a fit ended.

    Attributes:
        metrics: What validation gave; empty where it failed, and of a further fit.
        seconds: How long it took.
        failure: Why there is no artifact; ``None`` where there is one.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """An epoch of a fit that is done.

    Attributes:
        epoch: Its number, from 1.
        epochs: How many there are to be.
        said: What the fit says of it.
        outcome: After the last one, how the fit ended.
    """

    epoch: int
    epochs: int
    said: Mapping[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None


def epochs(one: TrialFit, data: FitData, folder: StudyFolder, states: Path | None = None) -> Iterator[Epoch]:
    """Makes a fit an epoch at a time; at the end of the last one it is validated, and its artifact stored.

    Args:
        one: What to fit.
        data: What it sees.
        folder: The study it belongs to.
        states: A folder on this machine's disk for states of unfinished fits. One that was stopped there goes on from
            the last of its states, which is gone when it has ended.
    """
    started = time.perf_counter()
    kept = None if states is None else states / digest([one.trainable, one.config, one.fit])
    reached, metrics, failure = Epoch(epoch=0, epochs=1), {}, None
    try:
        trainable = find_trainable(one.trainable)
        config = with_seed(trainable.configuration(one.config), one.fit)
        fit = trainable.fit(config, data)
        if kept is not None and kept.is_dir():
            started -= _restore(fit, kept)
        last_kept = time.perf_counter()
        while fit.epoch < fit.epochs:
            said = fit.train_epoch()
            reached = Epoch(epoch=fit.epoch, epochs=fit.epochs, said=said)
            if kept is not None and (now := time.perf_counter()) - last_kept >= STATE_S:
                _keep(fit, kept, now - started)
                last_kept = now
            if fit.epoch < fit.epochs:
                yield reached
        metrics = {} if one.fit else fit.validate()
        folder.write_artifact(trainable, config, fit.artifact(), one.trial, one.fit)
    except (DivergedError, ValueError) as error:  # diverged, or a configuration that does not suit the zoo
        failure = f"{error}{own_line(error)}"
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
    outcome = Outcome(metrics=metrics, seconds=time.perf_counter() - started, failure=failure)
    yield replace(reached, outcome=outcome)


def make(one: TrialFit, data: FitData, folder: StudyFolder) -> Outcome:
    """Makes a fit from beginning to end."""
    *_, last = epochs(one, data, folder)
    assert last.outcome is not None  # noqa: S101 - that of the last epoch
    return last.outcome


def can_differ(config: Any) -> bool:
    """Whether another seed gives another fit."""
    return hasattr(config, "seed")


def with_seed(config: Any, fit: int) -> Any:
    """The configuration of a further fit: that of the trial, with the seed so much larger."""
    return replace(config, seed=(config.seed + fit) % SEEDS) if fit and can_differ(config) else config


def _keep(fit: Fit, folder: Path, seconds: float) -> None:
    """Writes a fit's state and how long it took to come there, in the place of an earlier one."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in {**fit.state(), SECONDS_FILE: json.dumps(seconds).encode()}.items():
        (partial / name).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _restore(fit: Fit, folder: Path) -> float:
    """Continues from a kept state; returns how many seconds it took to come there."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    seconds = float(json.loads(files.pop(SECONDS_FILE)))
    fit.load_state(files)
    return seconds
