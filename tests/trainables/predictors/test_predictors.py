"""Predictors against closed forms, scikit-learn and a zoo; every registry entry by the same tests."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge as SklearnRidge

from trainables.predictors.boosting import Trees
from trainables.predictors.config import BoostingConfig, RidgeConfig
from trainables.predictors.entries import PREDICTORS
from trainables.predictors.metrics import OF_NUMBERS
from trainables.predictors.predictor import decided, strata_of, target_of, validate
from trainables.predictors.ridge import PENALTIES, Ridge
from trainables.predictors.scores import FEW, have_pairs, kendall_tau, largest_tau, r2, scores, tau_within
from trainables.predictors.statistics import NAMES, places_of, weight_statistics
from trainables.predictors.statistics_predictor import StatisticsPredictor
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


def test_statistics_are_those_of_each_tensor():
    population = population_of(mlp((1, 8, 8), (6,), 10), 3, 0)
    places = places_of([population])
    assert places == ("0.weight", "0.bias", "last.weight", "last.bias")
    features_MF = weight_statistics(population, places)
    bias_MH = population.weights_MP[:, population.architecture.layout[1].span].double()
    width = len(NAMES["all"])
    expected = torch.cat(
        [
            bias_MH.mean(1, keepdim=True),
            bias_MH.var(1, correction=0, keepdim=True),
            torch.quantile(bias_MH, torch.tensor([0.01, 0.25, 0.5, 0.75, 0.99], dtype=torch.float64), dim=1).T,
        ],
        dim=1,
    )
    np.testing.assert_allclose(features_MF[:, width : 2 * width], expected, rtol=1e-12)
    parts = [weight_statistics(population, places, which) for which in ("moments", "quantiles")]
    assert sum(part.shape[1] for part in parts) == features_MF.shape[1]


def test_statistics_do_not_see_the_order_of_units():
    population = population_of(mlp((1, 8, 8), (6,), 10), 3, 0)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    first, bias, last, _ = (spec.span for spec in population.architecture.layout)
    permuted_MP = population.weights_MP.clone()
    permuted_MP[:, first] = permuted_MP[:, first].reshape(3, 6, 64)[:, order].flatten(1)
    permuted_MP[:, bias] = permuted_MP[:, bias][:, order]
    permuted_MP[:, last] = permuted_MP[:, last].reshape(3, 10, 6)[:, :, order].flatten(1)
    places = places_of([population])
    np.testing.assert_allclose(
        weight_statistics(population.with_weights(permuted_MP), places),
        weight_statistics(population, places),
        rtol=1e-12,
        atol=1e-15,
    )


def test_layers_of_several_layouts_are_aligned_by_depth():
    shallow, deep = (population_of(mlp((1, 8, 8), hidden, 10), 4, 0) for hidden in ((6,), (9, 5)))
    places = places_of([shallow, deep])
    assert places == ("0.weight", "0.bias", "1.weight", "1.bias", "last.weight", "last.bias")
    features_MF = weight_statistics(shallow, places).reshape(4, len(places), -1)
    assert np.isnan(features_MF).all(axis=(0, 2)).tolist() == [False, False, True, True, False, False]
    assert not np.isnan(weight_statistics(deep, places)).any()


def test_ridge_is_ridge():
    generator = np.random.default_rng(0)
    features_MF, held_out_MF = generator.normal(size=(40, 7)) * 3 + 1, generator.normal(size=(20, 7))
    target_MK = features_MF[:, :2] @ generator.normal(size=(2, 3)) + generator.normal(size=(40, 3))
    ridge = Ridge.fit(features_MF, target_MK, RidgeConfig(penalty=5.0), lambda outputs: 0.0)
    standardized = (features_MF - features_MF.mean(0)) / features_MF.std(0)
    reference = SklearnRidge(alpha=5.0).fit(standardized, target_MK)
    np.testing.assert_allclose(
        ridge.outputs(held_out_MF),
        reference.predict((held_out_MF - features_MF.mean(0)) / features_MF.std(0)),
        rtol=1e-9,
    )
    tried = []
    Ridge.fit(features_MF, target_MK, RidgeConfig(), lambda outputs: tried.append(1) or float(len(tried)))
    assert len(tried) == len(PENALTIES) == 9


@pytest.mark.parametrize("classes", [0, 2, 4])
def test_trees_equal_scikit_learn(classes):
    generator = np.random.default_rng(classes)
    features_MF = generator.normal(size=(400, 6))
    features_MF[generator.random(size=features_MF.shape) < 0.1] = np.nan
    value_M = np.nan_to_num(features_MF[:, 0]) * np.nan_to_num(features_MF[:, 1], nan=2.0)
    new_MF = np.where(generator.random(size=(300, 6)) < 0.2, np.nan, generator.normal(size=(300, 6)) * 2)
    if classes:
        target_M = np.digitize(value_M, np.quantile(value_M, np.arange(1, classes) / classes))
        model = HistGradientBoostingClassifier(max_iter=15, early_stopping=False).fit(features_MF, target_M)
        outputs_MK = model.decision_function(new_MF).reshape(300, -1)
        names = tuple("abcd"[:classes])
        assert np.array_equal(decided(Trees.of(model).outputs(new_MF), names), np.array(names)[model.predict(new_MF)])
    else:
        model = HistGradientBoostingRegressor(max_iter=15, early_stopping=False).fit(features_MF, value_M)
        outputs_MK = model.predict(new_MF).reshape(300, -1)
    np.testing.assert_allclose(Trees.of(model).outputs(new_MF), outputs_MK, rtol=1e-12, atol=1e-12)


def test_scores_by_hand():
    true_M, predicted_M = np.array([1.0, 1.0, 2.0, 3.0]), np.array([0.9, 1.2, 2.0, 1.9])
    assert r2(true_M, predicted_M) == pytest.approx(1 - (0.01 + 0.04 + 1.21) / 2.75)
    for members in (2, 4, FEW, FEW + 1, 200):
        many_M, others_M = np.random.default_rng(members).integers(members // 2 + 1, size=(2, members)).astype(float)
        assert kendall_tau(many_M, others_M) == pytest.approx(np.nan_to_num(kendalltau(many_M, others_M).statistic))
    assert largest_tau(true_M) == pytest.approx(np.sqrt(5 / 6)), "one of six pairs is tied"
    perfect = scores(true_M, np.array([0.9, 1.0, 2.0, 3.0]))
    assert perfect["kendall_tau"] == pytest.approx(largest_tau(true_M))
    assert perfect["kendall_tau_share"] == pytest.approx(1)
    constant = scores(true_M, np.full(4, true_M.mean()))
    assert (constant["r2"], constant["kendall_tau"]) == (0, 0)
    assert scores(np.array(["a", "b"]), np.array(["a", "a"])) == {"accuracy": 0.5}


def test_the_order_within_equal_hyperparameters_by_hand():
    strata_M = np.array(list("aaabbbbcdd"))
    true_M = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0, 9.0, 5.0, 5.0])
    predicted_M = np.array([10.0, 11.0, 12.0, 4.0, 3.0, 2.0, 1.0, 0.0, 1.0, 2.0])
    # Of 3 + 6 pairs in strata whose targets differ, 3 are in the right order; between strata nothing counts.
    assert tau_within(true_M, predicted_M, strata_M) == pytest.approx((3 - 6) / 9)
    moved_M = predicted_M + 100 * np.searchsorted(np.unique(strata_M), strata_M)
    assert tau_within(true_M, moved_M, strata_M) == tau_within(true_M, predicted_M, strata_M)
    assert tau_within(true_M, np.searchsorted(list("abcd"), strata_M).astype(float), strata_M) == 0
    assert tau_within(true_M, predicted_M, np.arange(10)) == 0, "no two are alike"
    assert not have_pairs(strata_M)
    assert have_pairs(np.repeat(strata_M, 5))
    assert list(scores(true_M, predicted_M, strata_M)) == [metric.name for metric in OF_NUMBERS]


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
