"""Predictors of a real study on test members, beside baselines; the report about them; a statistic's intervals."""

import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest
from example_predictors import write_predictors
from scipy.stats import pearsonr

from analysis.analyze import analyze
from analysis.plan import plan_analysis
from analysis.reading import prediction
from analysis.reading.members import Members
from analysis.reading.prediction import CONSTANT, HYPERPARAMETERS, MEASURED, from_hyperparameters
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from analysis.tables import write_tables
from search_spaces.studies import find_study
from trainables.fit_data import fit_data
from trainables.readouts.columns import target_of
from trainables.readouts.scores import scores
from trainables.registry import find_trainable
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("predictors"))


@pytest.fixture(scope="module")
def study(store, small_zoo):
    return write_predictors(store, small_zoo, "test_accuracy", "accuracies-0123abcd")


@pytest.fixture(scope="module")
def analysis(small_zoo, study):
    return analyze(small_zoo, study, members=None, bootstrap=Bootstrap(replicates=30))


def test_each_predictor_and_the_baselines_are_measured_on_test_members(analysis, small_zoo, study):
    assert sorted((r.name, r.family, r.trial) for r in analysis.results[:2]) == [
        ("statistics-boosting", "learned", 0),
        ("statistics-ridge", "learned", 1),
    ]
    assert [r.name for r in analysis.results[2:]] == [CONSTANT, HYPERPARAMETERS, MEASURED]
    assert {r.family for r in analysis.results[2:]} == {"control"}
    test = small_zoo.population("test", epochs="one")
    assert analysis.results[-1].values["predicted"] == pytest.approx(test.column("validation_accuracy"))
    for result in analysis.results:
        assert result.members == len(test)
        assert result.values["true"] == pytest.approx(test.column("test_accuracy"))
        for name, value in scores(np.array(result.values["true"]), np.array(result.values["predicted"])).items():
            if result.fits == 1:
                assert result.value(name) == pytest.approx(value)
            found = result.metrics[name]
            assert found.low <= found.estimate <= found.high
            assert found.high <= 1 or name == "mean_absolute_error"
            assert found.low >= -1 or name == "r2", "few groups widen intervals, not beyond what can be"
    assert {result.fits for result in analysis.results} == {1, 2}
    assert len(plan_analysis(small_zoo, study).rows) == len(analysis.results)


def test_the_constant_explains_nothing(analysis):
    constant = next(result for result in analysis.results if result.name == CONSTANT)
    assert constant.value("r2") <= 0
    assert constant.value("kendall_tau") == 0
    assert len(set(constant.values["predicted"])) == 1


def test_the_best_predictor_is_compared_with_each_other_on_the_same_networks(analysis):
    (found,) = analysis.summary["means"]
    assert found["columns"] == ["test_accuracy"]
    by_name = {f"{r.name} {r.trial}" if r.family == "learned" else r.name: r.value("r2") for r in analysis.results}
    first = max((name for name in by_name if name not in (CONSTANT, HYPERPARAMETERS, MEASURED)), key=by_name.get)
    assert found["first"] == first
    for each in found["means"]:
        assert each["mean"] == pytest.approx(max(by_name[each["name"]], 0))
        if each["name"] != first:
            assert each["lead"] == pytest.approx(max(by_name[first], 0) - each["mean"])
            assert each["lead_low"] <= each["lead"] <= each["lead_high"]
    assert f"How far {first} is ahead" in render(analysis)


def test_predictors_and_baselines_are_fitted_to_the_same_snapshots(small_zoo, study, monkeypatch):
    seen = []

    def baseline(target, training):
        def predicted(test):
            seen.append((training, test))
            return np.zeros(len(test))

        return predicted

    monkeypatch.setitem(prediction.BASELINES, HYPERPARAMETERS, baseline)
    analyze(small_zoo, study, members=None, bootstrap=Bootstrap(replicates=2))
    ((training, test),) = seen
    fitted = fit_data(small_zoo).training
    for name in ("id", "epoch", "test_accuracy"):
        assert np.array_equal(training.column(name), np.concatenate([part.column(name) for part in fitted]))
    assert not set(training.column("id")) & set(test.column("id"))


def test_hyperparameters_never_see_weights(small_zoo):
    training, test = (
        Members(populations=(small_zoo.population(split, epochs=epochs),))
        for split, epochs in (("train", None), ("test", "one"))
    )
    zeroed = Members(populations=(test.populations[0].with_weights(0 * test.populations[0].weights_MP),))
    predict = from_hyperparameters("test_accuracy", training)
    assert np.array_equal(predict(zeroed), predict(test))
    assert set(from_hyperparameters("optimizer", training)(test)) <= set(
        target_of(training.populations[0], "optimizer")
    )


@pytest.mark.parametrize("unknown", ["of half of them", "of all"])
def test_hyperparameters_that_are_not_known_tell_nothing(small_zoo, unknown):
    population = small_zoo.population("train")
    known_M = (population.column("id") % 2 == 0) & (unknown != "of all")
    columns = {
        "learning_rate": np.where(known_M, population.column("learning_rate"), np.nan),
        "optimizer": np.where(known_M, population.column("optimizer"), ""),
    }
    training = Members(populations=(dataclasses.replace(population, columns=population.columns | columns),))
    assert np.isfinite(from_hyperparameters("test_accuracy", training)(training)).all()
    if unknown == "of half of them":
        told = from_hyperparameters("optimizer", training)(training)
        assert len(set(told)) > 1
        assert set(told) <= set(population.column("optimizer"))


def test_the_report_says_what_weights_tell(analysis, store):
    page = render(analysis)
    text = re.sub(r"\s+", " ", re.sub("<script.*?</script>|<[^>]+>", "", page, flags=re.DOTALL))
    for said in (
        "What the weights of small tell",
        "the best on validation networks, predicts test_accuracy of a held-out network with R²",
        "hyper-parameters, which never see a weight, with R²",
        "Its order of the networks has Kendall τ_b",
        "What weights tell",
        "by groups of members that share a minibatch order, or their task, and over seeds",
        "zooscale analyze --zoo",
    ):
        assert said in text
    assert 'data-figure="fidelity"' in page
    assert 'href="#trial-1"' in page
    assert len(write_tables(analysis, store, "predictors")) == 3
    frame = pd.read_parquet(io.BytesIO(store.read("tables/predictors/results.parquet")))
    assert {"name", "r2", "r2_low", "kendall_tau_share_high"} <= set(frame.columns)


def test_categories_have_no_scatter_and_the_report_says_so(small_zoo, store):
    study = write_predictors(store, small_zoo, "activation", "activations-0123abcd")
    analysis = analyze(small_zoo, study, members=None, bootstrap=Bootstrap(replicates=20))
    assert {name for result in analysis.results for name in result.metrics} == {"accuracy"}
    page = render(analysis)
    assert "There is no section “what weights tell”: its targets are categories." in page
    assert 'data-figure="fidelity"' not in page


def test_intervals_of_a_statistic_cover_its_spread():
    generator = np.random.default_rng(0)
    true_M = generator.normal(size=400)
    seen_M = true_M + generator.normal(size=400)

    def correlation(fit, rows):
        return {"r": float(pearsonr(true_M[rows], seen_M[rows]).statistic)}

    found = Bootstrap(replicates=500).of_statistics(correlation, 400)["r"]
    spread = (1 - found.estimate**2) / np.sqrt(400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.2)
    together = Bootstrap(replicates=500).of_statistics(correlation, 400, groups_M=np.arange(400) // 20)["r"]
    assert together.low < found.estimate < together.high


@pytest.mark.parametrize("name", ["digits-predictor", "category-predictor"])
def test_named_studies_of_predictors_are_whole(name):
    optuna = pytest.importorskip("optuna")
    study = find_study(name)
    for seed in range(6):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
        proposal = study.bound_space([])(trial)
        config = find_trainable(proposal.trainable).configuration(proposal.config)
        assert config.target == study.settings["target"]


def test_zoos_of_several_layouts_are_predicted_as_one(tmp_path):
    recipe = dataclasses.replace(RECIPES["digits-mlp-mixed"], members=96, epochs=2, snapshot_epochs=(0, 1, 2))
    zoo = generate_zoo(recipe, Store(tmp_path))
    assert min(len(population) for population in zoo.populations("test", epochs="one")) == 1, "a layout with one member"
    study = write_predictors(zoo.store, zoo, "test_accuracy", "mixed-0123abcd")
    analysis = analyze(zoo, study, members=None, bootstrap=Bootstrap(replicates=10))
    assert {result.members for result in analysis.results} == {len(zoo.rows("test", epochs="one"))}
    assert {result.parameters for result in analysis.results} == {0}
    assert f"{len(zoo.layouts)} layouts" in render(analysis)
