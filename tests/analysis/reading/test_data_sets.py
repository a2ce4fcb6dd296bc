"""The data set as a column: networks of several zoos, told apart by readouts that were fitted to all of them."""

import dataclasses

import numpy as np
import pytest
from encoder_study import write_encoders

from analysis.analyze import analyze
from analysis.plan import plan_analysis
from analysis.reading.members import ZooMembers
from analysis.reading.probing import Embedded
from analysis.reading.scopes import DATASET, TOGETHER, scopes_of
from analysis.report.page import render
from analysis.statistics.groups import chosen_members
from analysis.statistics.intervals import Bootstrap
from cluster.verbs.analyze import write_report
from trainables.readouts.readout import Readouts
from zoo.generation.build import generate_zoo
from zoo.storage.store import Store
from zoo.views import without_dead_inputs

STATISTICS, WEIGHTS = "weight-statistics", "weights"
FEW = Bootstrap(replicates=20)
NEGATIVES = "own_tasks:negatives"


@pytest.fixture(scope="module")
def digits(small_recipe, tmp_path_factory):
    """Other networks of the same data set as those of ``small_zoo``, under the same numbers."""
    return generate_zoo(dataclasses.replace(small_recipe, seed=1), Store(tmp_path_factory.mktemp("digits")))


@pytest.fixture(scope="module")
def negatives(small_recipe, tmp_path_factory):
    """Trained as those of ``small_zoo`` from the same weights, under the same numbers, on another data set."""
    recipe = dataclasses.replace(small_recipe, name="negatives", dataset=NEGATIVES)
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("negatives")))


@pytest.fixture(scope="module")
def study(tmp_path_factory, small_zoo):
    return write_encoders(Store(tmp_path_factory.mktemp("encoders")), small_zoo, {STATISTICS: 1, WEIGHTS: 1})


@pytest.fixture(scope="module")
def analysis(small_zoo, study, digits, negatives):
    return analyze(small_zoo, study, on=[digits, negatives], bootstrap=FEW)


def members_of(zoo):
    return ZooMembers(zoo=zoo, members=chosen_members(zoo, None))


def joined_of(zoo, *others):
    """The scope of all zoos together, or ``None``."""
    scopes = scopes_of(members_of(zoo), [members_of(other) for other in others], FEW)
    found = [scope for scope in scopes if scope.fitted.joined]
    assert len(found) < 2
    return found[0] if found else None


def told(analysis, name):
    (row,) = [r for r in analysis.results if (r.name, r.question.target) == (name, DATASET)]
    assert row.question.fitted_on == row.question.told_of == TOGETHER
    return row


@pytest.mark.parametrize(("number", "name"), [(0, STATISTICS), (1, WEIGHTS)])
def test_data_sets_are_told_by_a_readout_of_all_zoos_networks(
    analysis, small_zoo, study, digits, negatives, number, name
):
    encoder, train = study.artifact(number, 0), small_zoo.dataset().train
    zoos = (small_zoo, digits, negatives)

    def parts(split):
        networks = [without_dead_inputs(zoo.population(split, epochs="last"), train) for zoo in zoos]
        names = np.repeat([zoo.recipe.dataset for zoo in zoos], [len(each) for each in networks])
        return np.concatenate([encoder.embed(each).astype(np.float32).astype(np.float64) for each in networks]), names

    (training, y), (validation, z), (test, true) = (parts(split) for split in ("train", "validation", "test"))
    predicted = Readouts(training, validation).fit(DATASET, y, z).predict(test)
    row = told(analysis, name)
    alone = len(digits.rows("test", epochs="last"))
    assert row.members == len(true)
    assert row.groups == (alone + (len(true) - alone) // 2) // 2, "two members share an order, two zoos all orders"
    assert row.value("accuracy") == pytest.approx(np.mean(predicted == true))


def test_baselines_are_the_largest_data_set_and_hyperparameters(analysis):
    joined = analysis.summary["together"]
    assert [zoo["dataset"] for zoo in joined] == ["digits", "digits", NEGATIVES]
    share = sum(zoo["test"] for zoo in joined[:2]) / sum(zoo["test"] for zoo in joined)
    assert told(analysis, "training mean").value("accuracy") == pytest.approx(share)
    assert told(analysis, "hyper-parameters").metrics


class Looking:
    """An encoder that tells nothing but which inputs it has, and would tell data sets by them."""

    def embed(self, population):
        return np.zeros((len(population), 1), np.float32)

    def to_files(self):
        return {}

    def on_inputs_of(self, dataset, networks):
        raise AssertionError(f"it was given the inputs of {dataset.name}")


def test_an_encoder_is_not_given_the_inputs_of_each_networks_data_set(small_zoo, study, negatives):
    scope = joined_of(small_zoo, negatives)
    (_, question), *_ = [
        asked for asked in plan_analysis(small_zoo, study, on=[negatives]).questions if asked[1].target == DATASET
    ]
    embedded = Embedded(Looking(), scope.fitted.of)
    predicted = embedded.predict(scope, dataclasses.replace(question, readout="linear"), scope.test)
    assert len(predicted) == len(scope.test)
    assert len(set(predicted)) == 1, "nothing is told by what encoders are given"
    with pytest.raises(AssertionError, match="inputs of negatives"):
        embedded.of(members_of(negatives), scope.test)


def test_weights_are_not_zero_by_the_data_set_of_each_network(small_zoo, negatives):
    scope = joined_of(small_zoo, negatives)
    dead = (small_zoo.dataset().train.values == 0).all(0).flatten().numpy()
    assert dead.any()
    for each in (*scope.training.populations, *scope.test.populations):
        (first, *_) = each.architecture.tensors(each.weights_MP).values()
        assert ((first == 0).all(dim=(0, 1)).numpy() == dead).all()
    (alone,) = members_of(negatives).test.populations
    (first, *_) = alone.architecture.tensors(alone.weights_MP).values()
    assert not (first == 0).all(dim=(0, 1)).any(), "by the negatives themselves none is zero"


def test_networks_of_two_zoos_are_one_group_only_where_they_were_trained_alike(small_zoo, digits, negatives):
    scope, zoos = joined_of(small_zoo, digits, negatives), (small_zoo, digits, negatives)
    tests = [members_of(zoo).choose("test", "last") for zoo in zoos]
    ids, orders = ([set(each.column(name).tolist()) for each in tests] for name in ("id", "order_seed"))
    assert ids[0] & ids[2]
    assert orders[0] == orders[2], "the same numbers in two zoos"
    of_zoo = np.repeat(np.arange(3), [len(each) for each in tests])
    groups = [
        dict(zip(each.column("id"), scope.groups[of_zoo == number], strict=True)) for number, each in enumerate(tests)
    ]
    assert groups[0] == groups[2], "trained alike, from the same seeds"
    assert not set(groups[0].values()) & set(groups[1].values())
    assert len(set(scope.groups.tolist())) == len(orders[0]) + len(orders[1])
    assert scope.test.target(DATASET).tolist() == [zoos[number].recipe.dataset for number in of_zoo]


def test_zoos_of_one_data_set_are_not_told_apart(small_zoo, study, digits):
    assert joined_of(small_zoo, digits) is None
    found = analyze(small_zoo, study, on=[digits], bootstrap=FEW, members=8)
    assert DATASET not in found.summary["targets"]
    assert "There is no section “data sets”: no zoo of another data set" in render(found)


def test_a_zoo_without_validation_networks_is_told_of_but_not_joined(small_recipe, small_zoo, negatives, tmp_path):
    recipe = dataclasses.replace(small_recipe, name="few", dataset=NEGATIVES, members=12, held_out=95)
    few = generate_zoo(recipe, Store(tmp_path))
    splits = set(few.snapshots["split"].to_pylist())
    assert "test" in splits
    assert "train" not in splits or "validation" not in splits
    assert joined_of(small_zoo, few) is None
    assert [each.zoo.name for each in joined_of(small_zoo, few, negatives).fitted.every] == [
        small_zoo.name,
        negatives.name,
    ]


def test_networks_that_another_of_the_zoos_was_fitted_with_are_refused(small_zoo, study, negatives, tmp_path):
    again = generate_zoo(dataclasses.replace(small_zoo.recipe, held_out=80), Store(tmp_path))
    found = analyze(small_zoo, study, on=[again, negatives], bootstrap=FEW)
    for name in (STATISTICS, "hyper-parameters"):
        assert "are training or validation networks of another of these zoos too" in told(found, name).refusal


def test_encoders_of_one_layout_refuse_and_others_are_measured(small_recipe, small_zoo, study, tmp_path):
    axes = {**small_recipe.axes, "hidden": (12,)}
    narrow = generate_zoo(
        dataclasses.replace(small_recipe, name="narrow", dataset=NEGATIVES, axes=axes), Store(tmp_path)
    )
    found = analyze(small_zoo, study, on=[narrow], bootstrap=FEW)
    assert told(found, WEIGHTS).refusal.startswith("cannot embed: this encoder was fitted to networks of 1,210")
    assert told(found, STATISTICS).metrics
    assert told(found, "hyper-parameters").value("accuracy") == 1, "by their size"


def test_page_and_terminal_say_it_apart_from_the_zoos_own_columns(
    analysis, small_zoo, study, digits, negatives, tmp_path
):
    page = render(analysis)
    assert "Which data set a network was trained on" in page
    assert "Other layouts" not in page.replace("no section “other layouts”", "")
    assert all(DATASET not in means["columns"] for means in analysis.summary["means"])
    assert DATASET not in analysis.maps.columns
    text = write_report(small_zoo, [study], Store(tmp_path), {"on": [digits, negatives]}).text
    lines = text.splitlines()
    start = lines.index(f"last snapshots, {TOGETHER}")
    assert lines[start + 2].startswith("dataset (accuracy) ")
    assert text.count("dataset (accuracy)") == 1
