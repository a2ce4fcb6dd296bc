"""What every encoder says of networks and columns from which nothing can be learned."""

import dataclasses

import numpy as np
import pytest
from encoded_networks import DIGITS, OTHERS, PLAIN, SHORT, networks

from trainables.encoders.entries import ENCODERS
from trainables.trainable import FitData, run

# What weighs networks as they are, or expects the layout that it was fitted to; what gives them its own inputs.
OF_ONE_LAYOUT = ("weights", "hyper-representation")
OF_ONE_SHAPE = ("probing",)
EVERY = pytest.mark.parametrize("name", [name for name in ENCODERS if name != "nfn"])


def data(training, validation=None):
    validation = networks(PLAIN, 8, 2) if validation is None else validation
    return FitData(training=(training,), validation=(validation,), dataset=DIGITS)


def fitted(name, given):
    entry = ENCODERS[name]
    config = entry.configuration({field: value for field, value in SHORT.items() if field in entry.fields})
    return run(entry.fit(config, given))


@EVERY
def test_networks_of_another_layout_are_embedded_or_refused_with_what_helps(name):
    encoder = fitted(name, data(networks(PLAIN, 24, 1))).artifact()
    width = encoder.embed(networks(PLAIN, 2, 3)).shape[1]
    for kind, architecture in OTHERS.items():
        other = networks(architecture, 3, 5)
        if name in OF_ONE_LAYOUT:
            with pytest.raises(ValueError, match=r"fitted to networks of 460 parameters.*fit it to their zoo, or take"):
                encoder.embed(other)
        elif name in OF_ONE_SHAPE and kind in ("fewer classes", "smaller images"):
            with pytest.raises(ValueError, match="fit it to each kind on its own, or take an encoder that"):
                encoder.embed(other)
        else:
            assert encoder.embed(other).shape == (3, width)


@EVERY
def test_weights_that_are_not_finite_are_counted_and_the_first_is_named(name):
    odd = networks(PLAIN, 24, 3)
    odd.weights_MP[2, 4] = float("nan")
    said = "1 of 24 networks have weights that are NaN or infinite, the first in row 2; leave them out"
    with pytest.raises(ValueError, match=said):
        fitted(name, data(odd)).validate()
    with pytest.raises(ValueError, match=said):
        fitted(name, data(networks(PLAIN, 24, 1))).artifact().embed(odd)


@EVERY
def test_targets_that_are_constant_or_missing_are_named_or_left_out(name):
    training = networks(PLAIN, 24, 1)
    alike = tuple(dataclasses.replace(member, learning_rate=0.1) for member in training.members)
    constant = dataclasses.replace(training, members=alike, columns={"test_accuracy": np.ones(24)})
    unknown = dataclasses.replace(training, members=(), epochs=(), columns={})
    for nothing in (constant, unknown):
        with pytest.raises(ValueError, match="the training networks differ in nothing that the zoo knows of them"):
            fitted(name, data(nothing)).validate()
    missing = dataclasses.replace(training, columns={"test_accuracy": np.full(24, np.nan)})
    found = fitted(name, data(missing)).validate()
    assert 0 <= found["probe_score"] <= 1, "the learning rate is left"


@EVERY
def test_no_and_few_networks_are_refused_or_told(name):
    with pytest.raises(ValueError, match=r"training population is empty|training networks differ in nothing"):
        fitted(name, data(networks(PLAIN, 0, 1))).validate()
    with pytest.raises(ValueError, match="there are no validation networks"):
        fitted(name, data(networks(PLAIN, 24, 1), networks(PLAIN, 0, 2))).validate()
    few = data(networks(PLAIN, 3, 1))
    if name == "weights-and-behavior":
        with pytest.raises(ValueError, match="of 3 members; a head needs 5 or more: take more members or head=false"):
            fitted(name, few)
    else:
        assert np.isfinite(list(fitted(name, few).validate().values())).all()
