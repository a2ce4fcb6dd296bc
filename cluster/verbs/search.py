"""``search``: what a study still lacks, its trials on Ray Tune, its export as tables."""

from __future__ import annotations

import io
import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from analysis.rows import LEARNED_TRIALS, measured_trials
from cluster.display import human_seconds, live, say
from cluster.distributed.runtime import quieten, runtime
from cluster.distributed.study import StudyFolder, finished, load_study, reap, trial_row
from cluster.settings import changed, parse_assignments
from cluster.stores import existing_store, open_zoo
from search_spaces.studies import Study, find_study
from trainables.autoencoders.config import AutoencoderConfig
from trainables.study_files import StudyRecord
from zoo.config import digest, from_json, to_json
from zoo.generation.shard_training import one_thread
from zoo.storage.zoo import Zoo

if TYPE_CHECKING:
    from cluster.distributed.tuning import TrialEnd

STUDY_FILE, TRIALS_FILE = "study.json", "trials.parquet"
LIBRARIES = ("zooscale", "ray", "optuna", "torch")
# Importances of fewer trials are noise.
IMPORTANCE_TRIALS = 8
START_S, CALIBRATION_MEMBERS, CALIBRATION_TRIALS = 20.0, 64, 2
# The journal is copied to the store after every 8 trials, in a long search after every sixteenth of them.
SNAPSHOT_TRIALS, MAX_SNAPSHOTS = 8, 16
# A sampler that is seeded like the last one would propose the same trials again.
SEED_STRIDE = 1_000_003


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """What to search, where.

    Attributes:
        study: The study with the user's changes.
        zoo: The zoo.
        folder: Where the study lies; its name is a function of study and zoo, not of the number of trials.
        seed: Of the sampler, and by default of every fit.
    """

    study: Study
    zoo: Zoo
    folder: StudyFolder
    seed: int


def plan_search(
    study_name: str, zoo_name: str, store_uri: str, named: Mapping[str, Any], settings: Sequence[str] = ()
) -> SearchPlan:
    """Finds study and zoo, and applies the user's changes.

    Args:
        study_name: A name in ``STUDIES`` or ``module:attribute``.
        zoo_name: A zoo of the store, or its URI.
        store_uri: Where the study goes.
        named: ``trials``, ``epochs`` and ``seed``; ``None`` changes nothing.
        settings: ``field=value`` for fields of the study, or of the autoencoder: those are then the same in all
            trials.

    Raises:
        ValueError: Unknown study or field, a value that is not allowed, or no such store.
        ZooError: No such zoo.
    """
    study = find_study(study_name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", study.name):
        raise ValueError(f"Study.name is {study.name!r}; allowed: letters, digits, dots, hyphens, underscores")
    of_study, fixed = parse_assignments(settings, Study, AutoencoderConfig)
    seed = named.get("seed")
    fixed = dict(study.settings) | fixed | ({} if seed is None else {"seed": seed})
    shape = {field: value for field, value in named.items() if field != "seed"}
    study = changed(study, shape, {**of_study, "settings": fixed})
    zoo = open_zoo(zoo_name, store_uri)
    identity = {key: value for key, value in to_json(study).items() if key != "trials"}
    name = f"{study.name}-{digest({'study': identity, 'zoo': zoo.content_sha256})[:8]}"
    return SearchPlan(
        study=study, zoo=zoo, folder=StudyFolder(existing_store(store_uri), name), seed=int(fixed.get("seed", 0))
    )


def run_search(
    study_name: str,
    zoo_name: str,
    store_uri: str,
    *,
    named: Mapping[str, Any],
    settings: Sequence[str] = (),
    seeds: int = 1,
    workers: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The verb ``search``.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    plan = plan_search(study_name, zoo_name, store_uri, named, settings)
    return estimate(plan, workers, seeds) if dry_run else search(plan, seeds=seeds, workers=workers)


def search(plan: SearchPlan, *, seeds: int = 1, workers: int | None = None) -> dict[str, Any]:
    """Runs the trials that a study lacks and exports it; with none lacking, Ray is not started.

    Args:
        plan: From :func:`plan_search`.
        seeds: How many fits, that differ in their seed, the trials have that an analysis measures.
        workers: Trials at the same time; by default as many as there are CPUs.

    Returns:
        The contents of ``study.json`` with where it lies and what was done now.

    Raises:
        BlockingIOError: Another search of the same study is running.
        ClusterError: There is no cluster to run on.
        ZooError: Another machine has gone on with the study differently.
        RuntimeError: Every trial failed.
    """
    study, folder = plan.study, plan.folder
    started = time.monotonic()
    with folder.open_journal() as storage:
        record = load_study(storage, folder.name, study.modes, study.metrics)
        if reaped := reap(record):
            say(f"search {folder.name}: {reaped} interrupted trials will be replaced")
        lacking = max(0, study.trials - len(finished(record)))
        try:
            if lacking:
                _run(plan, storage, done=study.trials - lacking, workers=workers)
        finally:
            # Also after Ctrl-C: what is finished is in the store, and another machine can go on from it.
            folder.save_journal()
            folder.save_logs()
            if len(finished(record)) != _exported_trials(folder):
                export(plan, record)
        refitted = _refit(plan, seeds, workers) if seeds > 1 else 0
    facts = json.loads(folder.store.read(folder.path(STUDY_FILE)))
    seconds = time.monotonic() - started
    result = {
        "study_name": folder.name,
        "uri": folder.store.join(folder.path()),
        "new_trials": lacking,
        "new_fits": refitted,
        "seconds": round(seconds, 2),
        **{key: facts[key] for key in ("trials_completed", "trials_failed", "pareto", "zoo")},
        "tensorboard": str(folder.tensorboard),
    }
    if not facts["trials_completed"]:
        raise RuntimeError(f"all {facts['trials_failed']} trials of {folder.name} failed; {facts['failure']}")
    return {**result, "text": _summary(plan, result, seconds)}


def _exported_trials(folder: StudyFolder) -> int:
    """How many trials ``study.json`` tells of; 0 where there is none, or a damaged one to write anew."""
    try:
        facts = json.loads(folder.store.read(folder.path(STUDY_FILE)))
        return int(facts["trials_completed"] + facts["trials_failed"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0


def _run(plan: SearchPlan, storage: optuna.storages.BaseStorage, *, done: int, workers: int | None) -> None:
    """Runs the lacking trials with a live display."""
    quieten()
    from cluster.distributed.trainable import TrialData
    from cluster.distributed.tuning import run_trials

    study, zoo, folder = plan.study, plan.zoo, plan.folder
    data = TrialData.of(zoo, folder.store, study.validation_members)
    lacking = study.trials - done
    say(
        f"search {folder.name}: {lacking} of {study.trials} trials to run, {study.epochs} epochs each on "
        f"{len(data.training):,} snapshots of {zoo.name}"
    )
    best: dict[str, float] = {}
    counts: Counter[str] = Counter()
    pick = dict(zip(study.metrics, (min if mode == "min" else max for mode in study.modes), strict=True))

    with live("search", study.trials * study.epochs, "epochs", done * study.epochs) as task:

        def note() -> str:
            shown = [f"trial {done + counts['ended']}/{study.trials}"]
            shown += [f"best {name} {value:.3g}" for name, value in best.items()]
            return " · ".join([*shown, *([f"{counts['failed']} failed"] if counts["failed"] else [])])

        def on_epoch() -> None:
            counts["epochs"] += 1
            task.update(done * study.epochs + counts["epochs"], note())

        def on_end(end: TrialEnd) -> None:
            counts["ended"] += 1
            if end.failure:
                counts["failed"] += 1
                say(f"trial {end.number} failed: {end.failure}")
            else:
                for name in study.metrics:
                    best[name] = pick[name](end.metrics[name], best.get(name, end.metrics[name]))
            # Epochs that a failed trial did not run are not to come either.
            task.update(max(done * study.epochs + counts["epochs"], (done + counts["ended"]) * study.epochs), note())
            counts["epochs"] = max(counts["epochs"], counts["ended"] * study.epochs)
            if counts["ended"] % max(SNAPSHOT_TRIALS, lacking // MAX_SNAPSHOTS) == 0:
                folder.save_journal()

        with runtime(folder.store, workers=workers) as cluster:
            existing = len(load_study(storage, folder.name, study.modes, study.metrics).get_trials(deepcopy=False))
            run_trials(
                study,
                data,
                folder,
                storage,
                trials=lacking,
                workers=min(workers or max(cluster.cpus, 1), lacking),
                seed=(plan.seed + SEED_STRIDE * existing) % 2**32,
                checkpoints=cluster.nodes == 1,
                on_epoch=on_epoch,
                on_end=on_end,
            )


def _refit(plan: SearchPlan, seeds: int, workers: int | None) -> int:
    """Fits the trials that an analysis measures with further seeds, as far as that is not done; returns how many."""
    folder = plan.folder
    record = StudyRecord.open(folder.store, folder.name)
    fits = {trial: record.fits(trial) for trial in measured_trials(record)}
    wanted = [(trial, fit) for trial, found in fits.items() for fit in range(1, seeds) if fit not in found]
    if not wanted:
        return 0
    quieten()
    from cluster.distributed.refits import Refit, refit

    refits = [Refit(trial, fit, record.codec(trial).receiver.config) for trial, fit in wanted]
    say(f"search {folder.name}: {len(refits)} fits, to {seeds} seeds for each of its {len(fits)} best trials")
    return refit(refits, plan.zoo, folder, plan.study.validation_members, workers=workers)


def export(plan: SearchPlan, record: optuna.Study) -> None:
    """Writes ``trials.parquet`` and ``study.json``: all that other rooms read of a study, beside its models."""
    study, zoo, folder = plan.study, plan.zoo, plan.folder
    ended = finished(record)
    front = {trial.number for trial in record.best_trials}
    rows = [{**trial_row(trial), "pareto": trial.number in front} for trial in ended]
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer, index=False)
    folder.store.put(folder.path(TRIALS_FILE), buffer.getvalue())
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    facts = {
        "study": {**to_json(study), "name": folder.name},
        "zoo": {
            "name": zoo.name,
            "uri": zoo.uri,
            "digest": zoo.digest,
            "content_sha256": zoo.content_sha256,
            "members": len(zoo),
        },
        "trials_completed": len(complete),
        "trials_failed": len(ended) - len(complete),
        "failure": next((row["failure"] for row in rows if row["failure"]), None),
        "pareto": sorted(front),
        "importances": importances(record, study) if len(complete) >= IMPORTANCE_TRIALS else None,
        "fit_seconds": round(sum(row["seconds"] or 0.0 for row in rows), 2),
        "seed": plan.seed,
        "libraries": {name: _version(name) for name in LIBRARIES},
    }
    folder.store.put(folder.path(STUDY_FILE), json.dumps(facts, indent=2).encode())


def importances(record: optuna.Study, study: Study) -> dict[str, dict[str, float]]:
    """For each objective, how much of its variance each parameter explains (fANOVA).

    They add up to 1; an objective that does not vary has none.
    """
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = {}
    for place, metric in enumerate(study.metrics):

        def objective(trial: FrozenTrial, place: int = place) -> float:
            return float(trial.values[place])

        try:
            found[metric] = optuna.importance.get_param_importances(record, evaluator=evaluator, target=objective)
        except RuntimeError:  # the same value in every trial
            found[metric] = {}
    return found


def estimate(plan: SearchPlan, workers: int | None = None, seeds: int = 1) -> dict[str, Any]:
    """What ``search`` would do and how long it takes, from an epoch on a few members made here and now."""
    study, zoo, folder = plan.study, plan.zoo, plan.folder
    done = 0
    if folder.store.exists(folder.path(TRIALS_FILE)):
        done = len(pd.read_parquet(io.BytesIO(folder.store.read(folder.path(TRIALS_FILE))), columns=["trial"]))
    lacking = max(0, study.trials - done)
    processes = min(workers or os.cpu_count() or 1, max(lacking, 1))
    further = most_further_fits(study.trials, seeds)
    seconds, size = 0.0, 0
    if lacking or further:
        trial_s, trial_bytes = _cost_of_a_trial(plan)
        seconds = fit_seconds((lacking, further), trial_s, processes)
        size = (lacking + further) * trial_bytes
    again = f", and up to {further} fits of the best ones with further seeds" if further else ""
    return {
        "study_name": folder.name,
        "uri": folder.store.join(folder.path()),
        "zoo": zoo.name,
        "trials": study.trials,
        "missing_trials": lacking,
        "further_fits": further,
        "epochs": study.epochs,
        "workers": processes,
        "bytes": size,
        "seconds": round(seconds, 1),
        "study": to_json(study),
        "text": f"would run {lacking} of {study.trials} trials of {study.epochs} epochs on {zoo.name}{again}, with "
        f"{processes} workers: about {human_seconds(seconds)}, {size / 2**20:.1f} MiB in "
        f"{folder.store.join(folder.path())}"
        if lacking or further
        else f"study {folder.name} is complete; nothing would run",
    }


def most_further_fits(trials: int, seeds: int) -> int:
    """How many fits with further seeds there may be: which trials will be the best is not known yet, nor how many."""
    return (seeds - 1) * min(trials, LEARNED_TRIALS)


def fit_seconds(counts: Sequence[int], trial_s: float, processes: int) -> float:
    """How long rounds of so many fits take, each on a Ray of its own, if one takes ``trial_s`` on one CPU."""
    return sum(START_S + trial_s * math.ceil(count / processes) for count in counts if count)


def _cost_of_a_trial(plan: SearchPlan) -> tuple[float, int]:
    """Seconds and bytes of a trial on one CPU: means over some configurations that the space proposes.

    Preparation and an epoch are measured on a few members; the validation, with its refinement, is the real one.
    """
    from trainables.autoencoders.autoencoder import layer_rows
    from trainables.autoencoders.fit import AutoencoderFit

    study, zoo, images = plan.study, plan.zoo, plan.zoo.dataset()
    some = zoo.population("train", limit=CALIBRATION_MEMBERS)
    validation = zoo.population("validation", epochs="one", limit=study.validation_members)
    growth = len(zoo.rows("train")) / len(some)
    space = study.bound_space(layer_rows(some.architecture))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=plan.seed), directions=["minimize"] * len(study.metrics)
    )
    configs = [from_json(AutoencoderConfig, space(draw.ask())) for _ in range(CALIBRATION_TRIALS)]
    seconds, size = 0.0, 0
    with one_thread():  # as in a trial
        AutoencoderFit(configs[0], some, images.train).step()  # the first one of a process takes longer
        for config in configs:
            started = time.perf_counter()
            fit = AutoencoderFit(config, some, images.train)
            prepared = time.perf_counter()
            fit.step()
            stepped = time.perf_counter()
            fit.validate(validation, images.validation)
            seconds += growth * (prepared - started + study.epochs * (stepped - prepared))
            seconds += time.perf_counter() - stepped
            size += sum(len(content) for content in fit.codec().to_files().values())
    return seconds / len(configs), size // len(configs)


def _summary(plan: SearchPlan, result: Mapping[str, Any], seconds: float) -> str:
    new, total = result["new_trials"], result["trials_completed"]
    did = f"{new} trials run in {human_seconds(seconds)}" if new else "no trial was lacking"
    did += f", {result['new_fits']} fits with further seeds" if result["new_fits"] else ""
    failed = f", {result['trials_failed']} failed" if result["trials_failed"] else ""
    return (
        f"study {plan.folder.name}: {total} trials{failed}, {len(result['pareto'])} on the Pareto front; {did}\n"
        f"{result['uri']}\nTensorBoard logs in {plan.folder.tensorboard}"
    )


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # run from a source folder
        return None
