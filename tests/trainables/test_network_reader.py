"""An encoder and a readout in one, against the two by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from trainables.fit_data import as_fits_see, fit_data
from trainables.network_reader import network_reader
from trainables.readouts.config import BoostingReadout
from trainables.readouts.readout import Readouts


@pytest.fixture(scope="module")
def data(small_zoo):
    return fit_data(small_zoo)


@pytest.mark.parametrize("target", ["test_accuracy", "optimizer"])
def test_predictions_are_those_of_a_readout_of_embeddings(data, target):
    reader = network_reader("weight-statistics", data, target)
    (training,), (validation,) = data.training, data.validation
    features = [reader.encoder.embed(part).astype(np.float64) for part in (training, validation)]
    columns = [part.column(target) for part in (training, validation)]
    readout = Readouts(*features).fit(target, *columns)
    assert np.array_equal(reader.predict(validation), readout.predict(features[1]))
    again = network_reader(reader.encoder, data, target)
    assert np.array_equal(again.predict(validation), reader.predict(validation))


def half_known(population, name, unknown):
    """Without the values of every other row."""
    known_M = np.arange(len(population)) % 2 == 0
    columns = {**population.columns, name: np.where(known_M, population.column(name), unknown)}
    return dataclasses.replace(population, columns=columns), population.select(np.flatnonzero(known_M).tolist())


@pytest.mark.parametrize(("target", "unknown"), [("learning_rate", np.nan), ("optimizer", "")])
def test_networks_of_which_a_column_is_not_known_say_nothing_of_it(data, target, unknown):
    parts = [half_known(*part, target, unknown) for part in (data.training, data.validation)]
    encoder = network_reader("weight-statistics", data).encoder
    of_all, of_known = (
        network_reader(encoder, dataclasses.replace(data, training=(training,), validation=(validation,)), target)
        for training, validation in zip(*parts, strict=True)
    )
    (networks,) = data.validation
    assert of_all.readout.categories == of_known.readout.categories
    assert np.array_equal(of_all.predict(networks), of_known.predict(networks))


def test_trees_read_too(data):
    reader = network_reader("weights", data, readout=BoostingReadout(iterations=20, leaf_members=3, components=8))
    (training,) = data.training
    assert reader.predict(training) == pytest.approx(training.column("test_accuracy"), abs=0.2)


def test_weights_on_inputs_that_never_occur_say_nothing(data, small_zoo):
    reader = network_reader("weight-statistics", data)
    as_trained = small_zoo.population("test")
    known = as_fits_see(as_trained, data.dataset)
    assert not torch.equal(as_trained.weights_MP, known.weights_MP), "some pixels are black in all training images"
    assert np.array_equal(reader.predict(as_trained), reader.predict(known))
    raw = dataclasses.replace(data, training=(small_zoo.population("train"),))
    assert np.array_equal(network_reader("weight-statistics", raw).predict(known), reader.predict(known))


def test_what_cannot_be_read_is_said(data, small_zoo):
    (training,) = data.training
    with pytest.raises(ValueError, match="is of kind codec; name an encoder"):
        network_reader("uniform", data)
    with pytest.raises(ValueError, match="nothing is known of these networks under 'size'"):
        network_reader("weights", data, "size")
    with pytest.raises(ValueError, match="target 'batch_size' takes 1 values"):
        network_reader("weights", data, "batch_size")
    broken = training.with_weights(training.weights_MP.clone().index_fill_(0, torch.tensor([3]), float("nan")))
    with pytest.raises(ValueError, match="networks have weights that are NaN or infinite, the first in row 3"):
        network_reader("weights", data).predict(broken)
    for nothing in ((), (data.validation[0].select([]),)):
        with pytest.raises(ValueError, match="there are no validation networks, on which a readout chooses its"):
            network_reader("weights", dataclasses.replace(data, validation=nothing))
    with pytest.raises(TypeError, match="is no encoder: it has no method embed"):
        network_reader(training, data)
