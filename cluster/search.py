"""``search``: what a study still lacks, its trials on Ray Tune, its export as tables."""

from __future__ import annotations

import io
import json
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

from cluster.display import human_seconds, live, say
from cluster.inventory import existing_store, open_zoo
from cluster.runtime import quieten, runtime
from cluster.settings import changed, parse_assignments
from cluster.study import StudyFolder, finished, load_study, reap, trial_row
from search_spaces.studies import Study, find_study
from trainables.config import AutoencoderConfig
from zoo.config import digest, from_json, to_json
from zoo.storage.zoo import Zoo

if TYPE_CHECKING:
    from cluster.tuning import TrialEnd

STUDY_FILE, TRIALS_FILE = "study.json", "trials.parquet"
LIBRARIES = ("zooscale", "ray", "optuna", "torch")
# Importances of fewer trials are noise.
IMPORTANCE_TRIALS = 8
START_S, CALIBRATION_MEMBERS = 20.0, 64
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
    workers: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The verb ``search``.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    plan = plan_search(study_name, zoo_name, store_uri, named, settings)
    return estimate(plan, workers) if dry_run else search(plan, workers=workers)


def search(plan: SearchPlan, *, workers: int | None = None) -> dict[str, Any]:
    """Runs the trials that a study lacks and exports it; with none lacking, Ray is not started.

    Args:
        plan: From :func:`plan_search`.
        workers: Trials at the same time; by default as many as there are CPUs.

    Returns:
        The contents of ``study.json`` with where it lies and what was done now.

    Raises:
        BlockingIOError: Another search of the same study is running.
        ClusterError: There is no cluster to run on.
        RuntimeError: Every trial failed.
    """
    study, folder = plan.study, plan.folder
    started = time.monotonic()
    with folder.open_journal() as storage:
        record = load_study(storage, folder.name, study.modes)
        if reaped := reap(record):
            say(f"search {folder.name}: {reaped} interrupted trials will be replaced")
        lacking = max(0, study.trials - len(finished(record)))
        if lacking:
            try:
                _run(plan, storage, done=study.trials - lacking, workers=workers)
            finally:
                # Also after Ctrl-C: what is finished is in the store, and another machine can go on from it.
                folder.save_journal()
        if lacking or not folder.store.exists(folder.path(STUDY_FILE)):
            export(plan, record)
    facts = json.loads(folder.store.read(folder.path(STUDY_FILE)))
    seconds = time.monotonic() - started
    result = {
        "study_name": folder.name,
        "uri": folder.store.join(folder.path()),
        "new_trials": lacking,
        "seconds": round(seconds, 2),
        **{key: facts[key] for key in ("trials_completed", "trials_failed", "pareto", "zoo")},
        "tensorboard": str(folder.tensorboard),
    }
    if not facts["trials_completed"]:
        raise RuntimeError(f"all {facts['trials_failed']} trials of {folder.name} failed; {facts['failure']}")
    return {**result, "text": _summary(plan, result, seconds)}


def _run(plan: SearchPlan, storage: optuna.storages.BaseStorage, *, done: int, workers: int | None) -> None:
    """Runs the lacking trials with a live display."""
    quieten()
    from cluster.trainable import TrialData
    from cluster.tuning import run_trials

    study, zoo, folder = plan.study, plan.zoo, plan.folder
    images = zoo.dataset()
    data = TrialData(
        store=folder.store,
        training=zoo.population("train"),
        validation=zoo.population("validation", epochs="one", limit=study.validation_members),
        training_images=images.train,
        validation_images=images.validation,
    )
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

        with runtime(folder.store, workers=workers) as cluster:
            existing = len(load_study(storage, folder.name, study.modes).get_trials(deepcopy=False))
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
    """For each objective, how much of its variance each parameter explains (fANOVA); they add up to 1."""
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = {}
    for place, metric in enumerate(study.metrics):

        def objective(trial: FrozenTrial, place: int = place) -> float:
            return float(trial.values[place])

        found[metric] = optuna.importance.get_param_importances(record, evaluator=evaluator, target=objective)
    return found


def estimate(plan: SearchPlan, workers: int | None = None) -> dict[str, Any]:
    """What ``search`` would do and how long it takes, from an epoch on a few members made here and now."""
    from trainables.fit import AutoencoderFit

    study, zoo, folder = plan.study, plan.zoo, plan.folder
    done = 0
    if folder.store.exists(folder.path(TRIALS_FILE)):
        done = len(pd.read_parquet(io.BytesIO(folder.store.read(folder.path(TRIALS_FILE))), columns=["trial"]))
    lacking = max(0, study.trials - done)
    config = from_json(AutoencoderConfig, {**study.settings, "epochs": study.epochs})
    processes = min(workers or os.cpu_count() or 1, max(lacking, 1))
    seconds, size = 0.0, 0
    if lacking:
        some = zoo.population("train", limit=CALIBRATION_MEMBERS)
        fit = AutoencoderFit(config, some, zoo.dataset().train)
        started = time.perf_counter()
        fit.step()
        each = (time.perf_counter() - started) / len(some)
        epoch_s = each * len(zoo.rows("train"))
        seconds = START_S + epoch_s * (study.epochs + 1) * lacking / processes
        size = lacking * sum(len(content) for content in fit.codec().to_files().values())
    return {
        "study_name": folder.name,
        "uri": folder.store.join(folder.path()),
        "zoo": zoo.name,
        "trials": study.trials,
        "missing_trials": lacking,
        "epochs": study.epochs,
        "workers": processes,
        "bytes": size,
        "seconds": round(seconds, 1),
        "study": to_json(study),
        "text": f"would run {lacking} of {study.trials} trials of {study.epochs} epochs on {zoo.name} with {processes} "
        f"workers: about {human_seconds(seconds)}, {size / 2**20:.1f} MiB in {folder.store.join(folder.path())}"
        if lacking
        else f"study {folder.name} is complete; nothing would run",
    }


def _summary(plan: SearchPlan, result: Mapping[str, Any], seconds: float) -> str:
    new, total = result["new_trials"], result["trials_completed"]
    did = f"{new} trials run in {human_seconds(seconds)}" if new else "no trial was lacking"
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
