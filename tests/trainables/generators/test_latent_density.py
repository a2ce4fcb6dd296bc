"""Networks drawn in the latents of an autoencoder."""

import pytest
import torch

from trainables.autoencoders.neuron import NeuronAutoencoder
from trainables.autoencoders.receiver import Receiver
from trainables.generators.closed_form import kernel_draws
from trainables.generators.config import DENSITIES, LatentDensityConfig
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture
from zoo.training.train import train_population
from zoo.views.tokens import neuron_indices

SMALL = {"latent": 8, "encoder_width": 8, "decoder_width": 8, "epochs": 15}


@pytest.fixture(scope="module")
def data():
    dataset, architecture = load_dataset("digits"), mlp((1, 8, 8), (8,), 10)
    specs = [Member(id=i, seed=i, learning_rate=1e-2) for i in range(32)]
    *_, last = train_population(architecture, specs, dataset.train, epochs=4, snapshot_epochs=(4,))
    population = single_architecture(architecture, last.weights_MP, specs, [4] * 32)
    return FitData(training=(population,), validation=(population.select([]),), dataset=dataset)


@pytest.mark.parametrize("density", DENSITIES)
def test_networks_decoded_from_drawn_latents_work_and_are_the_same_from_files(density, data):
    entry = find_trainable("latent-density")
    fit = run(entry.fit(LatentDensityConfig(density=density, **SMALL), data))
    assert fit.validate()["generated_accuracy"] > 0.3
    made = fit.artifact()
    again = entry.from_files(made.to_files())
    assert torch.equal(again.generate(3, seed=2).weights_MP, made.generate(3, seed=2).weights_MP)
    assert not torch.equal(made.generate(3, seed=1).weights_MP, made.generate(3, seed=2).weights_MP)


def test_without_bandwidth_each_dimension_of_a_latent_is_one_of_a_training_network(data):
    made = run(find_trainable("latent-density").fit(LatentDensityConfig(bandwidth=0.0, **SMALL), data)).artifact()
    latent_KZ = made.latent["networks"]
    drawn_MZ = kernel_draws(latent_KZ, 5, 0.0, torch.Generator().manual_seed(0))
    assert all(drawn in latent_KZ[:, column] for row in drawn_MZ for column, drawn in enumerate(row))


def test_of_neurons_each_has_a_latent_of_its_own(data):
    entry = find_trainable("latent-density")
    made = run(entry.fit(LatentDensityConfig(encoded="neuron", **{**SMALL, "epochs": 1}), data)).artifact()
    assert made.latent["networks"].shape == (32, (8 + 10) * SMALL["latent"])
    receiver = Receiver.from_bytes(made.decoder, NeuronAutoencoder, LatentDensityConfig)
    latent_MZ = made.latent["networks"][:1].repeat(2, 1)
    latent_MZ[1, : SMALL["latent"]] += 1
    weights_MP = receiver.weights(latent_MZ, torch.full((2,), receiver.common_gain))
    moved = (weights_MP[0] != weights_MP[1]).nonzero().flatten()
    assert set(moved.tolist()) == set(neuron_indices(receiver.architecture)[0][0].tolist())
    assert torch.equal(entry.from_files(made.to_files()).generate(3).weights_MP, made.generate(3).weights_MP)


def test_a_prior_needs_a_bottleneck_that_has_one(data):
    config = LatentDensityConfig(density="prior", bottleneck="quantized", **SMALL)
    with pytest.raises(ValueError, match="has no prior to draw from; allowed: gaussian, or density kernel"):
        find_trainable("latent-density").fit(config, data)
