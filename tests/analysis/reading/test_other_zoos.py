"""Readouts of one zoo's networks measured on another's, and on other layouts: against readouts fitted by hand."""

import dataclasses

import numpy as np
import pytest
from encoder_study import write_encoders

from analysis.analyze import analyze
from analysis.plan import plan_analysis
from analysis.reading.calibration import DRAWS, LABELLED
from analysis.reading.held_out import PREDICTED, TRUE
from analysis.reading.zoo_matrix import ZooMatrix
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from trainables.readouts.columns import targets_of
from trainables.readouts.readout import Readouts
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.errors import ZooError
from zoo.storage.store import Store
from zoo.views import without_dead_inputs

STATISTICS, WEIGHTS = "weight-statistics", "weights"
FEW = Bootstrap(replicates=20)


@pytest.fixture(scope="module")
def mixed_zoo(tmp_path_factory):
    """96 networks of several depths and widths; their numbers are those of other networks in ``small_zoo``."""
    recipe = dataclasses.replace(RECIPES["digits-mlp-mixed"], members=96, epochs=3, snapshot_epochs=(0, 1, 2, 3))
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("mixed")))


@pytest.fixture(scope="module")
def study(tmp_path_factory, small_zoo):
    return write_encoders(Store(tmp_path_factory.mktemp("encoders")), small_zoo, {STATISTICS: 1, WEIGHTS: 1})


@pytest.fixture(scope="module")
def analysis(small_zoo, study, mixed_zoo):
    return analyze(small_zoo, study, on=[mixed_zoo], bootstrap=FEW)


@pytest.fixture(scope="module")
def of_layouts(tmp_path_factory, mixed_zoo):
    study = write_encoders(Store(tmp_path_factory.mktemp("layouts")), mixed_zoo, {STATISTICS: 1})
    return analyze(mixed_zoo, study, bootstrap=FEW)


def rows_of(analysis, name, target="test_accuracy", snapshots="last snapshots", **asked):
    asked |= {"target": target, "snapshots": snapshots}
    return [r for r in analysis.results if r.name == name and asked.items() <= dataclasses.asdict(r.question).items()]


def by_hand(encoder, fitted, tested, target):
    def parts(zoo, split):
        train = zoo.dataset().train
        populations = [without_dead_inputs(each, train) for each in zoo.populations(split, epochs="last")]
        features = np.concatenate([encoder.embed(each).astype(np.float32).astype(np.float64) for each in populations])
        return features, targets_of(populations, target)

    (training, y), (validation, z), (test, true) = (
        parts(*which) for which in ((fitted, "train"), (fitted, "validation"), (tested, "test"))
    )
    return true, Readouts(training, validation).fit(target, y, z).predict(test)


@pytest.mark.parametrize("target", ["test_accuracy", "generalization_gap"])
def test_a_readout_of_one_zoo_is_measured_on_all_test_members_of_another(analysis, small_zoo, study, mixed_zoo, target):
    (row,) = rows_of(analysis, STATISTICS, target, told_of=mixed_zoo.name, labelled=0)
    true_M, predicted_M = by_hand(study.artifact(0, 0), small_zoo, mixed_zoo, target)
    assert row.values[TRUE] == pytest.approx(true_M)
    assert row.values[PREDICTED] == pytest.approx(predicted_M)
    assert row.members == len(mixed_zoo.rows("test", epochs="last"))
    assert row.question.fitted_on == small_zoo.name


def test_what_an_encoder_refuses_is_said_and_the_rest_is_measured(analysis, mixed_zoo):
    refused = rows_of(analysis, WEIGHTS, told_of=mixed_zoo.name)
    assert [row.question.labelled for row in refused] == list(LABELLED)
    assert all(row.refusal.startswith("cannot embed: this encoder was fitted to networks of 1,210") for row in refused)
    assert all(row.metrics == {} for row in refused)
    assert all(row.metrics for row in rows_of(analysis, "hyper-parameters", told_of=mixed_zoo.name))
    assert "cannot embed" in render(analysis)


def test_labelled_networks_of_the_other_zoo_bring_its_scale(analysis, mixed_zoo):
    found = {row.question.labelled: row for row in rows_of(analysis, "training mean", told_of=mixed_zoo.name)}
    assert set(found) == set(LABELLED)
    assert found[0].fits == 1
    assert found[50].fits == DRAWS
    assert found[50].value("mean_absolute_error") < found[0].value("mean_absolute_error")


def test_the_table_of_results_says_what_was_asked(analysis, mixed_zoo):
    row = rows_of(analysis, STATISTICS, told_of=mixed_zoo.name, labelled=10)[0].row()
    assert (row["target"], row["snapshots"], row["labelled"]) == ("test_accuracy", "last snapshots", 10)


def test_columns_that_the_other_zoo_does_not_tell_are_named(small_zoo, study, mixed_zoo):
    plan = plan_analysis(small_zoo, study, on=[mixed_zoo])
    told = {question.target for held_out, question in plan.questions if held_out.tested.zoo is mixed_zoo}
    constant = set(plan.targets) - told - {"epoch"}
    assert constant, "a column in which the first zoo differs alone"
    for name in constant:
        assert any(why.startswith(f"{name} of {mixed_zoo.name}: it is ") for why in plan.not_told)


def test_zoos_are_named_once_and_for_encoders(small_zoo, study, mixed_zoo):
    with pytest.raises(ValueError, match="is named 2 times"):
        plan_analysis(small_zoo, study, on=[mixed_zoo, mixed_zoo])
    with pytest.raises(ValueError, match="is named 2 times"):
        plan_analysis(small_zoo, study, on=[small_zoo])
    with pytest.raises(
        ValueError, match=r"analysis of codecs does not take on \(for encoders\); allowed: study, codecs"
    ):
        plan_analysis(small_zoo, on=[mixed_zoo])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codecs": ["uniform"]}, r"analysis of encoders does not take codecs \(for codecs\)"),
        (
            {"layout": 0, "examples": 9},
            r"does not take layout \(for codecs\) and examples \(for codecs, groups of networks\);"
            " allowed: study, members, on, studies_on, boosting, untrained",
        ),
        ({"evaluators": ["layers"]}, r"does not take evaluators \(for codecs, groups of networks, generators\)"),
        ({"cells": [1]}, r"does not take cells \(for codecs\)"),
        ({"by": ["optimizer"]}, r"analysis of groups of networks does not take study \("),
    ],
)
def test_options_that_would_mean_nothing_are_refused(small_zoo, study, options, message):
    with pytest.raises(ValueError, match=message):
        plan_analysis(small_zoo, study, **options)


def test_one_group_of_layouts_is_told_by_each_and_by_all_others(of_layouts, mixed_zoo):
    rows = rows_of(of_layouts, STATISTICS, labelled=0)
    pairs = {(row.question.fitted_on, row.question.told_of) for row in rows} - {(mixed_zoo.name, mixed_zoo.name)}
    groups = sorted({told_of for _, told_of in pairs})
    assert len(groups) > 1
    assert {(a, b) for a in groups for b in groups} <= pairs
    if len(groups) > 2:
        assert {(f"all but {b}", b) for b in groups} <= pairs
    depth = {name: int(name.split()[0]) for name in groups}
    test = list(mixed_zoo.populations("test", epochs="last"))
    for row in rows:
        if row.question.told_of in depth:
            layers = depth[row.question.told_of]
            own = [part for part in test if sum(len(s.shape) > 1 for s in part.architecture.layout) == layers]
            accuracies = targets_of(own, "test_accuracy")
            assert sorted(row.values[TRUE]) == pytest.approx(sorted(accuracies))
    assert "Other layouts" in render(of_layouts)


def test_later_epochs_are_told_by_earlier_ones(of_layouts, mixed_zoo):
    (row,) = rows_of(of_layouts, STATISTICS, snapshots="later epochs")
    assert row.members == len(mixed_zoo.rows("test", epochs=(2, 3)))


def test_each_zoo_is_a_source_in_turn(small_zoo, study, mixed_zoo, tmp_path):
    other = write_encoders(Store(tmp_path), mixed_zoo, {STATISTICS: 1})
    analysis = analyze(small_zoo, study, on=[mixed_zoo], studies_on=[[other]], boosting=True, bootstrap=FEW)
    zoos = (small_zoo.name, mixed_zoo.name)
    matrix = ZooMatrix.of(analysis.results, zoos, "test_accuracy")
    assert set(matrix.cells) == {
        STATISTICS,
        f"{STATISTICS}, boosting",
        "validation examples",
        "training mean",
        "hyper-parameters",
    }, "weights have one source"
    (back,) = rows_of(
        analysis, STATISTICS, readout="linear", fitted_on=mixed_zoo.name, told_of=small_zoo.name, labelled=0
    )
    predicted_M = by_hand(other.artifact(0, 0), mixed_zoo, small_zoo, "test_accuracy")[1]
    assert back.values[PREDICTED] == pytest.approx(predicted_M)
    assert matrix.table(STATISTICS)[1, 0] == back.value("kendall_tau")
    page = render(analysis)
    assert "Best encoder on average" in page
    assert 'data-figure="zoos-test-accuracy-0"' in page
    with pytest.raises(ZooError, match=r"not of .*: analyze it with --zoo"):
        plan_analysis(small_zoo, study, on=[mixed_zoo], studies_on=[[study]])


def test_another_zoo_that_holds_networks_of_the_first_is_refused(small_zoo, study, tmp_path):
    again = generate_zoo(dataclasses.replace(small_zoo.recipe, held_out=80), Store(tmp_path))
    found = analyze(small_zoo, study, on=[again], bootstrap=FEW)
    fitted_to = {*small_zoo.rows("train", epochs="last"), *small_zoo.rows("validation", epochs="last")}
    tested = again.rows("test", epochs="last")
    assert small_zoo.name != again.name
    assert fitted_to & set(tested)
    said = f"{len(fitted_to & set(tested))} of the {len(tested)} test networks of {again.name} are training or valid"
    rows = rows_of(found, STATISTICS, told_of=again.name) + rows_of(found, "hyper-parameters", told_of=again.name)
    assert rows
    for row in rows:
        assert row.refusal.startswith(said)
        assert "--seed" in row.refusal
    assert all(row.metrics for row in rows_of(found, STATISTICS, told_of=small_zoo.name))


def test_members_of_two_zoos_may_have_the_same_numbers(analysis, small_zoo, mixed_zoo):
    ids = [set(zoo.snapshots["member"].to_pylist()) for zoo in (small_zoo, mixed_zoo)]
    assert ids[0] < ids[1]
    told = rows_of(analysis, STATISTICS, told_of=mixed_zoo.name)
    assert {row.question.labelled for row in told} == set(LABELLED)
    assert all(row.metrics for row in told), "other networks of the same numbers"
