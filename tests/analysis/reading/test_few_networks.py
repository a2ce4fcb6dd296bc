"""What is said of too few test networks; which rows are told apart, and which networks of two zoos are twins."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from encoder_study import write_encoders
from example_predictors import write_predictors

from analysis.analyze import analyze
from analysis.plan import plan_analysis
from analysis.reading.members import rows_told_apart
from analysis.statistics.groups import groups_with_twins, words
from zoo.generation.build import generate_zoo
from zoo.storage.errors import ZooError
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def numbers_zoo(small_recipe, tmp_path_factory):
    """Networks that differ in numbers alone, with one snapshot each."""
    names = ("optimizer", "activation", "initialization", "learning_rate")
    axes = {name: axis for name, axis in small_recipe.axes.items() if name not in names}
    recipe = dataclasses.replace(small_recipe, name="numbers", axes=axes, snapshot_epochs=(small_recipe.epochs,))
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("numbers")))


def test_of_one_test_network_no_number_is_told(numbers_zoo, tmp_path):
    study = write_encoders(Store(tmp_path), numbers_zoo, {"weight-statistics": 1})
    with pytest.raises(
        ZooError, match=r"nothing can be told: test_accuracy of numbers-\w+: it is .* Measure more test"
    ):
        plan_analysis(numbers_zoo, study, members=1)
    assert plan_analysis(numbers_zoo, study, members=2).questions


def test_of_one_test_network_no_number_is_predicted(small_zoo, tmp_path):
    study = write_predictors(Store(tmp_path), small_zoo, "test_accuracy", "accuracies-0123abcd")
    with pytest.raises(
        ZooError, match=r"not every target can be predicted: test_accuracy of small-\w+: it is .* Measure more"
    ):
        plan_analysis(small_zoo, study, members=1)


def test_where_categories_alone_are_told_of_one_network_there_is_no_interval(small_zoo, tmp_path):
    study = write_encoders(Store(tmp_path), small_zoo, {"weight-statistics": 1})
    analysis = analyze(small_zoo, study, members=1)
    last = [r for r in analysis.results if r.question.snapshots == "last snapshots"]
    assert {r.question.target for r in last} == {"optimizer", "activation", "initialization"}
    assert all(r.metrics["accuracy"].low is None for r in last)
    assert "no intervals" in words(0, 0, 0, grouped=True)


def test_a_choice_that_is_not_known_tells_no_rows_apart(small_zoo):
    population = small_zoo.population("test")
    unknown = np.full(len(population), np.nan)
    half = np.where(np.arange(len(population)) % 2, 0.25, np.nan)
    two = np.where(np.arange(len(population)) % 3, half, 0.5)
    columns = population.columns | {"dropout": unknown, "init_scale": half, "weight_decay": two}
    table = rows_told_apart(dataclasses.replace(population, columns=columns))
    assert not {"dropout", "init_scale", "batch_size"} & set(table.columns)
    assert table["weight_decay"].isna().any()
    assert {"member", "epoch", "order_seed", "weight_norm", "optimizer", "activation"} <= set(table.columns)
    own = rows_told_apart(population)
    pd.testing.assert_frame_equal(own[["member", "epoch"]], table[["member", "epoch"]])
    assert "test_accuracy" not in own


def test_twins_are_single_networks_of_two_zoos():
    """Zoos of 4, 3 and 2 networks: what was trained as "b" and as "d" are twins, what as "?" is not known."""
    group_M = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])
    zoo_M = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    trained_M = np.array(["a", "b", "?", "?", "b", "?", "d", "d", "?"])
    found = groups_with_twins(group_M, zoo_M, trained_M).tolist()
    assert found == [0, 0, 1, 2, 0, 3, 4, 4, 5]
