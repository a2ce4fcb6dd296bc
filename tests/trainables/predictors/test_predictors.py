"""Predictors against closed forms, scikit-learn and a zoo; every registry entry by the same tests."""

import dataclasses

import numpy as np
import pytest

from trainables.predictors.config import BoostingConfig, RidgeConfig
from trainables.predictors.entries import PREDICTORS
from trainables.predictors.predictor import validate
from trainables.predictors.statistics_predictor import StatisticsPredictor
from trainables.readouts.columns import strata_of, target_of
from trainables.trainable import FitData
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture

SETTINGS = {"statistics-ridge": {}, "statistics-boosting": {"iterations": 20, "leaf_members": 5}}


def population_of(architecture, members, seed):
    """Networks of which a column follows from the weights: the spread of the first layer, with some noise."""
    specs = [Member(id=i, seed=seed + i, init_scale=0.5 + (i * 7 % 10) / 5) for i in range(members)]
    weights_MP = initial_weights(architecture, specs)
    spread_M = weights_MP[:, architecture.layout[0].span].std(dim=1).numpy()
    noise_M = np.random.default_rng(seed).normal(size=members)
    columns = {
        "spread": spread_M.astype(np.float64) + 0.01 * noise_M,
        "size": np.where(spread_M > np.median(spread_M), "large", "small"),
        "third": np.array(["a", "b", "c"])[np.argsort(np.argsort(spread_M)) * 3 // members],
        "same": np.ones(members),
        "gappy": np.where(np.arange(members) % 5, spread_M, np.nan),
    }
    return dataclasses.replace(single_architecture(architecture, weights_MP, specs), columns=columns)


def data_of(*architectures, members=120):
    return FitData(
        training=tuple(population_of(architecture, members, 0) for architecture in architectures),
        validation=tuple(population_of(architecture, members // 2, 5000) for architecture in architectures),
        dataset=load_dataset("digits"),
    )


ZOOS = {
    "mlp": lambda: data_of(mlp((1, 8, 8), (6,), 10)),
    "cnn": lambda: data_of(cnn((1, 8, 8), (4, 5), 10)),
    "mixed layouts": lambda: data_of(mlp((1, 8, 8), (6,), 10), mlp((1, 8, 8), (9, 5), 10), cnn((1, 8, 8), (3,), 10)),
    "without bias": lambda: data_of(mlp((1, 8, 8), (6,), 10, bias=False)),
}


@pytest.fixture(scope="module", params=ZOOS)
def data(request):
    return ZOOS[request.param]()


def configured(name, target):
    return PREDICTORS[name].config(target=target, **SETTINGS[name])


@pytest.mark.parametrize("name", PREDICTORS)
@pytest.mark.parametrize("target", ["spread", "gappy", "size", "third", "activation_like"])
def test_predicts_what_follows_from_the_weights_and_comes_back_from_files(data, name, target):
    if target == "activation_like":
        with pytest.raises(ValueError, match="nothing is known of these networks under 'activation_like'"):
            StatisticsPredictor.fit(configured(name, target), data)
        return
    predictor = StatisticsPredictor.fit(configured(name, target), data)
    found = validate(predictor, data)
    assert set(found) <= {metric.name for metric in PREDICTORS[name].metrics}
    chance = {"size": 0.5, "third": 1 / 3}
    if target in chance:
        assert set(found) == {"accuracy"}
        assert found["accuracy"] > chance[target] + 0.25
    else:
        assert set(found) == {"r2", "kendall_tau", "kendall_tau_share", "mean_absolute_error"}
        assert found["r2"] > 0.7
    again = StatisticsPredictor.from_files(predictor.to_files())
    assert again.to_files() == predictor.to_files()
    for population in data.validation:
        assert np.array_equal(again.predict(population), predictor.predict(population))
        part = population.select(range(3, 9))
        alone, together = again.predict(part), predictor.predict(population)[3:9]
        if target in chance:
            assert np.array_equal(alone, together)
        else:
            np.testing.assert_allclose(alone, together, rtol=1e-9)


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_target_without_spread_is_refused(data, name):
    with pytest.raises(ValueError, match="target 'same' takes 1 values among"):
        StatisticsPredictor.fit(configured(name, "same"), data)


@pytest.mark.parametrize("name", PREDICTORS)
@pytest.mark.parametrize("left", [0, 5])
def test_a_target_that_is_known_of_no_validation_network_judges_nothing(name, left):
    data = data_of(mlp((1, 8, 8), (6,), 10), members=40)
    predictor = StatisticsPredictor.fit(configured(name, "gappy"), data)
    some = data.validation[0].select(range(left))
    unknown = dataclasses.replace(some, columns={**some.columns, "gappy": np.full(left, np.nan)})
    with pytest.raises(ValueError, match=f"target 'gappy' is known of none of the {left} validation networks"):
        validate(predictor, dataclasses.replace(data, validation=(unknown,)))


def test_members_of_one_stratum_differ_in_seeds_alone():
    specs = [Member(id=i, seed=i, order_seed=i, learning_rate=0.1 * (1 + i % 2)) for i in range(6)]
    population = dataclasses.replace(population_of(mlp((1, 8, 8), (6,), 10), 6, 0), members=tuple(specs))
    first = strata_of(dataclasses.replace(population, epochs=(3,) * 6))
    assert [len(set(first[rows])) for rows in ([0, 2, 4], [1, 3, 5], range(6))] == [1, 1, 2]
    later = strata_of(dataclasses.replace(population, epochs=(4,) * 6))
    other = strata_of(dataclasses.replace(population_of(mlp((1, 8, 8), (7,), 10), 6, 0), epochs=(3,) * 6))
    assert not set(first) & (set(later) | set(other))


def test_targets_are_columns_fields_and_epochs(small_zoo):
    population = small_zoo.population("test")
    assert target_of(population, "test_accuracy").dtype == np.float64
    assert target_of(population, "epoch").dtype == np.float64
    assert set(target_of(population, "optimizer")) <= {"adam", "sgd", "adamw", "momentum", "rmsprop"}


@pytest.mark.parametrize(
    ("config", "changes", "said"),
    [
        (RidgeConfig, {"statistics": "some"}, "statistics is 'some'; allowed: all, moments, quantiles"),
        (RidgeConfig, {"penalty": -1.0}, "penalty"),
        (BoostingConfig, {"learning_rate": 2.0}, "learning_rate"),
        (BoostingConfig, {"target": ""}, "target"),
    ],
)
def test_wrong_configurations_say_what_is_allowed(config, changes, said):
    with pytest.raises(ValueError, match=said):
        config(**changes)
