"""Held-out trainings: rows of learned gradients and of the rules they are compared with, and their page."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.analyze import analyze
from analysis.held_out_tasks import aggregation
from analysis.held_out_tasks.aggregation import TEST_SEED
from analysis.held_out_tasks.scenarios import MAIN, Scenario
from analysis.plan import plan_analysis
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from cluster.verbs.analyze import Report
from trainables.aggregators.corruption import Corruption, corrupted_sets
from trainables.aggregators.metrics import GAINS
from trainables.aggregators.rules import RULES
from trainables.aggregators.training import accuracies
from trainables.fit_data import fit_data
from trainables.registry import find_trainable
from trainables.study_files import StudyFolder, StudyRecord
from trainables.trainable import run
from zoo.config import to_json
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.store import Store

RATES = {"sgd": (0.1, 0.3), "adam": (1e-2,)}
SCENARIOS = (MAIN, Scenario(name="wide", hidden=(20,), longer=2), Scenario(name="own width", hidden=(16,)))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    recipe = replace(RECIPES["digits-mlp-seeds"], members=160, epochs=1, snapshot_epochs=(0, 1))
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("aggregators")))


@pytest.fixture(scope="module")
def study(zoo):
    """One trial with two seeds."""
    entry, rows = find_trainable("learned-gradient"), []
    folder, data = StudyFolder(zoo.store, "learned-gradient-0123abcd"), fit_data(zoo)
    for seed in range(2):
        config = entry.configuration(
            {"steps": 4, "epochs": 1, "horizon": 12, "unroll": 3, "task_batch": 3, "set_size": 64, "seed": seed}
        )
        fit = run(entry.fit(config, data))
        folder.write_artifact(entry, config, fit.artifact(), 0, seed)
        if not seed:
            rows.append({"trial": 0, "state": "complete", **to_json(config), **fit.validate()})
    facts = {"trainables": [entry.name], "spaces": [], "objectives": ["aggregated_accuracy"], "limits": {}}
    folder.export(facts, ("max",), zoo, rows)
    return StudyRecord.open(zoo.store, "learned-gradient-0123abcd")


@pytest.fixture(scope="module")
def analysis(zoo, study):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregation, "LEARNING_RATES", RATES)
        patch.setattr(aggregation, "SCENARIOS", SCENARIOS)
        yield analyze(zoo, study, members=3, bootstrap=Bootstrap(replicates=50))


def test_every_rule_has_a_row_for_each_training_and_optimizer(analysis):
    main, wide = {"20 % wrong labels, sgd", "20 % wrong labels, adam"}, {"wide, sgd", "wide, adam"}
    for name in (*RULES, "learned-gradient"):
        trainings = main if name in RULES and name not in GAINS else main | wide
        own = [result for result in analysis.results if result.name == name]
        assert {", ".join(result.setting.split(", ")[:2]) for result in own} == trainings, "the zoo's own is not twice"
        assert all((result.fits, result.members) == (2 if name not in RULES else 1, 3) for result in own)


def test_a_row_is_the_accuracy_on_test_examples_at_the_rate_that_validation_chose(analysis, zoo):
    row = next(r for r in analysis.results if (r.name, r.setting) == ("trimmed mean", "20 % wrong labels, sgd"))
    plan, dataset = analysis_plan(zoo), zoo.dataset()
    sets = corrupted_sets(
        dataset.train, 10, [Corruption(label_noise=0.2)] * 3, 64, torch.Generator().manual_seed(TEST_SEED)
    )
    rate = row.value("tuned_rate")
    assert rate in RATES["sgd"]
    (expected_T,) = accuracies(
        RULES["trimmed mean"], plan.architecture, dataset.task, plan.members, sets, dataset.test,
        rates=[rate], optimizer="sgd", batch=32, steps=12, seed=TEST_SEED,
    )  # fmt: skip
    assert row.values["aggregated_accuracy"] == pytest.approx(expected_T.tolist())


def analysis_plan(zoo):
    return plan_analysis(zoo, StudyRecord.open(zoo.store, "learned-gradient-0123abcd"), members=3)


def test_gains_are_paired_differences(analysis):
    found = {(r.name, ", ".join(r.setting.split(", ")[:2])): r for r in analysis.results}
    for (name, place), result in found.items():
        assert "gain_over_mean_pp" not in result.metrics if name == "mean" else "gain_over_mean_pp" in result.metrics
        if name == "learned-gradient":
            own, mean = (np.array(r.values["aggregated_accuracy"]) for r in (result, found["mean", place]))
            assert result.value("gain_over_mean_pp") == pytest.approx(100 * (own - mean).mean(), abs=1e-4)
            low, high = result.metrics["gain_over_mean_pp"].ends
            assert low <= result.value("gain_over_mean_pp") <= high


def test_members_are_those_of_splits_that_no_fit_has_seen(zoo):
    plan, training = analysis_plan(zoo), {member.id for member in fit_data(zoo).training[0].members}
    assert not training & {member.id for member in (*plan.members, *plan.validation)}
    assert not {member.id for member in plan.members} & {member.id for member in plan.validation}


def test_what_it_has_learned_is_told_by_label(analysis):
    weights = analysis.summary["weights"]
    assert len(weights["by_step"]) == aggregation.STRETCHES
    counted = {
        label: sum(bin_["examples"] for bin_ in weights["by_loss"] if bin_["label"] == label)
        for label in ("right", "wrong")
    }
    assert 0 < counted["wrong"] < counted["right"]
    for told in weights["by_step"]:
        assert told["right"][1] <= told["right"][0] <= told["right"][2]


def test_the_page_and_the_verb_tell_every_rule_and_training(analysis):
    page = render(analysis)
    for name in (*RULES, "wide", "gains-adam", "weights-by-loss"):
        assert name in page
    found = analysis.to_json()
    report = Report(
        identity="", report="r", tables="t", zoo="z", studies=("s",), seconds=1.0, summary=found["summary"],
        headlines=(), predictors=tuple(result.row() for result in analysis.results), rows=1, new=True,
    )  # fmt: skip
    assert "learned-gradient, trial 0" in report.text
    assert "wide, adam" in report.text


def test_what_cannot_be_judged_is_told(zoo, study):
    with pytest.raises(ValueError, match="members is 1; aggregators are judged by 2 networks or more"):
        plan_analysis(zoo, study, members=1)
    with pytest.raises(ValueError, match="unknown data set 'numbers'"):
        plan_analysis(zoo, study, inputs=["numbers"])
    named = [scenario.name for scenario in plan_analysis(zoo, study, inputs=["digits"]).scenarios]
    assert named[-1] == "digits: MLP of 16 units"
