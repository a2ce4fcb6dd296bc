"""Attention by layers: shares add up, even attention is known, and blocks are the ones that run."""

import numpy as np
import pytest
import torch

from analysis.latents.attention import attention_maps
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from trainables.transformers.blocks import Block

NAMES = ["layer 1", "output layer"]


@pytest.fixture(scope="module")
def data(small_zoo):
    return FitData(training=(small_zoo.population("train"),), validation=(), dataset=small_zoo.dataset())


@pytest.fixture
def autoencoder(data):
    family = find_trainable("transformer-autoencoder")
    settings = {"epochs": 1, "latent": 6, "width": 8, "heads": 2, "blocks": 2}
    return run(family.fit(family.configuration(settings), data)).artifact().autoencoder


def maps_of(autoencoder, data):
    population = data.training[0].select(range(5))
    return attention_maps(autoencoder, population, autoencoder.encode(population), NAMES)


def test_shares_of_each_block_add_up(autoencoder, data):
    found = maps_of(autoencoder, data)
    assert [one.name for one in found] == [f"{part}, block {n}" for part in ("encoder", "decoder") for n in (1, 2)]
    assert [one.readers for one in found] == [["latent", *NAMES], ["latent"], NAMES, NAMES]
    assert found[0].even == pytest.approx([1 / 27, 16 / 27, 10 / 27])
    for one in found:
        assert np.array(one.shares).sum(1) == pytest.approx([1] * len(one.readers), abs=1e-5)


def test_without_queries_all_tokens_are_read_alike(autoencoder, data):
    with torch.no_grad():
        for block in autoencoder.modules():
            if isinstance(block, Block):
                block.query.weight.zero_()
                block.query.bias.zero_()
    for one in maps_of(autoencoder, data):
        assert np.array(one.shares) == pytest.approx(np.array([one.even] * len(one.readers)), abs=1e-5)


def test_autoencoders_without_attention_have_no_maps(data):
    family = find_trainable("neuron-autoencoder")
    artifact = run(family.fit(family.configuration({"epochs": 1, "latent": 2}), data)).artifact()
    assert maps_of(artifact.autoencoder, data) == []
