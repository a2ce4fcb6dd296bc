"""Generators without gradients: what they make, and that novelty tells copies from new networks."""

import dataclasses

import numpy as np
import pytest
import torch

from trainables.generators.closed_form import noise_deviation
from trainables.generators.config import DensityConfig, GeneratorConfig, MeanConfig, NoiseConfig
from trainables.generators.generator import fitted_networks, novelty
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture
from zoo.training.train import train_population

ARCHITECTURE = mlp((1, 8, 8), (8,), 10)
CONTROLS = {"noisy-copies": NoiseConfig(noise=0.05), "means": MeanConfig(networks=2)}


@pytest.fixture(scope="module")
def data():
    dataset = load_dataset("digits")
    specs = [Member(id=i, seed=i, learning_rate=1e-2) for i in range(32)]
    *_, last = train_population(ARCHITECTURE, specs, dataset.train, epochs=4, snapshot_epochs=(4,))
    population = single_architecture(ARCHITECTURE, last.weights_MP, specs, [4] * 32)
    return FitData(training=(population,), validation=(population.select([]),), dataset=dataset)


def fitted(name, config, data):
    return run(find_trainable(name).fit(config, data))


def test_controls_are_accurate_and_make_nothing_new(data):
    found = {name: fitted(name, config, data).validate() for name, config in CONTROLS.items()}
    assert found["noisy-copies"]["generated_accuracy"] > 0.7
    assert found["noisy-copies"]["novelty"] < 0.2
    assert found["means"]["novelty"] < 0.9
    density = fitted("component-density", DensityConfig(components=31), data).validate()
    assert density["novelty"] > found["means"]["novelty"]
    assert density["generated_loss"] > found["noisy-copies"]["generated_loss"]


def test_without_noise_the_copies_are_the_training_networks(data):
    config = NoiseConfig(noise=0.0, canonical="given", view="flat")
    generated = fitted("noisy-copies", config, data).artifact().generate(5)
    for weights_P in generated.weights_MP:
        distances_M = (data.training[0].weights_MP - weights_P).abs().amax(1)
        assert float(distances_M.min()) < 1e-6


@pytest.mark.parametrize("noise", [0.05, 0.5, 0.99, 1.0])
def test_leveled_noise_is_as_much_in_sum_and_the_same_where_networks_deviate_enough(noise):
    coordinates_KP = torch.randn(40, 300, generator=torch.Generator().manual_seed(0)) * torch.logspace(-2, 1, 300)
    variance_P = coordinates_KP.var(0)
    found_P = noise_deviation(NoiseConfig(noise=noise, noise_kind="leveled"), coordinates_KP).square()
    assert float(found_P.sum()) == pytest.approx(noise**2 * float(variance_P.sum()), rel=1e-4)
    torch.testing.assert_close(found_P, variance_P.clamp_max(float(found_P.max())))


def test_leveled_noise_in_the_basis_of_inputs_leads_further_for_what_it_costs(data):
    even, leveled = (
        fitted("noisy-copies", config, data).validate()
        for config in (NoiseConfig(noise=0.2), NoiseConfig(noise=0.2, noise_kind="leveled", view="input_basis"))
    )
    assert leveled["novelty"] > 1.2 * even["novelty"]
    assert leveled["generated_loss"] < 1.1 * even["generated_loss"]


def test_means_of_all_networks_are_their_mean(data):
    config = MeanConfig(networks=32, canonical="given", view="flat")
    generated = fitted("means", config, data).artifact().generate(2)
    torch.testing.assert_close(
        generated.weights_MP, data.training[0].weights_MP.mean(0).expand(2, -1), rtol=1e-4, atol=1e-5
    )


def test_densities_have_the_moments_of_the_training_networks(data):
    config = DensityConfig(components=31, canonical="given", view="flat", bandwidth=0.0)
    generated = fitted("component-density", config, data).artifact().generate(4000)
    training_MP = data.training[0].weights_MP
    torch.testing.assert_close(generated.weights_MP.mean(0), training_MP.mean(0), atol=0.05, rtol=0)
    spread = generated.weights_MP.var(0).sum() / training_MP.var(0, correction=0).sum()
    assert float(spread) == pytest.approx(1, abs=0.05)


def test_novelty_is_0_of_copies_and_1_of_networks_of_the_same_kind(data):
    training = data.training[0]
    one, other = training.select(range(16)), training.select(range(16, 32))
    assert novelty(one.select([3, 5]), one) == pytest.approx(0, abs=1e-6)
    assert novelty(other, one) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("name", [*CONTROLS, "component-density"])
def test_the_same_seed_makes_the_same_networks_also_from_files(name, data):
    artifact = fitted(name, find_trainable(name).configuration({}), data).artifact()
    again = find_trainable(name).from_files(artifact.to_files())
    assert torch.equal(again.generate(3, seed=7).weights_MP, artifact.generate(3, seed=7).weights_MP)
    assert not torch.equal(artifact.generate(3, seed=8).weights_MP, artifact.generate(3, seed=7).weights_MP)


def test_the_last_and_the_best_networks_are_fitted_to():
    weights_MP = torch.arange(8.0)[:, None].expand(-1, ARCHITECTURE.parameters)
    specs = [Member(id=i // 2, seed=i // 2) for i in range(8)]
    population = dataclasses.replace(
        single_architecture(ARCHITECTURE, weights_MP, specs, [1, 5] * 4),
        columns={"validation_accuracy": np.array([0, 0.3, 0, 0.9, 0, 0.1, 0, 0.7])},
    )
    data = FitData(training=(population,), validation=(), dataset=load_dataset("digits"))
    last = fitted_networks(GeneratorConfig(), data)
    assert last.weights_MP[:, 0].tolist() == [1, 3, 5, 7]
    assert fitted_networks(GeneratorConfig(best=0.5), data).weights_MP[:, 0].tolist() == [3, 7]
    assert len(fitted_networks(GeneratorConfig(snapshots="all"), data)) == 8


def test_what_cannot_be_fitted_or_made_is_refused(data):
    artifact = fitted("means", MeanConfig(), data).artifact()
    with pytest.raises(ValueError, match="test_accuracy is wanted, but this generator was fitted without conditions"):
        artifact.generate(2, wanted={"test_accuracy": 0.9})
    with pytest.raises(ValueError, match=r"MeanConfig\.networks is 40; allowed: 1 to 32, the training networks"):
        fitted("means", MeanConfig(networks=40), data)
    diverged = data.training[0].with_weights(torch.full_like(data.training[0].weights_MP, torch.nan))
    with pytest.raises(ValueError, match="a generator needs 2 or more finite training networks; there are 0"):
        fitted("means", MeanConfig(), dataclasses.replace(data, training=(diverged,)))
