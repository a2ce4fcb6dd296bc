"""Networks with finite but very large weights, for every encoder: in training, and embedded later."""

import dataclasses
import logging

import numpy as np
import pytest
import torch
from encoded_networks import DIGITS, OTHERS, PLAIN, SHORT, networks

from trainables.autoencoders.entries import AUTOENCODERS
from trainables.encoders.entries import ENCODERS
from trainables.large_weights import KEY, LARGEST_WEIGHT, bounded, limit_of, without_large
from trainables.network_reader import network_reader
from trainables.trainable import FitData, run

CASES = {name: (name, {}) for name in ENCODERS} | {"aligned weights": ("weights", {"aligned": True})}
ROW = 3


@pytest.fixture(params=CASES)
def case(request):
    if request.param == "nfn":
        pytest.importorskip("nfn")
    return CASES[request.param]


def fitted(case, data):
    name, settings = case
    entry = ENCODERS[name]
    short = {field: value for field, value in SHORT.items() if field in entry.fields}
    return run(entry.fit(entry.configuration(short | settings), data))


def with_large(population, size):
    """The same networks; the weights of one are multiplied so that the largest is of that size."""
    weights_MP = population.weights_MP.clone()
    weights_MP[ROW] *= size / weights_MP[ROW].abs().max()
    return population.with_weights(weights_MP)


def data_of(training, validation):
    return FitData(training=(training,), validation=(validation,), dataset=DIGITS)


@pytest.mark.parametrize("size", [1e4, 1e20])
def test_fits_and_their_scores_are_those_of_the_other_networks(case, size, caplog):
    training, validation, others = networks(PLAIN, 24, 1), networks(PLAIN, 8, 2), networks(PLAIN, 8, 5)
    rows = [row for row in range(24) if row != ROW]
    ordinary = fitted(case, data_of(training.select(rows), validation))
    assert not caplog.records
    found = fitted(case, data_of(with_large(training, size), validation))
    assert np.array_equal(found.artifact().embed(others), ordinary.artifact().embed(others))
    assert found.validate() == ordinary.validate()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("1 training network left out of fits, with weights beyond ")
    assert record.getMessage().endswith(f": member {training.members[ROW].id}, epoch 1 with {size:.3g}")


def test_embeddings_of_large_networks_are_finite_and_leave_others_as_they_are(case):
    encoder = fitted(case, data_of(networks(PLAIN, 24, 1), networks(PLAIN, 8, 2))).artifact()
    of_any_layout = case[0] not in ("weights", "hyper-representation", "nfn")
    for architecture in (PLAIN, OTHERS["deeper"], OTHERS["convolutions"]) if of_any_layout else (PLAIN,):
        ordinary = networks(architecture, 8, 5)
        before = encoder.embed(ordinary)
        for size in (1e4, 1e20, 3e38):
            after = encoder.embed(with_large(ordinary, size)).astype(np.float32)
            assert np.isfinite(after[~np.isnan(before)]).all(), "NaN stands for what a network does not have alone"
            np.testing.assert_allclose(np.delete(after, ROW, 0), np.delete(before, ROW, 0), rtol=1e-5, atol=1e-6)


def test_ordinary_networks_are_handed_on_as_they_are():
    data = data_of(networks(PLAIN, 24, 1), networks(PLAIN, 8, 2))
    assert without_large(data) is data
    assert bounded(data.training[0]) is data.training[0]
    # In zoos of digits, MNIST, Fashion-MNIST and CIFAR-10 no network had 31 times the largest weight of the median one.
    far = data_of(with_large(data.training[0], 50 * float(data.training[0].weights_MP.abs().max())), data.validation[0])
    assert without_large(far) is far


def test_what_is_left_out_is_remembered_by_those_who_share_the_data(caplog):
    data = data_of(with_large(networks(PLAIN, 24, 1), 1e20), with_large(networks(PLAIN, 8, 2), 1e20))
    found = without_large(data)
    assert [len(found.training[0]), len(found.validation[0])] == [23, 7]
    assert without_large(data) is found
    assert without_large(found) is found
    assert found.shared == {KEY: None}, "what fits share is of the networks that they see"
    assert len(caplog.records) == 2


def test_a_layout_of_which_nothing_is_left_is_left_out_and_all_of_them_are_refused():
    large = networks(OTHERS["deeper"], 2, 3)
    large = large.with_weights(large.weights_MP * 1e20)
    both = FitData(training=(networks(PLAIN, 24, 1), large), validation=(networks(PLAIN, 8, 2),), dataset=DIGITS)
    assert [len(population) for population in without_large(both).training] == [24]
    with pytest.raises(ValueError, match=r"all training networks have weights beyond 1e\+06.*leave them out"):
        without_large(dataclasses.replace(both, training=(large,), shared={}))


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_autoencoders_name_networks_that_they_cannot_square(name):
    entry, large = AUTOENCODERS[name], with_large(networks(PLAIN, 24, 1), 1e20)
    said = r"1 of 24 training networks have weights too large to be squared: member 3, epoch 1 with 1e\+20; leave them"
    with pytest.raises(ValueError, match=said):
        entry.fit(entry.configuration({}), data_of(large, networks(PLAIN, 8, 2)))


def test_limits_are_those_of_most_networks():
    assert limit_of(torch.tensor([0.1, 0.2, 0.1, 1e20])) == 100
    assert limit_of(torch.tensor([2.0, 3.0, 1.0, float("inf"), 4.0])) == 300
    assert limit_of(torch.tensor([1e5, 1e5])) == LARGEST_WEIGHT
    assert limit_of(torch.tensor([])) == 100


def test_predictions_are_those_of_the_other_networks():
    training, validation = networks(PLAIN, 24, 1), networks(PLAIN, 8, 2)
    rows = [row for row in range(24) if row != ROW]
    for column in ("test_accuracy", "learning_rate"):
        readers = [
            network_reader("weight-statistics", data_of(each, validation), column)
            for each in (training.select(rows), with_large(training, 1e20))
        ]
        predicted, again = (reader.predict(with_large(networks(PLAIN, 8, 5), 1e20)) for reader in readers)
        assert np.array_equal(predicted, again)
        assert np.isfinite(predicted).all()
