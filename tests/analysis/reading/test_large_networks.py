"""Training networks with very large weights: readouts of an analysis are fitted to the others."""

from types import SimpleNamespace

import numpy as np
import pytest
from encoded_networks import PLAIN, networks

from analysis.measuring.results import Question
from analysis.reading.maps import latent_maps
from analysis.reading.members import Members
from analysis.reading.probing import BOOSTING, LINEAR, Embedded
from analysis.report.latent import blocks
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


def test_maps_are_of_the_other_networks_and_say_so():
    population = networks(PLAIN, 24, 1)
    encoder = WeightsEncoder(PLAIN, None)
    embed = {"weights": lambda members: members.over(encoder.embed)}
    maps = latent_maps(embed, members_of(with_large(population)), ["test_accuracy"])
    others = latent_maps(embed, members_of(population.select([row for row in range(24) if row != ROW])), [])
    assert np.array_equal(maps.maps[0].places_M2, others.maps[0].places_M2)
    assert (maps.large, others.large) == (1, 0)
    assert "Left out: 1 snapshot with very large weights." in blocks(maps, "Encoder", "embedding")[0].text
    assert "Left out" not in blocks(others, "Encoder", "embedding")[0].text
