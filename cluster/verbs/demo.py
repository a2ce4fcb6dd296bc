"""``demo``: the whole job on scikit-learn's handwritten digits, each part of it reused where it is there."""

from __future__ import annotations

import os
from typing import Any

from cluster.display import human_bytes, human_seconds, say
from cluster.verbs import generation, reporting, search
from search_spaces.studies import find_study
from trainables.study_files import StudyRecord
from zoo.generation.build import plan_generation
from zoo.recipes import Recipe
from zoo.storage.manifest import read_manifest
from zoo.storage.store import Store

RECIPE, STUDY = "digits-mlp-diverse", "digits-autoencoder"
# Test networks that are measured.
TEST_MEMBERS = 300
TRAINING_SHARE, TEST_SHARE = 0.7, 0.15
# Measured on the demo, on one core: a trial's preparation and validation, an epoch on a snapshot, its model; the
# analysis and its report.
TRIAL_S, SNAPSHOT_EPOCH_S, TRIAL_BYTES = 4.0, 2.5e-4, 200_000
ANALYSIS_S, REPORT_BYTES = 75.0, 6_000_000


def run_demo(
    store_uri: str,
    *,
    members: int | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    seeds: int = 1,
    workers: int | None = None,
    seed: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The verb ``demo``: generate, search, analyze.

    Args:
        store_uri: Where everything goes.
        members: Members of the zoo.
        trials: Trials of the study.
        epochs: Epochs of each trial.
        seeds: Fits of each of the best trials.
        workers: Processes at the same time.
        seed: Of the recipe and the study.
        dry_run: Only say what would run.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    store = Store(store_uri)
    recipe = generation.chosen_recipe(RECIPE, {"members": members, "seed": seed}, [])
    plan = plan_generation(recipe, store, members)
    named = {"trials": trials, "epochs": epochs, "seed": seed}
    if dry_run:
        ahead = generation.estimate(plan, store, workers)
        return _estimate(ahead, _search_estimate(ahead, recipe, store, named, seeds, workers))
    zoo = generation.generate(plan, store, workers=workers)
    say(f"zoo {zoo.name}: {len(zoo):,} members")
    found = search.search(search.plan_search(STUDY, zoo.name, store.uri, named), seeds=seeds, workers=workers)
    say(f"study {found['study_name']}: {found['trials_completed']} trials")
    record = StudyRecord.open(store, found["study_name"])
    report = reporting.write_report(zoo, record, store, members=TEST_MEMBERS, reuse=True)
    return {
        "zoo": generation.describe(zoo),
        "study": {key: value for key, value in found.items() if key != "text"},
        "report": {key: value for key, value in report.items() if key != "text"},
        "text": f"{report['text']}\nmodels  {found['uri']}/checkpoints\n\n"
        f"dashboards: zooscale dashboard --store {store.uri} --study {found['study_name']}",
    }


def _estimate(zoo: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What the demo would do; see :func:`_search_estimate` for what is measured and what is remembered."""
    test_members = min(TEST_MEMBERS, round(zoo["members"] * TEST_SHARE))
    report = {"test_members": test_members, "bytes": REPORT_BYTES, "seconds": ANALYSIS_S * test_members / TEST_MEMBERS}
    parts = {"generate": zoo, "search": found, "analyze": report}
    seconds, size = (sum(part[key] for part in parts.values()) for key in ("seconds", "bytes"))
    return {
        **{name: {key: value for key, value in part.items() if key != "text"} for name, part in parts.items()},
        "seconds": round(seconds, 1),
        "bytes": size,
        "text": f"{zoo['text']}\n{found['text']}\nwould then measure codecs on {test_members} held-out networks: about "
        f"{human_seconds(report['seconds'])}, unless there is a report already\n"
        f"altogether about {human_seconds(seconds)} and {human_bytes(size)}",
    }


def _search_estimate(
    zoo: dict[str, Any], recipe: Recipe, store: Store, named: dict[str, int | None], seeds: int, workers: int | None
) -> dict[str, Any]:
    """Measured on the zoo where there is one already; else from what the demo has taken before."""
    if not zoo["missing_members"] and read_manifest(store, zoo["zoo"]) is not None:
        return search.estimate(search.plan_search(STUDY, zoo["zoo"], store.uri, named), workers, seeds)
    study = find_study(STUDY)
    trials, epochs = named["trials"] or study.trials, named["epochs"] or study.epochs
    processes = min(workers or os.cpu_count() or 1, trials)
    snapshots = recipe.members * TRAINING_SHARE * sum(epoch > 0 for epoch in recipe.snapshot_epochs)
    further = search.most_further_fits(trials, seeds)
    seconds = search.fit_seconds((trials, further), TRIAL_S + SNAPSHOT_EPOCH_S * snapshots * epochs, processes)
    size = (trials + further) * TRIAL_BYTES
    again = f" and up to {further} fits with further seeds" if further else ""
    return {
        "trials": trials,
        "further_fits": further,
        "epochs": epochs,
        "workers": processes,
        "bytes": size,
        "seconds": round(seconds, 1),
        "text": f"would then run {trials} trials of {epochs} epochs{again} with {processes} workers: about "
        f"{human_seconds(seconds)}, {human_bytes(size)}",
    }
