"""Held-out sets: rows of hypernetworks of data sets and of what they are compared with, and their page."""

from dataclasses import replace

import pytest

from analysis.analyze import analyze
from analysis.held_out_tasks import made_for_sets
from analysis.held_out_tasks.made_for_sets import FITTED, WAYS
from analysis.plan import plan_analysis
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from zoo.config import to_json
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

SETTINGS = {
    "set_size": 50,
    "queries": 50,
    "width": 32,
    "task_batch": 8,
    "steps": 60,
    "epochs": 3,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    recipe = replace(RECIPES["digits-mlp-seeds"], members=64, epochs=1, snapshot_epochs=(0, 1))
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("sets")))


@pytest.fixture(scope="module")
def study(zoo):
    """One trial."""
    entry = find_trainable("dataset-hypernetwork")
    folder, config = StudyFolder(zoo.store, "sets-0123abcd"), entry.configuration(SETTINGS)
    fit = run(entry.fit(config, fit_data(zoo)))
    folder.write_artifact(entry, config, fit.artifact(), 0, 0)
    facts = {"trainables": [entry.name], "spaces": [], "objectives": ["unseen_accuracy"], "limits": {}}
    folder.export(facts, ("max",), zoo, [{"trial": 0, "state": "complete", **to_json(config), **fit.validate()}])
    return StudyRecord.open(zoo.store, "sets-0123abcd")


@pytest.fixture(scope="module")
def analysis(zoo, study):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_for_sets, "STEPS", (1, 40))
        patch.setattr(made_for_sets, "FINE_TUNING_STEPS", (1,))
        return analyze(zoo, study, members=6, bootstrap=Bootstrap(replicates=50))


def unseen(analysis):
    return {
        (result.name, *result.setting.split(", ")[1:2]): result.metrics["unseen_accuracy"].estimate
        for result in analysis.results
    }


def test_every_way_is_measured_and_one_pass_is_the_best_without_steps(analysis):
    found = unseen(analysis)
    assert {name for name, *_ in found} == {"dataset-hypernetwork", *WAYS}
    made = next(value for (name, *_), value in found.items() if name == "dataset-hypernetwork")
    for way in FITTED:
        assert 0.5 < found[way,] < made
    assert found["from scratch", "1 step"] < found["from scratch", "40 steps"] < made
    on_the_set = {result.name: result.metrics["set_accuracy"].estimate for result in analysis.results}
    assert on_the_set["nearest neighbor"] == 1


def test_the_page_tells_of_sets(analysis):
    page = render(analysis)
    assert "Networks made for sets of digits" in page
    assert "6 sets of 50 labeled examples from each data set" in page
    assert "network of the nearest training set" in page


def test_what_cannot_be_measured_is_refused(zoo, study):
    with pytest.raises(
        ValueError, match=r"data set 'tetris' has examples of shape .*; networks for digits read \(1, 8, 8\)"
    ):
        plan_analysis(zoo, study, inputs=["tetris"])
    with pytest.raises(ValueError, match="members is 1; hypernetworks of data sets are judged by 2 sets or more"):
        plan_analysis(zoo, study, members=1)
    both = replace(study, facts={**study.facts, "study": {"trainables": ["supernet", "dataset-hypernetwork"]}})
    with pytest.raises(ZooError, match="has hypernetworks of tasks and of data sets; make a study of each"):
        plan_analysis(zoo, both)
