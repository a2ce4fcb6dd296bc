"""Runs a search: in this process for as long as that is sooner than starting Ray, else on Ray Tune; exports it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from analysis.rows import measured_trials
from cluster.display import live, say
from cluster.distributed.runtime import quieten, ray_is_asked_for, runtime
from cluster.distributed.serial import run_serially
from cluster.distributed.study import SearchFolder, TrialEnd, finished, load_study, reap, trial_row
from cluster.estimates import ray_start_s, worth_ray
from cluster.studies import StudyPlan
from search_spaces.studies import Study
from trainables.study_files import StudyRecord
from trainables.trainable import FitData
from trainables.trials import Refit, can_differ, refit
from zoo.config import to_json
from zoo.threads import one_thread

# Importances of fewer trials are noise.
IMPORTANCE_TRIALS = 8
# The journal is copied to the store after every 8 trials, in a long search after every sixteenth of them.
SNAPSHOT_TRIALS, MAX_SNAPSHOTS = 8, 16
# A sampler that is seeded like the last one would propose the same trials again.
SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class Done:
    """What a search has done now.

    Attributes:
        trials: New trials.
        fits: New fits with further seeds.
    """

    trials: int
    fits: int


def search(plan: StudyPlan, *, seeds: int = 1, workers: int | None = None) -> Done:
    """Runs the trials that a study lacks and exports it.

    Without a number of workers and without a running cluster, trials run here, one by one, until those that are left
    are worth the start of Ray. What a trial finds is a function of what was proposed, wherever it ran.

    Args:
        plan: What to search.
        seeds: How many fits, that differ in their seed, the trials have that an analysis measures.
        workers: Trials at the same time; by default as many as there are CPUs.

    Raises:
        BlockingIOError: Another search of the same study is running.
        ClusterError: There is no cluster to run on.
        ZooError: Another machine has gone on with the study differently.
        RuntimeError: Every trial failed.
    """
    study, folder = plan.study, search_folder(plan)
    with folder.open_journal() as storage:
        record = load_study(storage, folder.name, study)
        if reaped := reap(record):
            say(f"search {folder.name}: {reaped} interrupted trials will be replaced")
        lacking = max(0, study.wanted_trials - len(finished(record)))
        try:
            if lacking:
                _Run(plan, folder, storage, lacking).run(workers)
        finally:
            # Also after Ctrl-C: what is finished is in the store, and another machine can go on from it.
            folder.save_journal()
            folder.save_logs()
            if len(finished(record)) != _exported_trials(folder):
                export(plan, record)
        facts = folder.facts() or {}
        if not facts.get("trials_completed"):
            raise RuntimeError(
                f"all {facts.get('trials_failed')} trials of {folder.name} failed; {facts.get('failure')}"
            )
        fits = _fit_again(plan, seeds, workers) if seeds > 1 else 0
    return Done(lacking, fits)


def search_folder(plan: StudyPlan) -> SearchFolder:
    """The study's folder with its journal."""
    return SearchFolder(plan.folder.store, plan.folder.name)


def _exported_trials(folder: SearchFolder) -> int:
    """How many trials ``study.json`` tells of; 0 where there is none, or a damaged one to write anew."""
    try:
        facts = folder.facts() or {}
        return int(facts["trials_completed"] + facts["trials_failed"])
    except KeyError:
        return 0


class _Run:
    """The lacking trials of a study with a live display."""

    def __init__(
        self, plan: StudyPlan, folder: SearchFolder, storage: optuna.storages.BaseStorage, lacking: int
    ) -> None:
        self.plan, self.folder, self.storage, self.lacking = plan, folder, storage, lacking
        self.study: Study = plan.study
        self.data: FitData = plan.data()
        self.before = self.study.wanted_trials - lacking
        self.counts: Counter[str] = Counter()
        self.best: dict[str, float] = {}

    def run(self, workers: int | None) -> None:
        """Runs them, here or on Ray."""
        snapshots = sum(len(population) for population in self.data.training)
        say(
            f"search {self.folder.name}: {self.lacking} of {self.study.wanted_trials} trials to run on "
            f"{snapshots:,} snapshots of {self.plan.zoo.name}"
        )
        with live("search", self.study.wanted_trials, "trials", self.before) as self.task:
            ended = 0 if ray_is_asked_for(workers) else self._here()
            if ended < self.lacking:
                self._on_ray(self.lacking - ended, workers)

    def _here(self) -> int:
        """Runs trials in this process; returns how many have ended when those left are worth Ray."""
        start_s, started = ray_start_s(), time.perf_counter()

        def leave(done: int, share: float) -> bool:
            if not done + share:
                return False
            trial_s = (time.perf_counter() - started) / (done + share)
            cpus = min(os.cpu_count() or 1, self.lacking - done)
            # What has been done of the trial that is running would be done again.
            return worth_ray((self.lacking - done - share) * trial_s, cpus, start_s + share * trial_s / cpus)

        return run_serially(
            self.study,
            self.data,
            self.plan.architectures,
            self.folder,
            self.storage,
            trials=self.lacking,
            seed=self._sampler_seed(),
            on_epoch=self._on_epoch,
            on_end=self._on_end,
            leave=leave,
        )

    def _on_ray(self, trials: int, workers: int | None) -> None:
        """Runs trials on Ray Tune."""
        quieten()
        from cluster.distributed.trainable import TrialData
        from cluster.distributed.tuning import run_trials

        with runtime(self.folder.store, workers=workers) as cluster:
            run_trials(
                self.study,
                TrialData(self.plan.folder, self.data),
                self.plan.architectures,
                self.folder,
                self.storage,
                trials=trials,
                workers=min(workers or max(cluster.cpus, 1), trials),
                seed=self._sampler_seed(),
                checkpoints=cluster.nodes == 1,
                on_epoch=self._on_epoch,
                on_end=self._on_end,
            )

    def _sampler_seed(self) -> int:
        existing = len(load_study(self.storage, self.folder.name, self.study).get_trials(deepcopy=False))
        return (self.plan.seed + SEED_STRIDE * existing) % 2**32

    def _on_epoch(self) -> None:
        self.counts["epochs"] += 1
        self.task.update(self.before + self.counts["ended"], self._note())

    def _on_end(self, end: TrialEnd) -> None:
        self.counts["ended"] += 1
        if end.failure:
            self.counts["failed"] += 1
            say(f"trial {end.number} failed: {end.failure}")
        else:
            for name, direction in zip(self.study.objectives, self.study.directions, strict=True):
                pick = min if direction == "min" else max
                self.best[name] = pick(end.metrics[name], self.best.get(name, end.metrics[name]))
        self.task.update(self.before + self.counts["ended"], self._note())
        if self.counts["ended"] % max(SNAPSHOT_TRIALS, self.lacking // MAX_SNAPSHOTS) == 0:
            self.folder.save_journal()

    def _note(self) -> str:
        shown = [f"epoch {self.counts['epochs']}", *(f"best {name} {value:.3g}" for name, value in self.best.items())]
        return " · ".join([*shown, *([f"{self.counts['failed']} failed"] if self.counts["failed"] else [])])


def _fit_again(plan: StudyPlan, seeds: int, workers: int | None) -> int:
    """Fits the trials that an analysis measures with further seeds, as far as that is not done; returns how many."""
    record = StudyRecord.open(plan.folder.store, plan.folder.name)
    seconds = dict(zip(record.trials["trial"], record.trials["seconds"], strict=True))
    chosen = [trial for trial in measured_trials(record) if can_differ(record.config(trial))]
    refits = [
        Refit(trial, fit, record.trainable(trial).name, record.config(trial))
        for trial in chosen
        for fit in range(1, seeds)
        if fit not in record.fits(trial)
    ]
    if not refits:
        return 0
    say(f"search {plan.folder.name}: {len(refits)} fits, to {seeds} seeds for each of its {len(chosen)} best trials")
    data, cpus = plan.data(), min(os.cpu_count() or 1, len(refits))
    remaining_s = sum(float(seconds[one.trial]) for one in refits)
    with live("fit again", len(refits), "fits") as task:
        if ray_is_asked_for(workers) or worth_ray(remaining_s, cpus, ray_start_s()):
            quieten()
            from cluster.distributed.refits import refit_on_ray

            failures = refit_on_ray(refits, plan.folder, data, task.update, workers=workers)
        else:
            failures = []
            with one_thread():
                for done, one in enumerate(refits, 1):
                    failures.append((one, refit(one, data, plan.folder)))
                    task.update(done)
    for one, failure in failures:
        if failure is not None:
            say(f"trial {one.trial}, fit {one.fit} failed: {failure}")
    return sum(failure is None for _, failure in failures)


def export(plan: StudyPlan, record: optuna.Study) -> None:
    """Writes all that other rooms read of a study, beside its artifacts."""
    ended = finished(record)
    complete = sum(trial.state == TrialState.COMPLETE for trial in ended)
    plan.folder.export(
        to_json(plan.study),
        plan.study.directions,
        plan.zoo,
        [trial_row(trial) for trial in ended],
        importances=importances(record, plan.study.objectives) if complete >= IMPORTANCE_TRIALS else None,
        seed=plan.seed,
    )


def importances(record: optuna.Study, objectives: Sequence[str]) -> dict[str, dict[str, float]]:
    """For each objective, how much of its variance each parameter explains (fANOVA).

    They add up to 1; an objective that does not vary has none.
    """
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = {}
    for place, metric in enumerate(objectives):

        def objective(trial: FrozenTrial, place: int = place) -> float:
            return float(trial.values[place])

        try:
            found[metric] = optuna.importance.get_param_importances(record, evaluator=evaluator, target=objective)
        except RuntimeError:  # the same value in every trial
            found[metric] = {}
    return found
