"""What latents do: against differences, a linear decoder's columns, and by hand."""

import pytest
import torch

from analysis.latents.effects import Effects, effects, latent_names
from trainables.autoencoders.autoencoder import Latent
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.views.weight_layers import weight_layers

SMALL = {"epochs": 1, "latent": 6, "refine_steps": 0}


@pytest.fixture(scope="module")
def population(small_zoo):
    return small_zoo.population("train", epochs="last")


def fitted(small_zoo, name, **settings):
    family = find_trainable(name)
    data = FitData(training=(small_zoo.population("train"),), validation=(), dataset=small_zoo.dataset())
    return run(family.fit(family.configuration({**SMALL, **settings}), data)).artifact()


@pytest.mark.parametrize("name", ["network-autoencoder", "neuron-autoencoder", "transformer-autoencoder"])
def test_they_are_the_limits_of_differences(small_zoo, population, name):
    codec = fitted(small_zoo, name, **({"width": 8, "heads": 2, "blocks": 1} if name.startswith("t") else {}))
    members = population.select(range(4))
    latent, x = codec.autoencoder.encode(members), small_zoo.dataset().test.first(10).inputs
    deviation_Z = latent.values_MZ.std(0)
    found = effects(codec.receiver, latent, deviation_Z, members, x)
    names = latent_names(codec.receiver.decoder, latent.values_MZ.shape[1])
    assert len(set(names)) == latent.values_MZ.shape[1] == len(found.latents_K)
    for place in (0, 3, 5):
        step = torch.zeros_like(deviation_Z)
        step[place] = 1e-2 * deviation_Z[place]
        with torch.no_grad():
            weights = [codec.receiver.weights(latent.values_MZ + sign * step, latent.gain_M) for sign in (-1, 0, 1)]
            outputs = [members.logits(x, weights_MP) for weights_MP in weights]
        change_MP, change_MNC = (50 * (each[2] - each[0]) for each in (weights, outputs))
        for layer, value in zip(weight_layers(members.architecture), found.layers_KL[place], strict=True):
            entries = torch.cat([torch.arange(s.offset, s.offset + s.size) for s in (layer.weight, layer.bias)])
            ratio_M = change_MP[:, entries].norm(dim=1) / weights[1][:, entries].norm(dim=1)
            assert float(value) == pytest.approx(float(ratio_M.square().mean().sqrt()), rel=0.05, abs=1e-4)
        spread_M = (outputs[1] - outputs[1].mean(1, keepdim=True)).flatten(1).norm(dim=1)
        ratio_M = change_MNC.flatten(1).norm(dim=1) / spread_M
        assert float(found.outputs_K[place]) == pytest.approx(float(ratio_M.square().mean().sqrt()), rel=0.05, abs=1e-4)


def test_of_a_linear_decoder_they_are_its_columns(small_zoo, population):
    codec = fitted(small_zoo, "network-autoencoder", decoder_depth=0, gain=False)
    members = population.select(range(3))
    encoded = codec.autoencoder.encode(members)
    latent = Latent(torch.zeros_like(encoded.values_MZ), encoded.gain_M)
    found = effects(codec.receiver, latent, torch.ones(6), members, small_zoo.dataset().test.first(5).inputs)
    first, *others = codec.receiver.weights(torch.cat([torch.zeros(1, 6), torch.eye(6)]), encoded.gain_M[:1].repeat(7))
    for layer, values_K in zip(weight_layers(members.architecture), found.layers_KL.T, strict=True):
        span = slice(layer.weight.offset, layer.bias.offset + layer.bias.size)
        expected = [float((other - first)[span].norm() / first[span].norm()) for other in others]
        assert values_K.tolist() == pytest.approx(expected, rel=1e-3)


def test_what_carries_nine_tenths_of_the_square():
    found = Effects(torch.arange(4), torch.zeros(4, 2), torch.tensor([1.0, 3.0, 0.5, 2.0]))
    assert found.order.tolist() == [1, 3, 0, 2]
    assert found.carrying == 2  # 9 + 4 of 14.25
    assert Effects(torch.arange(3), torch.zeros(3, 2), torch.ones(3)).carrying == 3


def test_latents_of_neurons_are_called_by_their_neuron(small_zoo):
    codec = fitted(small_zoo, "neuron-autoencoder", latent=2)
    names = latent_names(codec.receiver.decoder, 52)
    assert names[:3] == ["layer 1, unit 1, 1", "layer 1, unit 1, 2", "layer 1, unit 2, 1"]
    assert names[-1] == "output layer, unit 10, 2"
