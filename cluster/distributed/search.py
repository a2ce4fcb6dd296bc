"""Runs a search and makes further fits of its best trials; exports what everybody else reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from analysis.measuring.measured_trials import measured_trials
from cluster.display import live, say
from cluster.distributed.fits import FurtherFits
from cluster.distributed.journal import SearchFolder
from cluster.distributed.making import make_fits
from cluster.distributed.study import Trials, finished, load_study, reap, trial_row
from cluster.studies import StudyPlan
from cluster.verb import NoResultError
from trainables.study_files import StudyRecord
from trainables.trials import TrialFit, can_differ
from zoo.config import to_json
from zoo.words import counted

# Importances of fewer trials are noise.
IMPORTANCE_TRIALS = 8


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
        NoResultError: Every trial failed.
    """
    study, folder = plan.study, search_folder(plan)
    folder.store.check_writable(folder.path())  # found out now rather than after the work
    with folder.open_journal(plan.zoo.name) as storage:
        record = load_study(storage, folder.name, study)
        if interrupted := reap(record):
            say(f"search {folder.name}: {counted(interrupted, 'interrupted trial')} to run again")
        lacking = max(0, study.wanted_trials - len(finished(record)))
        try:
            if lacking:
                _run(plan, folder, record, lacking, workers)
        finally:
            # Also after Ctrl-C: what is finished is in the store, and another machine can go on from it.
            folder.save_journal()
            folder.save_logs()
            if len(finished(record)) != _exported_trials(folder):
                export(plan, record)
        facts = folder.facts() or {}
        if not facts.get("trials_completed"):
            failed = facts.get("trials_failed", 0)
            trials = "the one trial" if failed == 1 else f"all {failed} trials"
            what = trials if study.spaces or failed > 1 else f"the fit of {study.trainables[0]}"
            raise NoResultError(f"{what} failed: {facts.get('failure')}")
        fits = _fit_again(plan, folder, seeds, workers) if seeds > 1 else 0
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


def _run(plan: StudyPlan, folder: SearchFolder, record: optuna.Study, lacking: int, workers: int | None) -> None:
    """Runs the trials that a study lacks."""
    data, wanted = plan.data(), plan.study.wanted_trials
    snapshots = sum(len(population) for population in data.training)
    to_run = f"{lacking} of {counted(wanted, 'trial')} to run"
    say(f"search {folder.name}: {to_run} on {counted(snapshots, 'snapshot')} of {plan.zoo.name}")
    with live("search", wanted, "trials", wanted - lacking) as task:
        trials = Trials(plan, folder, record, lacking, task)
        make_fits(trials, lacking, data, plan.folder, folder.states, workers=workers)


def _fit_again(plan: StudyPlan, folder: SearchFolder, seeds: int, workers: int | None) -> int:
    """Fits the trials that an analysis measures with further seeds, as far as that is not done; returns how many."""
    record = StudyRecord.open(folder.store, folder.name)
    seconds = dict(zip(record.trials["trial"], record.trials["seconds"], strict=True))
    best = measured_trials(record) if record.pareto_trials() else []
    chosen = [trial for trial in best if can_differ(record.config(trial))]
    lacking = [
        TrialFit(trial=trial, trainable=record.trainable(trial).name, config=to_json(record.config(trial)), fit=fit)
        for trial in chosen
        for fit in range(1, seeds)
        if fit not in record.fits(trial)
    ]
    if not lacking:
        return 0
    say(f"search {folder.name}: {counted(len(lacking), 'fit')}, to {seeds} seeds for each of its best trials")
    each_s = sum(float(seconds[one.trial]) for one in lacking) / len(lacking)
    with live("fit again", len(lacking), "fits") as task:
        fits = FurtherFits(lacking, task)
        make_fits(fits, len(lacking), plan.data(), plan.folder, folder.states, workers=workers, each_s=each_s)
    return fits.ended - fits.failed


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
