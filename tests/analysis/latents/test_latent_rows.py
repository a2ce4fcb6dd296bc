"""Autoencoders looked into: which trials, what a row holds, and that it is measured once."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from example_study import write_study

from analysis.analyze import analyze, carry_out
from analysis.latents import rows as latents
from analysis.latents.interpolation import PLACES
from analysis.measuring.results import Result
from analysis.plan import plan_analysis
from analysis.statistics.intervals import Bootstrap
from trainables.codecs.codec import Codec
from trainables.study_files import StudyRecord
from zoo.data.task import Task
from zoo.storage.store import Store

OPTIONS = {"codecs": ["float16"], "examples": 60, "inputs": (), "bootstrap": Bootstrap(replicates=20)}


@pytest.fixture(scope="module")
def study(tmp_path_factory, small_zoo):
    store = Store(tmp_path_factory.mktemp("study"))
    write_study(store, small_zoo)
    return StudyRecord.open(store, "small-search", small_zoo)


@pytest.fixture(scope="module")
def plan(small_zoo, study):
    return plan_analysis(small_zoo, study, **OPTIONS)


@pytest.fixture(scope="module")
def result(plan):
    return next(row for row in plan.rows if row.family == latents.FAMILY).measure()


def test_trials_evenly_spaced_on_the_front_are_looked_into(plan, study, monkeypatch):
    own = [row for row in plan.rows if row.family == latents.FAMILY]
    assert [row.trial for row in own] == list(plan.codecs)
    monkeypatch.setattr(latents, "MOST_TRIALS", 1)
    assert [row.trial for row in latents.latent_rows(study, plan.codecs, plan.setup)] == list(plan.codecs)[:1]


def test_a_row_holds_what_its_figures_are_made_of_as_json(result, plan):
    again = Result.from_record(json.loads(json.dumps(result.to_record())))
    assert again.details == result.details
    assert {name: one.estimate for name, one in again.metrics.items()} == {
        name: one.estimate for name, one in result.metrics.items()
    }
    snapshots = plan.zoo.population("test", members=plan.members)
    assert all(len(values) == len(snapshots) for values in result.details["map"]["columns"].values())
    assert np.array(result.details["map"]["maps"][0]["places"]).shape == (len(snapshots), 2)
    width = int(result.metrics["latent_width"].estimate)
    told = result.details["effects"]
    assert sorted(told["order"]) == list(range(width))
    assert np.array(told["of_layers"]).shape == (width, len(told["layers"]))
    assert 1 <= result.metrics["carrying_latents"].estimate <= width


def test_all_latents_kept_is_the_unrounded_reconstruction_and_none_the_mean(result, plan):
    told = result.details["kept"]
    assert told["counts"][0] == 0
    assert told["counts"][-1] == int(result.metrics["latent_width"].estimate)
    codec, setup = plan.codecs[result.trial][0], plan.setup
    latent = codec.autoencoder.encode(setup.original.population)
    rebuilt = latents.Subject(
        setup.original.population.with_weights(codec.receiver.weights(latent.values_MZ, latent.gain_M))
    )
    data = setup.evaluation.test
    expected = (rebuilt.predicted(data) == setup.original.predicted(data)).double().mean()
    assert told["quality"][-1] == pytest.approx(float(expected), abs=1e-6)


def test_ends_of_ways_between_weights_are_the_members(result, plan):
    original, data = plan.setup.original, plan.setup.evaluation.test
    accuracy_M = (original.predicted(data) == data.examples.targets).double().mean(1).numpy()
    pairs_R2 = latents.pairs_of(original.population).numpy()
    for way in ("matched", "common", "weights"):
        along_RT = np.array(result.details["interpolation"][way])
        for end, column in ((0, 0), (1, -1)):
            assert along_RT[:, column] == pytest.approx(accuracy_M[pairs_R2[:, end]], abs=2.1 / len(data))
        assert result.metrics[f"halfway_{way}"].estimate == pytest.approx(
            along_RT[:, PLACES.index(0.5)].mean(), abs=1e-4
        )


def test_payloads_of_single_networks_are_real_bytes(result, plan):
    alone = result.details["alone"]
    codec = plan.codecs[result.trial][0]
    member = plan.setup.original.population.select([0])
    assert alone["bytes"][0] == pytest.approx(len(codec.compress(member)), abs=3)  # refined in other company
    assert alone["members"][0] == plan.members[0]


def test_it_is_measured_once_for_all_reports(small_zoo, study, tmp_path, monkeypatch):
    keep = Store(tmp_path)
    first = analyze(small_zoo, study, keep=keep, **OPTIONS)
    monkeypatch.setattr(latents, "look", lambda *_: pytest.fail("measured again"))
    again = carry_out(plan_analysis(small_zoo, study, **OPTIONS), keep=keep)
    assert [row.details for row in again.latent_results] == [row.details for row in first.latent_results]
    assert len(again.latent_results) == len(study.best_trials())
    assert not any(row.family == latents.FAMILY for row in again.results)


def test_codecs_without_latents_are_not_looked_into(plan, study):
    class Plain(Codec):
        pass

    assert latents.latent_rows(study, {0: [Plain]}, plan.setup) == []


def test_networks_that_predict_values_have_no_accuracy_on_the_way(plan, result):
    setup = plan.setup
    data = SimpleNamespace(dataset=SimpleNamespace(task=Task("squared", 10)))
    regression = SimpleNamespace(original=setup.original, evaluation=SimpleNamespace(test=data))
    assert latents._interpolation(plan.codecs[result.trial][0], regression, None) == {}
