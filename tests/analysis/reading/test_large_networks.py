"""Training networks with very large weights: readouts of an analysis are fitted to the others."""

from types import SimpleNamespace

import numpy as np
import pytest
from encoded_networks import PLAIN, networks

from analysis.measuring.results import Question
from analysis.reading.members import Members
from analysis.reading.probing import BOOSTING, LINEAR, Embedded
from trainables.encoders.baselines import WeightsEncoder

ROW = 3


def members_of(population):
    return Members(populations=(population,))


def with_large(population):
    weights_MP = population.weights_MP.clone()
    weights_MP[ROW] *= 1e20
    return population.with_weights(weights_MP)


def told(training, members, readout):
    """What a readout of plain weights says of members."""
    zoo = SimpleNamespace(name="zoo", manifest=SimpleNamespace(dataset_sha256="data"))
    of = SimpleNamespace(zoo=zoo, dataset=None)
    fitted = SimpleNamespace(of=of, training=training, validation=members_of(networks(PLAIN, 8, 2)))
    question = Question(target="test_accuracy", snapshots="all", fitted_on="zoo", told_of="zoo", readout=readout)
    held_out = SimpleNamespace(fitted=fitted, tested=SimpleNamespace(of=of))
    return Embedded(WeightsEncoder(PLAIN, None), of).predict(held_out, question, members)


@pytest.mark.parametrize("readout", [LINEAR, BOOSTING])
def test_readouts_are_those_of_the_other_networks(readout):
    training, tested = networks(PLAIN, 60, 1), with_large(networks(PLAIN, 8, 5))
    others = members_of(training.select([row for row in range(60) if row != ROW]))
    predicted = told(members_of(with_large(training)), members_of(tested), readout)
    assert np.array_equal(predicted, told(others, members_of(tested), readout))
    assert np.ptp(predicted[[row for row in range(8) if row != ROW]]) > 0
    known = training.column("test_accuracy")
    assert np.abs(predicted - known.mean()).max() < 10 * np.ptp(known), "that of the large network too"


def test_ordinary_networks_are_chosen_as_they_are():
    ordinary = members_of(networks(PLAIN, 24, 1))
    assert ordinary.without_large() is ordinary
    some = members_of(with_large(networks(PLAIN, 24, 1))).chosen(np.arange(24) % 2 == 1)
    assert some.without_large().column("id").tolist() == [row for row in range(1, 24, 2) if row != ROW]
