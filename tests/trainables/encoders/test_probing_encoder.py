"""Probing: responses are those of the very networks, read whatever the order of their units."""

import dataclasses

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, random_examples, random_permutations, random_weights
from torch import nn

from trainables.encoders.entries import ENCODERS
from trainables.encoders.probing.config import HIDDEN, PROBES, ProbingConfig
from trainables.encoders.probing.encoder import Probing
from trainables.encoders.probing.inputs import FreeProbes, GeneratedProbes
from trainables.encoders.probing.responses import MOMENTS, OverPositions, moments, responses, units
from trainables.trainable import FitData, run
from zoo.architecture import cnn, mlp
from zoo.data import load_dataset
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.population.population import single_architecture
from zoo.views import permute
from zoo.views.weight_layers import weight_layers

ENTRY = ENCODERS["probing"]
SMALL = ProbingConfig(hidden="both", count=5, width=16, units=8, latent=6, epochs=2, batch_size=16)
DIGITS = load_dataset("digits")


def slow_responses(architecture, weights_P, x):
    """(outputs, what hidden weight layers give, what activations give) of one member's module, by hooks."""
    hidden = {layer.name for layer in weight_layers(architecture) if layer.interchangeable}
    module = architecture.to_module(weights_P)
    weighed, activated = [], []
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and name in hidden:
            part.register_forward_hook(lambda _, __, given: weighed.append(given))
        elif not list(part.children()) and type(part).__module__ == "torch.nn.modules.activation":
            part.register_forward_hook(lambda _, __, given: activated.append(given))
    with torch.no_grad():
        return module.eval()(x), weighed, activated


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_responses_are_those_of_modules(kind):
    architecture = ARCHITECTURES[kind]
    weights_MP, x = random_weights(architecture, 3), random_examples(architecture, 4)
    found = responses(architecture, weights_MP, x)
    for row, weights_P in enumerate(weights_MP):
        outputs_NC, weighed, activated = slow_responses(architecture, weights_P, x)
        torch.testing.assert_close(found.outputs_MNC[row], outputs_NC, atol=1e-5, rtol=1e-4)
        for fast, slow in ((found.weighed, weighed), (found.activated, activated)):
            assert len(fast) == len(slow)
            for given, wanted in zip(fast, slow, strict=True):
                torch.testing.assert_close(given[row], wanted, atol=1e-5, rtol=1e-4)


def test_moments_are_those_over_units_and_positions():
    given = torch.randn(2, 3, 5, 4, 6).relu()
    found_MNK = moments(given, units(given))
    assert found_MNK.shape == (2, 3, len(MOMENTS))
    for member in range(2):
        for example in range(3):
            values = given[member, example].double().numpy()
            wanted = [
                np.log1p(values.mean()),
                np.log(values.std()),
                np.log(values.mean((1, 2)).std()),
                (values > 0).mean(),
            ]
            np.testing.assert_allclose(found_MNK[member, example].numpy(), wanted, rtol=1e-3, atol=1e-4)


def test_gradients_over_positions_are_those_of_the_two_means():
    values_NSK = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(OverPositions.apply, (values_NSK,))


def fitted_module(config, architecture):
    """A module that was started for random networks of an architecture, as a fit does it."""
    population = single_architecture(architecture, random_weights(architecture, 20, seed=1))
    facts = Probing.facts_of(config, FitData(training=(population,), validation=(), dataset=DIGITS))
    torch.manual_seed(config.seed)
    module = Probing(config, facts)
    if architecture.input_shape == DIGITS.input_shape:
        module.initialize(FitData(training=(population,), validation=(), dataset=DIGITS))
    return module.eval()


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("kind", ["one hidden layer", "three hidden layers", "cnn", "resnet", "residuals of vectors"])
def test_embeddings_do_not_depend_on_the_order_of_units_but_on_the_weights(kind, hidden):
    architecture = ARCHITECTURES[kind]
    module = fitted_module(dataclasses.replace(SMALL, hidden=hidden), architecture)
    weights_MP = random_weights(architecture, 4)
    permuted_MP = permute(weights_MP, architecture, random_permutations(architecture, 4))
    assert not torch.equal(permuted_MP, weights_MP)
    shuffled_MP = weights_MP[:, torch.randperm(architecture.parameters, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        wanted_BE, same_BE, other_BE = (
            module(single_architecture(architecture, each)) for each in (weights_MP, permuted_MP, shuffled_MP)
        )
    torch.testing.assert_close(same_BE, wanted_BE, atol=1e-4, rtol=1e-4)
    assert (other_BE - wanted_BE).abs().amax() > 1e-2


@pytest.mark.parametrize("probes", PROBES)
@pytest.mark.parametrize("hidden", ["moments", "profiles"])
def test_gradients_through_hidden_layers_reach_the_probes_and_are_right(probes, hidden):
    architecture = cnn((1, 8, 8), (3, 4), 10, activation="tanh")
    module = fitted_module(dataclasses.replace(SMALL, probes=probes, hidden=hidden), architecture).double()
    population = single_architecture(architecture, random_weights(architecture, 3).double())
    parameter = module.probes.codes if probes == "generator" else module.probes.inputs
    with torch.no_grad():  # even regions of images are where maxima and rectified values have no derivative
        parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))

    def of_hidden_layers():
        return module.features(population)[:, SMALL.count * 10 :].sum()

    (gradient,) = torch.autograd.grad(of_hidden_layers(), parameter)
    step = 1e-6 * gradient / gradient.norm()
    with torch.no_grad():
        difference = -of_hidden_layers()
        parameter += step
        difference += of_hidden_layers()
    assert float(gradient.norm()) > 1e-3
    assert float(difference) == pytest.approx(1e-6 * float(gradient.norm()), rel=1e-2)


def mixed_activations(members, seed):
    """Networks of the same weights' distribution that differ in their activation alone."""
    architectures = tuple(mlp((1, 8, 8), (6,), 10, activation=name) for name in ("relu", "tanh", "sigmoid"))
    weights_MP = random_weights(architectures[0], members, seed=seed)
    kinds_M = torch.randint(3, (members,), generator=torch.Generator().manual_seed(seed))
    return Population(weights_MP=weights_MP, architectures=architectures, architecture_M=kinds_M)


def test_each_network_of_mixed_activations_is_embedded_as_on_its_own():
    population = mixed_activations(7, 0)
    module = fitted_module(SMALL, population.architecture)
    with torch.no_grad():
        together_BE = module(population)
        for row in range(7):
            architecture = population.architectures[population.architecture_M[row]]
            alone = single_architecture(architecture, population.weights_MP[row : row + 1])
            torch.testing.assert_close(module(alone)[0], together_BE[row], atol=1e-5, rtol=1e-4)


def test_a_fit_tells_activations_that_weights_do_not_tell():
    data = FitData(
        training=(mixed_activations(150, 1),), validation=(mixed_activations(60, 2),), dataset=load_dataset("digits")
    )
    fit = run(ENTRY.fit(dataclasses.replace(SMALL, epochs=8, learning_rate=1e-2), data))
    assert fit.validate()["probe_accuracy"] > 0.95


def test_networks_of_any_depth_and_width_are_embedded_also_without_hidden_layers():
    module = fitted_module(SMALL, mlp((1, 8, 8), (6,), 10))
    for architecture in (mlp((1, 8, 8), (), 10), mlp((1, 8, 8), (9, 4, 5, 3), 10), cnn((1, 8, 8), (5, 2), 10)):
        embedding_BE = module(single_architecture(architecture, random_weights(architecture, 3)))
        assert embedding_BE.shape == (3, SMALL.latent)
        assert torch.isfinite(embedding_BE).all()


def test_networks_with_other_inputs_or_outputs_are_refused():
    populations = [
        single_architecture(architecture, random_weights(architecture, 4))
        for architecture in (mlp((1, 8, 8), (6,), 10), mlp((1, 4, 4), (6,), 10), mlp((1, 8, 8), (6,), 3))
    ]
    with pytest.raises(ValueError, match="these have inputs 1×4×4 and 10 outputs, others have inputs 1×8×8 and 10"):
        Probing.facts_of(SMALL, FitData(training=tuple(populations[:2]), validation=(), dataset=DIGITS))
    module = fitted_module(SMALL, populations[0].architecture)
    module.require(populations[0])
    with pytest.raises(
        ValueError, match=r"these have inputs 1×8×8 and 3 outputs, others .* 10 outputs; fit it to each kind"
    ):
        module.require(populations[2])
    with pytest.raises(ValueError, match="4 of 4 networks have weights that are NaN or infinite"):
        module.require(populations[0].with_weights(populations[0].weights_MP / 0))


def test_probes_begin_at_training_examples_or_at_noise_like_them():
    probes = FreeProbes(SMALL, DIGITS.input_shape)
    probes.begin(DIGITS.train)
    same_NN = (probes().flatten(1)[:, None] == DIGITS.train.inputs.flatten(1)).all(2)
    assert (same_NN.sum(1) >= 1).all()
    few = DIGITS.train.first(3)
    probes.begin(few)
    assert torch.equal(probes()[:2], probes()[3:])
    noise = FreeProbes(dataclasses.replace(SMALL, probes="noise", count=200), DIGITS.input_shape)
    noise.begin(DIGITS.train)
    for moment in (torch.mean, torch.std):
        assert float(moment(noise().detach())) == pytest.approx(float(moment(DIGITS.train.inputs)), abs=0.02)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 3, 5), (3, 9, 40), (10,)])
def test_generated_probes_have_the_inputs_shape_and_lie_between_the_examples_extremes(shape):
    probes = GeneratedProbes(dataclasses.replace(SMALL, channels=2), shape)
    probes.begin(Examples(torch.tensor([[-2.0], [3.0]]), torch.zeros(2, 1)))
    with torch.no_grad():
        probes.codes.mul_(1e4)
        made = probes()
    assert made.shape == (SMALL.count, *shape)
    assert float(made.min()) == -2
    assert float(made.max()) == 3


def test_the_generator_for_cifar_has_the_published_layers():
    generator = GeneratedProbes(ProbingConfig(probes="generator"), (1, 32, 32)).generator
    found = [(part.in_channels, part.out_channels, part.kernel_size[0], part.stride[0]) for part in generator]
    assert found == [(32, 128, 4, 1), (128, 64, 4, 2), (64, 32, 4, 2), (32, 32, 3, 1), (32, 16, 4, 2), (16, 1, 3, 1)]
