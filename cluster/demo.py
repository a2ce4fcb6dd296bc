"""``demo``: the whole job on scikit-learn's handwritten digits, each part of it reused where it is there."""

from __future__ import annotations

from typing import Any

from analysis.study import StudyRecord
from cluster import generation, reporting, search
from cluster.display import say
from zoo.storage.build import plan_generation
from zoo.storage.store import Store

RECIPE, STUDY = "digits-mlp-diverse", "digits-autoencoder"
# Test networks that are measured.
TEST_MEMBERS = 300


def run_demo(
    store_uri: str,
    *,
    members: int | None = None,
    trials: int | None = None,
    epochs: int | None = None,
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
        workers: Processes at the same time.
        seed: Of the recipe and the study.
        dry_run: Only say what would run.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    store = Store(store_uri)
    recipe = generation.chosen_recipe(RECIPE, {"members": members, "seed": seed}, [])
    plan = plan_generation(recipe, store, members)
    if dry_run:
        return _estimate(generation.estimate(plan, store, workers))
    zoo = generation.generate(plan, store, workers=workers)
    say(f"zoo {zoo.name}: {len(zoo):,} members")
    named = {"trials": trials, "epochs": epochs, "seed": seed}
    found = search.search(search.plan_search(STUDY, zoo.name, store.uri, named), workers=workers)
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


def _estimate(zoo: dict[str, Any]) -> dict[str, Any]:
    """What the demo would do; search and analysis are estimated where there is a zoo to measure them on."""
    return {
        "generate": {key: value for key, value in zoo.items() if key != "text"},
        "text": f"{zoo['text']}\nthen a search by study {STUDY!r}, and an analysis on up to "
        f"{TEST_MEMBERS} held-out networks",
    }
