"""Flows: their paths, what they learn, and conditions."""

import dataclasses

import pytest
import torch

from trainables.generators.config import PATHS, PREDICTED, FlowConfig
from trainables.generators.flow import Flow, FlowFit
from trainables.generators.flow_module import path
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture

ARCHITECTURE = mlp((1, 2, 2), (2,), 2)
SHORT = FlowConfig(width=64, epochs=30, repeats=16, canonical="given", view="flat", learning_rate=3e-3)


def two_kinds(members=64):
    """Networks around one of two centers; a column says which."""
    generator = torch.Generator().manual_seed(0)
    kind_M = torch.arange(members) % 2
    centers = torch.stack([torch.full((16,), 1.0), torch.full((16,), -1.0)])
    weights_MP = centers[kind_M] + 0.1 * torch.randn(members, 16, generator=generator)
    optimizers = ["adam", "sgd"] * (members // 2)
    specs = [Member(id=i, seed=i, optimizer=name) for i, name in enumerate(optimizers)]
    population = single_architecture(ARCHITECTURE, weights_MP, specs, [1] * members)
    return dataclasses.replace(population, columns={"test_accuracy": weights_MP.mean(1).numpy()})


@pytest.fixture(scope="module")
def data():
    tetris = load_dataset("tetris")
    return FitData(training=(two_kinds(),), validation=(two_kinds(8),), dataset=tetris)


@pytest.mark.parametrize("name", PATHS)
def test_paths_lead_from_noise_to_the_network_at_the_rate_they_say(name):
    time = torch.linspace(0, 1, 11, dtype=torch.float64, requires_grad=True)
    network, noise, network_rate, noise_rate = path(name, time)
    torch.testing.assert_close(network[[0, -1]], torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(noise[[0, -1]], torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-12, rtol=0)
    for share, rate in ((network, network_rate), (noise, noise_rate)):
        (slope,) = torch.autograd.grad(share.sum(), time, retain_graph=True)
        torch.testing.assert_close(slope, rate.detach())


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("predicted", PREDICTED)
@pytest.mark.parametrize("components", [0, 4])
def test_networks_are_made_around_both_centers(name, predicted, components, data):
    config = dataclasses.replace(SHORT, path=name, predicted=predicted, components=components)
    made = run(FlowFit(config, data)).artifact().generate(200)
    mean_M = made.weights_MP.mean(1)
    assert 0.3 < float((mean_M > 0).float().mean()) < 0.7
    assert float((mean_M.abs() - 1).abs().median()) < 0.15
    assert float(made.weights_MP.std(1).median()) < 0.35


def test_networks_that_are_trained_on_the_task_while_made_learn_it():
    architecture, generator = mlp((1, 4, 4), (5,), 4), torch.Generator().manual_seed(0)
    weights_MP = 0.3 * torch.randn(32, architecture.parameters, generator=generator)
    specs = [Member(id=i, seed=i) for i in range(32)]
    population = single_architecture(architecture, weights_MP, specs, [1] * 32)
    data = FitData(training=(population,), validation=(), dataset=load_dataset("tetris"))
    found = {}
    for weight in (0.0, 1.0):
        config = dataclasses.replace(SHORT, epochs=20, solver="euler", integration_steps=4, task_loss=weight)
        found[weight] = run(FlowFit(config, data)).validate()
    assert found[1.0]["generated_loss"] < 0.9 * found[0.0]["generated_loss"]
    assert found[1.0]["generated_accuracy"] > found[0.0]["generated_accuracy"] + 0.1


def test_noise_leads_out_of_the_components_and_has_the_deviation_of_the_networks(data):
    config = dataclasses.replace(SHORT, epochs=1, components=4)
    without, noisy = (FlowFit(dataclasses.replace(config, noise=noise), data).artifact() for noise in (0.0, 0.5))
    added_MP = noisy.generate(2000).weights_MP - without.generate(2000).weights_MP
    deviation_P = data.training[0].weights_MP.std(0)
    torch.testing.assert_close(added_MP.std(0), 0.5 * deviation_P, rtol=0.1, atol=0)


def test_a_fine_solver_follows_the_flow_as_a_finer_one_of_lower_order_does(data):
    fit = run(FlowFit(SHORT, data))
    made = {}
    for solver, steps in (("runge-kutta", 20), ("euler", 400)):
        fit.module.config = dataclasses.replace(SHORT, solver=solver, integration_steps=steps)
        made[solver] = fit.artifact().generate(8).weights_MP
    torch.testing.assert_close(made["runge-kutta"], made["euler"], atol=0.05, rtol=0)


def test_what_is_wanted_is_made(data):
    flow = run(FlowFit(dataclasses.replace(SHORT, conditions="optimizer, test_accuracy"), data)).artifact()
    again = Flow.from_files(flow.to_files())
    for wanted, center in (({"optimizer": "adam"}, 1), ({"optimizer": "sgd"}, -1), ({"test_accuracy": 1.0}, 1)):
        made = flow.generate(100, wanted=wanted)
        assert float((made.weights_MP.mean(1).sign() == center).float().mean()) > 0.9
        assert torch.equal(again.generate(100, wanted=wanted).weights_MP, made.weights_MP)
    assert 0.3 < float((flow.generate(200).weights_MP.mean(1) > 0).float().mean()) < 0.7
    with pytest.raises(ValueError, match="optimizer 'lion' is wanted; allowed: adam, sgd"):
        flow.generate(1, wanted={"optimizer": "lion"})
    with pytest.raises(ValueError, match="epoch is wanted; conditions of this generator: optimizer, test_accuracy"):
        flow.generate(1, wanted={"epoch": 3})


def test_a_fit_goes_on_from_its_state(data):
    config = dataclasses.replace(SHORT, epochs=4, repeats=2)
    straight, broken, again = (FlowFit(config, data) for _ in range(3))
    for _ in range(2):
        broken.train_epoch()
    again.load_state(broken.state())
    assert torch.equal(run(again).artifact().generate(3).weights_MP, run(straight).artifact().generate(3).weights_MP)


def test_wrong_configurations_say_what_is_allowed():
    with pytest.raises(ValueError, match="path is 'straight'; allowed: linear, diffusion"):
        FlowConfig(path="straight")
    with pytest.raises(ValueError, match="nothing is known of these networks under 'color'"):
        FlowFit(
            dataclasses.replace(SHORT, conditions="color"),
            FitData(training=(two_kinds(),), validation=(), dataset=load_dataset("tetris")),
        )
