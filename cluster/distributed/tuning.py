"""Trials on Ray Tune, proposed by Optuna; the study journal is the only state that is ever read back.

Imported when there are trials to run, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.search.optuna import OptunaSearch
from torch.utils.tensorboard import SummaryWriter

from cluster.distributed import study as journal
from cluster.distributed.study import StudyFolder
from cluster.distributed.trainable import FAILURE, FOLDER, NUMBER, VALIDATED, AutoencoderTrial, TrialData
from search_spaces.studies import Study
from trainables.autoencoders.autoencoder import layer_rows
from zoo.config import to_json

# So often a trial whose process died is run again.
MAX_FAILURES = 2
CHECKPOINT_EPOCHS = 5
# What a fit says of an epoch, beside Tune's own bookkeeping.
EPOCH_METRICS = ("loss", "weight_error", "behavior_kl", "estimated_bits_per_weight")


class StudySearch(OptunaSearch):
    """OptunaSearch that records what a trial measured, and fails trials without a finite objective.

    Optuna refuses NaN, and such a trial would otherwise stay in the journal as running for ever.
    """

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
        objectives = [metrics.get(name) for name in self.metric]
        failure = result.get(FAILURE) or ("its process failed" if error else None)
        if failure is None and not all(value is not None and math.isfinite(value) for value in objectives):
            failure = f"objectives are not finite: {dict(zip(self.metric, objectives, strict=True))}"
        trial = self._ot_trials[trial_id]
        finite = {key: value for key, value in metrics.items() if math.isfinite(value)}
        trial.set_user_attr(journal.METRICS, finite)
        trial.set_user_attr(journal.SECONDS, result.get("time_total_s"))
        if failure is not None:
            trial.set_user_attr(journal.FAILURE, failure)
        super().on_trial_complete(trial_id, None if failure else metrics, error=failure is not None)

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: the journal has it all, and pickles are never read."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a study goes on with a new Tuner on its journal."""
        raise NotImplementedError("a study is continued from its journal")


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """What the display is told at the end of a trial."""

    number: int
    metrics: Mapping[str, float]
    failure: str | None


class Watch(Callback):
    """Writes TensorBoard's logs on the driver and tells the display of every epoch and every trial's end."""

    def __init__(self, logs: Path, on_epoch: Callable[[], None], on_end: Callable[[TrialEnd], None]) -> None:
        self._logs, self._on_epoch, self._on_end = logs, on_epoch, on_end
        self._writers: dict[str, SummaryWriter] = {}

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
        if trial.trial_id not in self._writers:
            self._writers[trial.trial_id] = SummaryWriter(str(self._logs / f"trial-{trial.config[NUMBER]:04d}"))
        writer = self._writers[trial.trial_id]
        epoch = int(result.get("epoch", result["training_iteration"]))
        for group, values in (("fit", result), (VALIDATED, result.get(VALIDATED) or {})):
            for name, value in values.items():
                known = group == VALIDATED or name in EPOCH_METRICS
                if known and isinstance(value, int | float):
                    writer.add_scalar(f"{group}/{name}", value, epoch)
        self._on_epoch()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A trial has ended well, or diverged."""
        self._end(trial, (trial.last_result or {}).get(FAILURE))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """A trial's process failed for good."""
        self._end(trial, "its process failed")

    def _end(self, trial: Trial, failure: str | None) -> None:
        if (writer := self._writers.pop(trial.trial_id, None)) is not None:
            writer.close()
        metrics = (trial.last_result or {}).get(VALIDATED) or {}
        self._on_end(TrialEnd(trial.config[NUMBER], metrics, failure))


def run_trials(
    study: Study,
    data: TrialData,
    folder: StudyFolder,
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
    space = study.bound_space(layer_rows(data.training.architecture))

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        config = space(trial)
        trial.set_user_attr(journal.CONFIG, to_json(config))
        return {**config, NUMBER: trial.number, FOLDER: folder.checkpoint(trial.number)}

    with tempfile.TemporaryDirectory(prefix="zooscale-search-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(AutoencoderTrial, data=data), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=StudySearch(
                    space=propose,
                    metric=list(study.metrics),
                    mode=list(study.modes),
                    sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True),
                    storage=storage,
                    study_name=folder.name,
                ),
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
