"""Trials on Ray Tune, proposed by Optuna; the study journal is the only state that is ever read back.

Imported when there are trials to run, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.search.optuna import OptunaSearch

from cluster.distributed.logs import TrialLogs
from cluster.distributed.study import SearchFolder, TrialEnd, new_sampler, note_end, note_proposal
from cluster.distributed.trainable import CONFIG, FAILURE, FIT, NUMBER, TRAINABLE, VALIDATED, FitTrial, TrialData
from search_spaces.studies import Study
from zoo.architecture import Architecture

# So often a trial whose process died is run again.
MAX_FAILURES = 2
CHECKPOINT_EPOCHS = 5


class StudySearch(OptunaSearch):
    """OptunaSearch that records what a trial measured, and fails trials without a finite objective.

    Optuna refuses NaN, and such a trial would otherwise stay in the journal as running for ever.
    """

    study: Study

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Called by Tune at the end of a trial; writes to the journal.

        Args:
            trial_id: Tune's name of the trial.
            result: The last result, nested keys joined by slashes.
            error: Whether the trial's process failed.
        """
        result = result or {}
        prefix = VALIDATED + "/"
        metrics = {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
        metrics = metrics or dict(result.get(VALIDATED) or {})
        failure = result.get(FAILURE) or ("its process failed" if error else None)
        failure = note_end(self._ot_trials[trial_id], self.study, metrics, result.get("time_total_s"), failure)
        super().on_trial_complete(trial_id, None if failure else metrics, error=failure is not None)

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: the journal has it all, and pickles are never read."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a study goes on with a new Tuner on its journal."""
        raise NotImplementedError("a study is continued from its journal")


class Watch(Callback):
    """Writes TensorBoard's logs on the driver and tells the display of every epoch and every trial's end."""

    def __init__(self, logs: Path, on_epoch: Callable[[], None], on_end: Callable[[TrialEnd], None]) -> None:
        self._logs, self._on_epoch, self._on_end = TrialLogs(logs), on_epoch, on_end

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks, and nobody reads that."""
        return {}

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002
        trials: list[Trial],  # noqa: ARG002
        trial: Trial,
        result: dict[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        """One epoch of a trial."""
        epoch = int(result.get("epoch", result["training_iteration"]))
        for group in (FIT, VALIDATED):
            self._logs.add(trial.config[NUMBER], epoch, group, result.get(group) or {})
        self._on_epoch()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A trial has ended well, or diverged."""
        self._end(trial, (trial.last_result or {}).get(FAILURE))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A trial's process failed for good."""
        self._end(trial, "its process failed")

    def _end(self, trial: Trial, failure: str | None) -> None:
        self._logs.close(trial.config[NUMBER])
        metrics = (trial.last_result or {}).get(VALIDATED) or {}
        self._on_end(TrialEnd(trial.config[NUMBER], metrics, failure))


def run_trials(
    study: Study,
    data: TrialData,
    architectures: Sequence[Architecture],
    folder: SearchFolder,
    storage: optuna.storages.BaseStorage,
    *,
    trials: int,
    workers: int,
    seed: int,
    checkpoints: bool,
    on_epoch: Callable[[], None],
    on_end: Callable[[TrialEnd], None],
) -> None:
    """Runs new trials of a study on a running Ray cluster.

    Args:
        study: What to try.
        data: What all trials share.
        architectures: Those of the zoo's networks.
        folder: Where the study lies.
        storage: Its opened journal.
        trials: How many to run.
        workers: How many at the same time.
        seed: Of the sampler.
        checkpoints: Whether a trial whose process died goes on from its last checkpoint; only on one node, as
            the workers of others do not see the driver's disk. Else it is begun anew.
        on_epoch: Called after every epoch of any trial.
        on_end: Called at the end of every trial.
    """
    if not os.environ.get("ZOOSCALE_DEBUG"):
        # Tune prints the tracebacks of trials that fail; the display says that they have failed, and why.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    space = study.bound_space(architectures)

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        proposal = space(trial)
        note_proposal(trial, proposal)
        return {NUMBER: trial.number, TRAINABLE: proposal.trainable, CONFIG: dict(proposal.config)}

    search = StudySearch(
        space=propose,
        metric=list(study.objectives),
        mode=list(study.directions),
        sampler=new_sampler(study, seed),
        storage=storage,
        study_name=folder.name,
    )
    search.study = study
    with tempfile.TemporaryDirectory(prefix="zooscale-search-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(FitTrial, data=data), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=search,
                num_samples=trials,
                max_concurrent_trials=workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(
                    num_to_keep=1,
                    checkpoint_frequency=CHECKPOINT_EPOCHS if checkpoints else 0,
                    checkpoint_at_end=False,
                ),
                callbacks=[Watch(folder.tensorboard, on_epoch, on_end)],
                verbose=0,
            ),
        )
        tuner.fit()
