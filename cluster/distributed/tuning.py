"""Fits on Ray Tune, each an epoch at a time in an actor; all that is kept of it is what the fits' owner writes.

Imported when there are fits to make, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.exceptions import OutOfMemoryError
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from cluster.display import say
from cluster.distributed.fits import Fits
from trainables.study_files import StudyFolder
from trainables.trainable import FitData
from trainables.trials import Epoch, Outcome, TrialFit, epochs

# So often a fit whose process died is continued.
MAX_FAILURES = 2
# Key of a result.
EPOCH = "epoch_done"
# How Ray begins to say that it has ended a worker.
LITTLE_MEMORY = "killed due to the node running low on memory"
NO_MEMORY = "it needs more memory than there is, even with no other fit at the same time; try a smaller one"


@dataclass(frozen=True)
class Shared:
    """What all fits of a study share; it lies once a node in Ray's object store.

    Attributes:
        data: What they see.
        folder: Where artifacts go.
        states: For states of unfinished fits, on a disk that all workers see; ``None`` where there is none.
    """

    data: FitData
    folder: StudyFolder
    states: Path | None


class FitActor(tune.Trainable):
    """Makes fits: a step is an epoch; the actor is used for one after the other."""

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        """Begins a fit.

        Args:
            config: The fields of a :class:`trainables.trials.TrialFit`.
            shared: Given by ``tune.with_parameters``.
        """
        if shared is None:
            raise ValueError("a FitActor needs what fits share: wrap it by tune.with_parameters(…, shared=…)")
        torch.set_num_threads(1)  # fits are made side by side, one CPU each
        self._shared = shared
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins the next fit in the same actor."""
        shared = self._shared
        self._epochs: Iterator[Epoch] = epochs(TrialFit(**new_config), shared.data, shared.folder, shared.states)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch."""
        epoch = next(self._epochs)
        return {EPOCH: epoch, "done": epoch.outcome is not None}


class _Proposals(Searcher):
    """Gives Tune the fits to be made, and keeps which are under way."""

    def __init__(self, fits: Fits) -> None:
        super().__init__()
        self._fits = fits
        self.running: dict[str, TrialFit] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher and its callbacks, and nobody reads that."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next fit."""
        self.running[trial_id] = self._fits.next()
        return asdict(self.running[trial_id])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the callback has told of its end."""

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: what is to be kept is in the study's folder, and pickles are never read."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called."""
        raise NotImplementedError("a search is continued from its journal")


class _Watch(Callback):
    """Tells the fits' owner of every epoch and every end.

    Attributes:
        ended: How many fits have ended.
        cause: What a callback raised; Tune makes text of it.
    """

    def __init__(self, fits: Fits, running: dict[str, TrialFit]) -> None:
        self._fits, self._running = fits, running
        self.ended = 0
        self.cause: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as above."""
        return {}

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002
        trials: list[Trial],  # noqa: ARG002
        trial: Trial,
        result: dict[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        """One epoch of a fit."""
        self._see(trial.trial_id, result[EPOCH])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A fit's process died; another one goes on, unless that is for want of memory."""
        if _last_words(trial, LITTLE_MEMORY):
            self.cause = OutOfMemoryError(LITTLE_MEMORY)
            raise self.cause
        one = self._running[trial.trial_id]
        say(f"the process of trial {one.trial} died; another one goes on from its last state")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A fit's process died again and again, or its code raised what no fit should."""
        if trial.trial_id in self._running:
            failure = f"its process failed: {_last_words(trial) or 'without a word'}"
            self._see(trial.trial_id, Epoch(epoch=0, epochs=1, outcome=Outcome(failure=failure)))

    def _see(self, trial_id: str, epoch: Epoch) -> None:
        one = self._running[trial_id]
        if epoch.outcome is not None:
            del self._running[trial_id]
            self.ended += 1
        try:
            self._fits.see(one, epoch)
        except Exception as error:
            self.cause = error
            raise


def make_on_ray(fits: Fits, count: int, shared: Shared, *, workers: int, memory: int = 0) -> None:
    """Makes fits on a running Ray cluster.

    Where Ray ends workers because a node runs out of memory, Tune gives up. The fits that were under way go on from
    their last states, half as many at the same time; one that needs more memory than there is, even alone, fails.

    Args:
        fits: Where they come from.
        count: How many.
        shared: What they share.
        workers: How many at the same time.
        memory: Bytes that each is given; so many may run on a node as these fit into it.
    """
    if not os.environ.get("ZOOSCALE_DEBUG"):
        # Tune prints the tracebacks of trials that fail; the display says that they have failed, and why.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    resources: dict[str, float] = {"cpu": 1, **({"memory": memory} if memory else {})}
    actor: Any = tune.with_resources(tune.with_parameters(FitActor, shared=shared), resources)
    ended_alone = 0
    while count:
        proposals = _Proposals(fits)
        watch = _Watch(fits, proposals.running)
        try:
            _tune(actor, proposals, watch, count, workers)
        except Exception as error:
            cause = watch.cause or error
            if not _is_of_memory(cause):
                raise cause from None
        else:
            return
        count -= watch.ended
        ended_alone = ended_alone + 1 if workers == 1 else 0
        workers = max(1, min(workers, len(proposals.running)) // 2)
        if ended_alone > MAX_FAILURES:
            for one in proposals.running.values():
                fits.see(one, Epoch(epoch=0, epochs=1, outcome=Outcome(failure=NO_MEMORY)))
            count, ended_alone = count - len(proposals.running), 0
        else:
            say(f"memory ran out and Ray ended a fit: going on from the last states, {workers} at a time")
            for one in proposals.running.values():
                fits.put_back(one)


def _tune(actor: Any, proposals: _Proposals, watch: _Watch, count: int, workers: int) -> None:
    """Runs Tune to its end."""
    with tempfile.TemporaryDirectory(prefix="zooscale-search-") as scratch:
        tune.Tuner(
            actor,
            tune_config=tune.TuneConfig(
                search_alg=proposals, num_samples=count, max_concurrent_trials=workers, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="fits",
                storage_path=scratch,
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[watch],
                verbose=0,
            ),
        ).fit()


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether an error comes from Ray's having ended a worker for want of memory.

    Where that happens in the middle of an epoch, Tune gives up; where an actor is being started, it tries again.
    """
    while error is not None and not isinstance(error, OutOfMemoryError):
        error = error.__cause__
    return error is not None


def _last_words(trial: Trial, words: str = "") -> str:
    """The last line with some words of what Tune wrote of a trial's failures."""
    text = Path(trial.error_file).read_text() if trial.error_file else ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip() and words in line), "")
