"""One trial: a fit from beginning to end, its artifact stored; the same alone, in a search, and with another seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trainables.registry import find_trainable
from trainables.study_files import StudyFolder
from trainables.trainable import DivergedError, Fit, FitData, Trainable

SEEDS = 2**32


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended.

    Attributes:
        metrics: What validation gave; empty where it failed.
        seconds: How long it took.
        failure: Why there is no artifact; ``None`` where there is one.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str | None = None


def run_trial(
    trainable: Trainable,
    config: Any,
    data: FitData,
    folder: StudyFolder,
    trial: int,
    fit: int = 0,
    on_epoch: Callable[[Fit, Mapping[str, float]], None] | None = None,
) -> Outcome:
    """Fits, validates and stores the artifact.

    Args:
        trainable: What to fit.
        config: Its configuration.
        data: What it sees.
        folder: The study it belongs to.
        trial: Number of the trial.
        fit: 0 for the trial's own; a further one differs in its seed.
        on_epoch: Called after every epoch with the fit and what it said of the epoch.
    """
    started = time.perf_counter()
    config = with_seed(config, fit)
    try:
        fitting = trainable.fit(config, data)
        while fitting.epoch < fitting.epochs:
            said = fitting.train_epoch()
            if on_epoch is not None:
                on_epoch(fitting, said)
        metrics = finish(trainable, config, fitting, folder, trial, fit)
    except (DivergedError, ValueError) as error:  # diverged, or a configuration that does not suit the zoo
        return Outcome(seconds=time.perf_counter() - started, failure=str(error))
    return Outcome(metrics=metrics, seconds=time.perf_counter() - started)


def finish(
    trainable: Trainable, config: Any, fitting: Fit, folder: StudyFolder, trial: int, fit: int = 0
) -> dict[str, float]:
    """Stores the artifact of a fit whose epochs are done; returns its metrics, of a trial's own fit only."""
    metrics = {} if fit else fitting.validate()
    folder.write_artifact(trainable, config, fitting.artifact(), trial, fit)
    return metrics


def can_differ(config: Any) -> bool:
    """Whether another seed gives another fit."""
    return hasattr(config, "seed")


def with_seed(config: Any, fit: int) -> Any:
    """The configuration of a further fit: that of the trial, with the seed so much larger."""
    return replace(config, seed=(config.seed + fit) % SEEDS) if fit and can_differ(config) else config


@dataclass(frozen=True, slots=True)
class Refit:
    """A further fit of a trial, to be made with another seed.

    Attributes:
        trial: Number of the trial.
        fit: 1 for the first further one, and so on; the trial's own is 0.
        trainable: What the trial has fitted.
        config: Its configuration there.
    """

    trial: int
    fit: int
    trainable: str
    config: Any


def refit(one: Refit, data: FitData, folder: StudyFolder) -> str | None:
    """Makes a further fit and stores its artifact; returns why there is none, or ``None`` where there is."""
    return run_trial(find_trainable(one.trainable), one.config, data, folder, one.trial, one.fit).failure
