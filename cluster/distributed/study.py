"""The trials of a search: proposed by Optuna, watched, and written into the journal, whoever runs them."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from cluster.display import Task, human_number, say
from cluster.distributed.journal import SearchFolder
from cluster.distributed.logs import TrialLogs
from cluster.studies import StudyPlan
from search_spaces.study import Study
from trainables.registry import find_trainable
from trainables.trials import Epoch, Outcome, TrialFit

# User attributes of a trial in the journal.
TRAINABLE, CONFIG, METRICS, SECONDS, FAILURE = "trainable", "config", "metrics", "seconds", "failure"
INTERRUPTED = "interrupted"
# The journal is copied to the store after every 8 trials, in a long search after every sixteenth of them.
SNAPSHOT_TRIALS, MAX_SNAPSHOTS = 8, 16
# A sampler that is seeded like the last one would propose the same trials again.
SEED_STRIDE = 1_000_003


class Trials:
    """The trials that a study lacks; see :class:`cluster.distributed.fits.Fits`.

    Args:
        plan: The study with its zoo.
        folder: Where it lies.
        record: The study in its opened journal.
        lacking: How many trials are to be run.
        task: Where progress is shown.
    """

    def __init__(self, plan: StudyPlan, folder: SearchFolder, record: optuna.Study, lacking: int, task: Task) -> None:
        self._study, self._folder, self._record, self._task = plan.study, folder, record, task
        self._record.sampler = new_sampler(plan.study, plan.seed + SEED_STRIDE * len(record.get_trials(deepcopy=False)))
        if len(plan.study.trainables) > 1:  # each once, before the sampler has its way
            for name in plan.study.trainables:
                record.enqueue_trial({TRAINABLE: name}, skip_if_exists=True)
        self._space = plan.study.bound_space(plan.architectures)
        self._logs = TrialLogs(folder.tensorboard)
        self._running: dict[int, Trial] = {}
        self._best: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        self._before = plan.study.wanted_trials - lacking
        self._snapshot = max(SNAPSHOT_TRIALS, lacking // MAX_SNAPSHOTS)

    def next(self) -> TrialFit:
        """Proposes a trial."""
        trial = self._record.ask()
        proposal = self._space(trial)
        trial.set_user_attr(TRAINABLE, proposal.trainable)
        trial.set_user_attr(CONFIG, dict(proposal.config))
        self._running[trial.number] = trial
        return TrialFit(trial=trial.number, trainable=proposal.trainable, config=proposal.config)

    def see(self, one: TrialFit, epoch: Epoch) -> None:
        """Notes and shows what an epoch says and, after the last one, how the trial has ended."""
        self._counts["epochs"] += 1
        self._logs.add(one.trial, epoch.epoch, "fit", epoch.said)
        if epoch.outcome is not None:
            self._end(one, epoch, epoch.outcome)
        best = [f"best {name} {human_number(value, 3)}" for name, value in self._best.items()]
        shown = [f"epoch {self._counts['epochs']}", *best]
        shown += [f"{self._counts['failed']} failed"] if self._counts["failed"] else []
        self._task.update(self._before + self._counts["ended"], " · ".join(shown))

    def put_back(self, one: TrialFit) -> None:
        """Has a trial's parameters proposed again."""
        self._logs.close(one.trial)
        put_back(self._record, self._running.pop(one.trial))

    def _end(self, one: TrialFit, epoch: Epoch, outcome: Outcome) -> None:
        trial = self._running.pop(one.trial)
        failure = end(self._record, trial, self._study, outcome)
        self._logs.add(one.trial, epoch.epoch, "validated", outcome.metrics)
        self._logs.end(one.trial, "failed" if failure else standing(trial), {TRAINABLE: one.trainable, **one.config})
        self._counts["ended"] += 1
        if failure is None:
            for name, direction in zip(self._study.objectives, self._study.directions, strict=True):
                if (value := outcome.metrics.get(name)) is not None:  # a predictor of numbers has no accuracy
                    self._best[name] = (min if direction == "min" else max)(value, self._best.get(name, value))
        else:
            self._counts["failed"] += 1
            say(f"trial {one.trial} failed: {failure}")
        if self._counts["ended"] % self._snapshot == 0:
            self._folder.save_journal()


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
        with _experimental():
            record.set_metric_names(list(study.objectives))  # what dashboards call the objectives
    return record


def new_sampler(study: Study, seed: int) -> optuna.samplers.BaseSampler:
    """Tree-structured Parzen estimator; parameters that belong to one of several trainables are modeled apart."""
    with _experimental():
        return optuna.samplers.TPESampler(seed=seed % 2**32, multivariate=True, group=len(study.trainables) > 1)


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """Nobody who searches needs to hear that an interface of Optuna may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def end(record: optuna.Study, trial: Trial, study: Study, outcome: Outcome) -> str | None:
    """Puts into the journal how a trial ended; limits that only the fit could tell among it.

    Returns:
        Why it failed: for want of finite objectives too, which Optuna refuses. ``None`` where it did not.
    """
    failure, objectives = outcome.failure, {name: outcome.metrics.get(name, math.nan) for name in study.objectives}
    finite = [math.isfinite(value) for value in objectives.values()]
    # A single fit, which has no rivals, need not have them all: predictors of numbers have no accuracy.
    if failure is None and not (all(finite) if study.spaces else any(finite)):
        failure = f"objectives are not finite: {objectives}"
    trial.set_user_attr(METRICS, {name: value for name, value in outcome.metrics.items() if math.isfinite(value)})
    trial.set_user_attr(SECONDS, outcome.seconds)
    if failure is not None:
        trial.set_user_attr(FAILURE, failure)
        record.tell(trial, state=TrialState.FAIL)
        return failure
    trainable = find_trainable(trial.user_attrs.get(TRAINABLE, study.trainables[0]))
    for name, excess in study.excesses(trainable, outcome.metrics).items():
        if name not in trial.constraints:
            trial.set_constraint(name, excess)
    worst = (math.inf if direction == "min" else -math.inf for direction in study.directions)
    record.tell(
        trial, [value if math.isfinite(value) else bad for value, bad in zip(objectives.values(), worst, strict=True)]
    )
    return None


def standing(trial: Trial | FrozenTrial) -> str:
    """What a finished trial that did not fail is: "complete", or "infeasible" where it leaves a limit."""
    return "infeasible" if any(excess > 0 for excess in trial.constraints.values()) else "complete"


def put_back(record: optuna.Study, trial: Trial) -> None:
    """Ends a trial as interrupted and has its parameters proposed again."""
    trial.set_user_attr(FAILURE, INTERRUPTED)
    record.tell(trial, state=TrialState.FAIL)
    if trial.params:
        record.enqueue_trial(trial.params)


def reap(record: optuna.Study) -> int:
    """Puts trials back that a stopped search left running; returns how many."""
    left = record.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    for trial in left:
        put_back(record, Trial(record, trial._trial_id))
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
