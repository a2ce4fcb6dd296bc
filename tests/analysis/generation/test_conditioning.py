"""Conditioning: what is wanted of a generator against what it makes, for generators whose answers are known."""

import numpy as np
import pytest

from analysis.analyze import analyze
from analysis.generation import conditioning
from analysis.generation.conditioning import ERROR, SLOPE, Obtained, obtained
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from zoo.config import to_json
from zoo.storage.store import Store

WANTED = np.array([0.5, 0.7, 0.9])


def test_networks_as_wanted_have_no_error_and_slope_one():
    found = Obtained("test_accuracy", WANTED, np.repeat(WANTED[:, None], 4, axis=1)).metrics
    assert (found[ERROR], found[SLOPE]) == (pytest.approx(0), pytest.approx(1))


def test_networks_that_do_not_care_have_slope_zero():
    found = Obtained("test_accuracy", WANTED, np.full((3, 4), 0.7)).metrics
    assert (found[ERROR], found[SLOPE]) == (pytest.approx(0.4 / 3), pytest.approx(0))


def test_one_value_wanted_tells_no_slope():
    assert Obtained("test_accuracy", np.full(3, 0.7), np.random.default_rng(0).random((3, 4))).metrics[SLOPE] == 0


@pytest.fixture(scope="module")
def flow(small_zoo):
    entry = find_trainable("flow")
    settings = {"conditions": "validation_accuracy,activation", "components": 8, "epochs": 2, "width": 16, "depth": 1}
    config = entry.configuration({**settings, "integration_steps": 2})
    return entry, config, run(entry.fit(config, fit_data(small_zoo)))


def test_a_flow_is_asked_for_the_accuracies_of_training_networks(small_zoo, flow, monkeypatch):
    monkeypatch.setattr(conditioning, "NETWORKS", 4)
    training = next(iter(small_zoo.populations("train", epochs="last")))
    (found,) = obtained(flow[2].artifact(), training, small_zoo.dataset(), "")
    assert found.column == "validation_accuracy", "of an activation nothing can be measured"
    assert found.wanted_L[2] == pytest.approx(np.median(training.column("validation_accuracy")))
    assert found.accuracy_LM.shape == (5, 4)
    assert ((found.accuracy_LM >= 0) & (found.accuracy_LM <= 1)).all()
    plain = find_trainable("component-density")
    made = run(plain.fit(plain.configuration({"components": 4}), fit_data(small_zoo))).artifact()
    assert obtained(made, training, small_zoo.dataset(), "") == []


def test_the_report_draws_what_is_obtained(small_zoo, flow, tmp_path, monkeypatch):
    monkeypatch.setattr(conditioning, "NETWORKS", 4)
    entry, config, fit = flow
    folder = StudyFolder(Store(tmp_path), "flow-0123abcd")
    folder.write_artifact(entry, config, fit.artifact(), 0)
    facts = {"trainables": [entry.name], "spaces": [], "objectives": ["generated_accuracy"], "limits": {}}
    folder.export(facts, ("max",), small_zoo, [{"trial": 0, "state": "complete", **to_json(config), **fit.validate()}])
    analysis = analyze(
        small_zoo, StudyRecord.open(Store(tmp_path), "flow-0123abcd"), members=4, bootstrap=Bootstrap(replicates=20)
    )
    row = next(result for result in analysis.results if result.family == "learned")
    assert row.value("conditioning_error") > 0
    (told,) = analysis.summary["conditioning"]
    assert told["trial"] == 0
    assert len(told["wanted"]) == len(told["low"]) == 5
    page = render(analysis)
    assert "What is wanted, and what is made" in page
    assert "again and again" in page
