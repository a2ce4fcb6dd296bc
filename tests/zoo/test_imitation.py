import pytest
import torch
from architectures import random_weights

from zoo.architecture import cnn, mlp
from zoo.architecture.activations import ACTIVATIONS
from zoo.data.examples import Examples
from zoo.evaluation import Imitation
from zoo.population import Population, single_architecture
from zoo.training.lanes import backend

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(256, (150, 1, 8, 8), generator=GENERATOR, dtype=torch.uint8)
EXAMPLES = Examples(IMAGES, torch.zeros(150, dtype=torch.int64), 1 / 255)


def expected(architecture, weights_MP, original_MP, chosen, *, softmax):
    """Distances on all examples, and gradients of those on the chosen ones, member by member."""
    distances, gradients = [], []
    for row in range(len(weights_MP)):
        own_P, original_P = weights_MP[row].clone().requires_grad_(), original_MP[row]
        wanted_NC = architecture.logits(original_P[None], EXAMPLES.inputs)[0]
        given_NC = architecture.logits(own_P[None], EXAMPLES.inputs)[0]
        if softmax:
            log_NC = wanted_NC.log_softmax(1)
            each_N = (log_NC.exp() * (log_NC - given_NC.log_softmax(1))).sum(1)
        else:
            each_N = (given_NC - wanted_NC).square().mean(1) / wanted_NC.sub(wanted_NC.mean(0)).square().mean()
        distances.append(each_N.mean().detach())
        gradients.append(torch.autograd.grad(each_N[chosen].mean(), own_P)[0])
    return torch.stack(distances), torch.stack(gradients)


@pytest.mark.parametrize("kernel", ["lanes", "torch"])
@pytest.mark.parametrize("softmax", [True, False], ids=["classes", "numbers"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("build", [mlp, cnn])
def test_distances_and_gradients_are_those_of_each_member(build, activation, softmax, kernel, monkeypatch):
    monkeypatch.setenv(backend.SWITCH, kernel)
    architecture = build((1, 8, 8), (5,), 4, activation=activation)
    original_MP = random_weights(architecture, 18)
    weights_MP = original_MP + 0.1 * torch.randn(original_MP.shape, generator=torch.Generator().manual_seed(1))
    chosen = torch.tensor([3, 149, 0, 77, 20, 21, 5])
    imitation = Imitation(single_architecture(architecture, original_MP, ()), EXAMPLES, softmax=softmax, batch=7)
    distance_M, gradient_MP = expected(architecture, weights_MP, original_MP, chosen, softmax=softmax)
    torch.testing.assert_close(imitation.distance(weights_MP), distance_M, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(imitation.gradients(weights_MP, chosen), gradient_MP, rtol=1e-3, atol=1e-5)
    assert float(imitation.distance(original_MP).abs().max()) < 1e-5


def test_examples_in_floating_point_are_imitated_too():
    architecture = mlp((3,), (5,), 4, activation="tanh")
    examples = Examples(torch.randn(20, 3, generator=torch.Generator().manual_seed(2)), torch.zeros(20).long())
    population = single_architecture(architecture, random_weights(architecture, 3), ())
    imitation = Imitation(population, examples, softmax=True, batch=20)
    assert float(imitation.gradients(population.weights_MP, torch.arange(20)).abs().max()) < 1e-5


def test_several_architectures_are_refused():
    architectures = tuple(mlp((1, 8, 8), (5,), 4, activation=name) for name in ("relu", "tanh"))
    population = Population(
        weights_MP=random_weights(architectures[0], 2),
        architectures=architectures,
        architecture_M=torch.tensor([0, 1]),
    )
    with pytest.raises(ValueError, match="several architectures"):
        Imitation(population, EXAMPLES, softmax=True, batch=7)


@pytest.mark.parametrize("row", [-1, 150])
def test_examples_that_there_are_not_are_refused(row):
    architecture = mlp((1, 8, 8), (5,), 4, activation="relu")
    population = single_architecture(architecture, random_weights(architecture, 3), ())
    with pytest.raises(ValueError, match="examples go from"):
        Imitation(population, EXAMPLES, softmax=True, batch=7).gradients(population.weights_MP, torch.tensor([row]))
