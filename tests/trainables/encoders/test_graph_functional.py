"""The baseline of the package nfn: what it takes, and what is said where it is not installed."""

import sys

import pytest
import torch
from architectures import ARCHITECTURES, random_weights

from trainables.encoders.augmentation import permuted
from trainables.encoders.graph.config import FunctionalConfig
from trainables.encoders.graph.functional import NeuralFunctional, require_chain
from trainables.registry import find_trainable
from zoo.population.population import single_architecture

TAKEN = ("one hidden layer", "three hidden layers", "cnn-4970")
MISSING = r"the encoder nfn needs the packages nfn and einops, which are not installed; pip install .*neural-graph"


def test_a_missing_package_is_named_before_anything_is_fitted(monkeypatch):
    monkeypatch.setitem(sys.modules, "nfn", None)
    with pytest.raises(ValueError, match=MISSING):
        find_trainable("nfn").known_before(FunctionalConfig(), (ARCHITECTURES["cnn-4970"],))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_that_are_no_chain_are_refused(name):
    if name in TAKEN:
        require_chain(ARCHITECTURES[name])
        return
    with pytest.raises(ValueError, match=r"nfn takes chains of two or more .* with biases.*is none: take neural-graph"):
        require_chain(ARCHITECTURES[name])


@pytest.mark.parametrize("name", TAKEN)
def test_the_order_of_hidden_units_does_not_matter(name):
    pytest.importorskip("nfn.layers")
    architecture = ARCHITECTURES[name]
    torch.manual_seed(0)
    facts = {"architecture": architecture.to_json()}
    module = NeuralFunctional(FunctionalConfig(channels=4, blocks=2), facts).double()
    weights_MP = random_weights(architecture).double()
    other = permuted(weights_MP, architecture, torch.Generator().manual_seed(1))
    one, two = (module(single_architecture(architecture, weights)) for weights in (weights_MP, other))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-10)
    assert (one[1:] - one[:-1]).abs().amax(dim=1).min() > 1e-6
