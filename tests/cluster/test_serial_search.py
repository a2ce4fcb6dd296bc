"""Searches in this process: the same journal and the same trials as on Ray, handed over where that is worth it."""

import dataclasses
import io
import re

import pandas as pd
import pytest
from optuna.trial import TrialState

from analysis.measuring.measured_trials import measured_trials
from cluster.display import live
from cluster.distributed import making
from cluster.distributed import search as searching
from cluster.distributed.making import make_serially
from cluster.distributed.search import search, search_folder
from cluster.distributed.study import FAILURE, INTERRUPTED, Trials, finished, load_study, new_sampler
from cluster.studies import plan_study
from cluster.verbs.analyze import Analyze
from cluster.verbs.search import Search
from search_spaces.studies import DIGITS_AUTOENCODER, FUNCTION_METRIC_CONSTANTS, STUDIES
from search_spaces.study import Study
from trainables.study_files import StudyRecord
from trainables.trials import TrialFit, make
from zoo.config import to_json
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

SMALL = ["latent=16", "encoder_width=8", "decoder_width=8", "refine_steps=2"]


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """Ray is never started: it would be an error here."""
    monkeypatch.setattr(making, "runtime", None)


@pytest.fixture(autouse=True)
def slow_start(monkeypatch):
    monkeypatch.setattr(making, "ray_start_s", lambda: 1e6)


def plan(zoo, study=DIGITS_AUTOENCODER, settings=SMALL, **named):
    return plan_study(study, zoo.uri, zoo.store.uri, {"epochs": 2, "trials": 3, **named}, settings)


def trials(plan):
    return pd.read_parquet(io.BytesIO(plan.folder.store.read(plan.folder.path("trials.parquet")))).set_index("trial")


def test_a_small_search_runs_here_and_is_continued(zoo_copy):
    first = plan(zoo_copy)
    assert search(first) == searching.Done(3, 0)
    before = trials(first)
    assert list(before["state"]) == ["COMPLETE"] * 3
    assert set(before["trainable"]) == {"neuron-autoencoder"}
    assert search(first) == searching.Done(0, 0)
    longer = plan(zoo_copy, trials=5)
    assert search(longer) == searching.Done(2, 0)
    after = trials(longer)
    pd.testing.assert_frame_equal(after.loc[before.index].drop(columns="pareto"), before.drop(columns="pareto"))
    assert len(after[["bits_per_latent", "learning_rate"]].drop_duplicates()) == 5
    assert len(list(search_folder(longer).tensorboard.glob("trial-*/events*"))) == 5


def test_further_fits_are_made_here_too(zoo_copy):
    first = plan(zoo_copy, trials=2)
    search(first)
    record = StudyRecord.open(zoo_copy.store, first.folder.name)
    done = search(first, seeds=3)
    assert done == searching.Done(0, 2 * len(record.pareto_trials()))
    trial = record.pareto_trials()[0]
    assert record.fits(trial) == [0, 1, 2]
    assert record.config(trial, 2) == dataclasses.replace(record.config(trial), seed=record.config(trial).seed + 2)
    assert record.artifact(trial, 1).to_files() != record.artifact(trial).to_files()


def test_what_is_the_same_with_any_seed_is_not_fitted_again(zoo_copy):
    constants = plan(zoo_copy, FUNCTION_METRIC_CONSTANTS, [], epochs=None, trials=2)
    assert search(constants, seeds=3) == searching.Done(2, 0)
    assert StudyRecord.open(zoo_copy.store, constants.folder.name).kind == "codec"


def test_a_trial_is_what_its_configuration_gives(zoo_copy, tmp_path):
    first = plan(zoo_copy, trials=1)
    search(first)
    record = StudyRecord.open(zoo_copy.store, first.folder.name)
    one = TrialFit(trial=7, trainable=record.trainable(0).name, config=to_json(record.config(0)))
    again = make(one, first.data(), first.folder)
    row = trials(first).loc[0]
    assert {name: row[name] for name in again.metrics} == again.metrics
    assert record.artifact(7).to_files() == record.artifact(0).to_files()


def test_a_study_without_a_space_is_one_fit(zoo_copy):
    study = Study(name="one", trainables=("uniform",), settings={"step": 0.7})
    single = plan(zoo_copy, study, [], epochs=None, trials=9)
    assert search(single) == searching.Done(1, 0)
    assert list(trials(single)["step"]) == [0.7]


def test_several_trainables_without_spaces_are_fitted_once_each_and_again_with_other_seeds(zoo_copy):
    """Also those that are not the best, since an analysis measures the best trial of each."""
    study = Study(name="all", trainables=("weights", "weight-statistics", "probing"), objectives=("probe_score",))
    several = plan(zoo_copy, study, ["count=4", "latent=4", "width=8"], epochs=1, trials=9)
    assert search(several) == searching.Done(3, 0)
    assert list(trials(several)["trainable"]) == list(study.trainables)
    record = StudyRecord.open(zoo_copy.store, several.folder.name)
    assert sorted(measured_trials(record)) == [0, 1, 2]
    before = record.content_sha256
    assert search(several, seeds=2) == searching.Done(0, 1)  # only probing differs by its seed
    record = StudyRecord.open(zoo_copy.store, several.folder.name)
    assert [record.fits(trial) for trial in (0, 1, 2)] == [[0], [0], [0, 1]]
    assert record.content_sha256 != before
    assert search(several, seeds=2) == searching.Done(0, 0)


def test_a_zoo_without_validation_members_is_refused_before_its_study_has_a_folder(tmp_path):
    recipe = dataclasses.replace(RECIPES["digits-mlp-diverse"], block_members=16, epochs=1, snapshot_epochs=(1,))
    zoo = generate_zoo(recipe, Store(tmp_path), members=16)
    lacking = f"zoo {zoo.name} has no validation members: with 16 members in blocks of 16, make it larger"
    with pytest.raises(ZooError, match=lacking):
        Search(study="digits-autoencoder", zoo=zoo.name, store=str(tmp_path), trials=1).run()
    assert not (tmp_path / "studies").exists()


def test_fields_of_several_trainables_may_share_a_name_and_differ_in_type(zoo_copy):
    study = Study(
        name="named-alike",
        trainables=("weight-statistics", "weights-and-behavior"),
        objectives=("probe_score",),
        settings={"head": False, "inputs": 16},
    )
    several = plan(zoo_copy, study, [], epochs=None)
    assert search(several) == searching.Done(2, 0)
    assert list(trials(several)["statistics"]) == ["all", "True"]


def test_a_search_tries_each_trainable_before_any_twice(zoo_copy):
    spaced = Study(
        name="spaced",
        trainables=("statistics-ridge", "statistics-boosting"),
        spaces=("statistics-ridge", "statistics-boosting"),
        objectives=("r2",),
        settings={"target": "test_accuracy"},
    )
    begun = plan(zoo_copy, spaced, [], epochs=None, trials=2)
    search(begun)
    assert set(trials(begun)["trainable"]) == {"statistics-ridge", "statistics-boosting"}


def test_trials_over_a_limit_are_marked_and_off_the_front(zoo_copy):
    limited = plan(zoo_copy, FUNCTION_METRIC_CONSTANTS, ["limits.agreement=1.5"], epochs=None, trials=2)
    search(limited)
    assert not trials(limited)["feasible"].any()
    assert StudyRecord.open(zoo_copy.store, limited.folder.name).pareto_trials() == []
    with search_folder(limited).open_journal() as storage:
        found = load_study(storage, limited.folder.name, limited.study).trials
    assert all(trial.constraints["agreement"] > 0 for trial in found)


def test_search_and_analysis_of_a_study_beyond_its_limits_say_what_to_change(zoo_copy, monkeypatch):
    options = {"study": "function-metric-constants", "zoo": zoo_copy.uri, "store": zoo_copy.store.uri, "trials": 2}
    found = Search(**options, settings=("limits.agreement=1.5",), seeds=2).run()
    assert (found.trials_completed, found.trials_infeasible, found.pareto) == (2, 2, ())
    advice = (
        r"none of its 2 trials keeps to its limits: agreement is 0\.\d+ at best and its limit 1\.5\. "
        r"Search with wider ones \(--set limits\.agreement=…\)"
    )
    assert re.search(advice, found.text)
    for do in (Analyze.plan, Analyze.run):
        with pytest.raises(ZooError, match=rf"{found.study_name} has no trial to measure: {advice}"):
            do(Analyze(zoo=zoo_copy.uri, study=found.study_name, store=zoo_copy.store.uri))


def test_a_diverged_trial_fails_and_the_others_go_on(zoo_copy):
    study = dataclasses.replace(DIGITS_AUTOENCODER, settings={"learning_rate": 1e30})
    with pytest.raises(RuntimeError, match=r"all 2 trials failed: .*learning_rate"):
        search(plan(zoo_copy, study, trials=2))


def run(plan, record, count, leave):
    with live("search", count, "trials") as task:
        trials = Trials(plan, search_folder(plan), record, count, task)
        return make_serially(trials, count, plan.data(), plan.folder, search_folder(plan).states, leave)


def test_what_is_worth_more_processes_is_handed_over_in_the_middle_of_a_trial(zoo_copy):
    first = plan(zoo_copy)
    with search_folder(first).open_journal() as storage:
        record = load_study(storage, first.folder.name, first.study)
        assert run(first, record, 3, lambda done: done > 1) == 1
        assert [trial.state for trial in record.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
        assert record.trials[1].user_attrs[FAILURE] == INTERRUPTED
        assert len(finished(record)) == 1
        # What was given back is proposed first to whoever goes on.
        given_back = record.trials[1].params
        assert run(first, record, 2, lambda done: False) == 2
        assert record.trials[2].params == given_back
        assert record.trials[2].state == TrialState.COMPLETE


@pytest.fixture
def ray(monkeypatch):
    """What is handed to Ray: how many fits, with how many workers."""
    handed = []
    monkeypatch.setattr(making, "_make_on_ray", lambda fits, count, *rest: handed.append((count, rest[-1])))
    return handed


def test_search_leaves_for_ray_by_what_the_first_trials_took(zoo_copy, monkeypatch, ray):
    monkeypatch.setattr(making, "ray_start_s", lambda: 0.0)
    monkeypatch.setattr(making.os, "cpu_count", lambda: 8)
    with pytest.raises(RuntimeError, match="failed"):
        search(plan(zoo_copy))
    assert ray == [(3, None)]


def test_a_number_of_workers_means_ray(zoo_copy, ray):
    with pytest.raises(RuntimeError, match="failed"):
        search(plan(zoo_copy), workers=1)
    assert ray == [(3, 1)]


def test_a_sampler_for_several_trainables_warns_of_nothing():
    """Warnings are errors here; a user would read one of Optuna's about an interface that may change."""
    study = STUDIES["digits-predictor"]
    assert len(study.trainables) > 1
    assert new_sampler(study, seed=0) is not None
