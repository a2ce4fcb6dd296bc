"""Readouts against closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge

from trainables.readouts.boosting import Trees
from trainables.readouts.columns import decided
from trainables.readouts.config import BoostingReadout, LinearReadout
from trainables.readouts.metrics import OF_NUMBERS
from trainables.readouts.readout import PENALTIES, Readout, Readouts, judged
from trainables.readouts.ridge import RidgeBasis
from trainables.readouts.scores import FEW, have_pairs, kendall_tau, largest_tau, r2, scores, tau_within
from trainables.readouts.softmax import SoftmaxBasis


def standardized(features_MF, like_MF):
    return (features_MF - like_MF.mean(0)) / like_MF.std(0)


@pytest.mark.parametrize("members", [40, 5], ids=["more members than features", "fewer"])
def test_ridge_is_ridge(members):
    generator = np.random.default_rng(0)
    features_MF = generator.normal(size=(members, 7)) * 3 + 1
    held_out_MF = generator.uniform(features_MF.min(0), features_MF.max(0), size=(20, 7))
    target_MK = features_MF[:, :2] @ generator.normal(size=(2, 3)) + generator.normal(size=(members, 3))
    reference = SklearnRidge(alpha=5.0).fit(standardized(features_MF, features_MF), target_MK)
    np.testing.assert_allclose(
        RidgeBasis(features_MF).fit(target_MK, 5.0).outputs(held_out_MF),
        reference.predict(standardized(held_out_MF, features_MF)),
        rtol=1e-8,
    )


def test_features_are_followed_a_quarter_beyond_those_of_training_networks():
    generator = np.random.default_rng(4)
    features_MF = generator.uniform(size=(50, 3))
    features_MF[0], features_MF[1] = 0.0, 1.0
    number_M = features_MF @ np.arange(1, 4)
    readouts = Readouts(features_MF, features_MF)
    name_M = np.where(number_M > 3, "large", "small")
    for column_M, settings in (
        (number_M, LinearReadout()),
        (name_M, LinearReadout(penalty=0.1)),
        (number_M, BoostingReadout(leaf_members=5, components=2)),
    ):
        head = readouts.fit("x", column_M, column_M, settings).head
        edge, beyond, far = (head.outputs(np.full((1, 3), value)) for value in (1.25, 1.3, 1e6))
        assert np.array_equal(far, edge)
        assert np.array_equal(beyond, edge)
    linear = readouts.fit("x", number_M, number_M)
    within = linear.predict(np.array([[0.0] * 3, [1.0] * 3, [1.2] * 3, [-0.2] * 3]))
    assert within == pytest.approx([0, 6, 7.2, -1.2], abs=1e-4)


@pytest.mark.parametrize(("slope", "edge"), [(1.0, 2.0), (0.0, 1.25)])
def test_numbers_are_followed_further_where_validation_networks_are_told_better_so(slope, edge):
    """Where a validation network at 1.8 has that number, and where it has 1, as the last training network."""
    training_MF = np.linspace(0, 1, 40)[:, None]
    validation_MF = np.append(training_MF, [[1.8]], axis=0)
    true_M = np.append(training_MF[:, 0], 1 + slope * 0.8)
    readout = Readouts(training_MF, validation_MF).fit("x", training_MF[:, 0], true_M)
    assert readout.predict(np.array([[-9.0], [0.5], [9.0]])) == pytest.approx([1 - edge, 0.5, edge], abs=0.02)
    name_M = np.where(true_M > 0.5, "large", "small")
    named = Readouts(training_MF, validation_MF).fit("x", name_M[:-1], name_M)
    assert named.head.range_2F.ravel().tolist() == [-0.25, 1.25]


def test_of_a_feature_that_no_training_network_has_nothing_is_made():
    features_MF, number_M, _ = features_with_columns(60)
    features_MF[:, 3] = np.nan
    readout = Readouts(features_MF, features_MF).fit("x", number_M, number_M)
    other_MF = np.where(np.isnan(features_MF), 1e9, features_MF)
    assert readout.predict(other_MF) == pytest.approx(readout.predict(np.where(np.isnan(features_MF), 0.0, other_MF)))


@pytest.mark.parametrize(("members", "categories"), [(90, 3), (90, 2), (12, 3)])
def test_softmax_is_softmax_regression(members, categories):
    generator = np.random.default_rng(1)
    features_MF = generator.normal(size=(members, 20)) * 2 - 1
    held_out_MF = generator.uniform(features_MF.min(0), features_MF.max(0), size=(30, 20))
    number_M = (features_MF[:, :categories] + generator.normal(size=(members, categories))).argmax(1)
    own = SoftmaxBasis(RidgeBasis(features_MF)).fit(number_M, categories, 2.0)
    prepared = standardized(features_MF, features_MF)
    if categories == 2:  # scikit-learn has one output then, and so half the penalty
        reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(prepared, number_M)
    else:
        reference = LogisticRegression(C=0.5, tol=1e-8, max_iter=2000).fit(prepared, number_M)
    outputs_MK = own.outputs(held_out_MF)
    share_MK = np.exp(outputs_MK) / np.exp(outputs_MK).sum(1, keepdims=True)
    expected_MK = reference.predict_proba(standardized(held_out_MF, features_MF))
    np.testing.assert_allclose(share_MK, expected_MK, atol=2e-3)


def features_with_columns(members=150):
    generator = np.random.default_rng(2)
    features_MF = generator.normal(size=(members, 6))
    number_M = features_MF @ np.arange(6) + 0.1 * generator.normal(size=members)
    name_M = np.array(["a", "b", "c"])[np.digitize(features_MF[:, 0], [-0.5, 0.5])]
    return features_MF, number_M, name_M


@pytest.mark.parametrize(
    "settings",
    [
        LinearReadout(),
        LinearReadout(penalty=1.0),
        BoostingReadout(leaf_members=5),
        BoostingReadout(leaf_members=5, components=5),
    ],
)
def test_readouts_tell_numbers_and_names_and_come_back(settings):
    features_MF, number_M, name_M = features_with_columns()
    features_MF[::7, 5] = np.nan
    readouts = Readouts(features_MF[:100], features_MF[100:])
    for column_M, metric, least in ((number_M, "r2", 0.6), (name_M, "accuracy", 0.75)):
        readout = readouts.fit("column", column_M[:100], column_M[100:], settings)
        assert judged(readout, features_MF[100:], column_M[100:])[metric] > least
        again = Readout.restored(readout.facts(), readout.tensors())
        assert np.array_equal(again.predict(features_MF), readout.predict(features_MF))


def test_the_penalty_is_the_best_on_validation_members():
    features_MF, number_M, _ = features_with_columns(60)
    noisy_MF = np.hstack([features_MF, np.random.default_rng(3).normal(size=(60, 200))])
    readouts = Readouts(noisy_MF[:30], noisy_MF[30:])
    fits = [readouts.fit("x", number_M[:30], number_M[30:], LinearReadout(penalty=each)) for each in PENALTIES]
    errors = [float(((fit.predict(noisy_MF[30:]) - number_M[30:]) ** 2).mean()) for fit in fits]
    chosen = readouts.fit("x", number_M[:30], number_M[30:])
    assert len(PENALTIES) == 9
    assert ((chosen.predict(noisy_MF[30:]) - number_M[30:]) ** 2).mean() == pytest.approx(min(errors))


def test_of_penalties_that_are_right_equally_often_that_with_the_least_log_loss_is_taken():
    """Validation networks of one category are all told right by whatever always says it."""
    is_a_M = np.arange(100) % 5 > 0
    features_MF = np.where(is_a_M, 1.0, -1.0)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(100, 1))
    name_M = np.where(is_a_M, "a", "b")
    readouts = Readouts(features_MF[:50], features_MF[50:][is_a_M[50:]])
    heavy = readouts.fit("x", name_M[:50], name_M[50:][is_a_M[50:]], LinearReadout(penalty=PENALTIES[0]))
    assert set(heavy.predict(features_MF)) == {"a"}
    chosen = readouts.fit("x", name_M[:50], name_M[50:][is_a_M[50:]])
    assert np.array_equal(chosen.predict(features_MF), name_M)


def test_unknown_targets_are_left_out_and_equal_ones_refused():
    features_MF, number_M, _ = features_with_columns()
    gappy_M = np.where(np.arange(150) % 3, number_M, np.nan)
    readouts = Readouts(features_MF[:100], features_MF[100:])
    readout = readouts.fit("gappy", gappy_M[:100], gappy_M[100:])
    assert judged(readout, features_MF[100:], gappy_M[100:])["r2"] > 0.9
    assert judged(readout, features_MF[100:], np.full(50, np.nan)) == {}
    for column_M in (np.ones(150), np.full(150, np.nan)):
        with pytest.raises(ValueError, match=r"target 'same' takes [01] values among the"):
            readouts.fit("same", column_M[:100], column_M[100:])


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


def test_trees_never_divide_by_a_feature_that_is_missing_everywhere():
    features_MF = np.random.default_rng(0).normal(size=(60, 3))
    features_MF[:, 1] = np.nan
    settings, numbers_M = BoostingReadout(iterations=10), features_MF[:, 0]
    trees = Trees.fit(features_MF, numbers_M, settings, classify=False)
    expected = Trees.fit(features_MF[:, [0, 2]], numbers_M, settings, classify=False).outputs(features_MF[:, [0, 2]])
    assert np.array_equal(trees.outputs(features_MF), expected)


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
