"""Architectures as data: layout, symmetry, forward, modules, JSON."""

import pytest
import torch
from torch import nn

from zoo.activations import ACTIVATIONS
from zoo.architecture import Activate, Architecture, Flatten, Linear, mlp
from zoo.population import Member, Population, single_architecture

CASES = [
    mlp((1, 8, 8), (16,), 10),
    mlp((1, 4, 4), (5,), 4, activation="tanh", bias=False),
    mlp((3, 4, 4), (12, 9, 7), 6, activation="silu"),
    mlp((1, 8, 8), (), 10),
]


def random_weights(architecture, members=4, seed=0):
    return torch.randn(members, architecture.parameters, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("architecture", CASES)
def test_batched_forward_equals_the_modules(architecture):
    weights = random_weights(architecture)
    x = torch.randn(7, *architecture.input_shape, generator=torch.Generator().manual_seed(1))
    logits = architecture.logits(weights, x)
    assert logits.shape == (4, 7, architecture.classes)
    for row in range(4):
        expected = architecture.to_module(weights[row])(x)
        torch.testing.assert_close(logits[row], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", CASES)
def test_module_and_tensors_are_inverses(architecture):
    weights = random_weights(architecture)
    assert torch.equal(architecture.flatten(architecture.tensors(weights)), weights)
    assert torch.equal(architecture.from_module(architecture.to_module(weights[2])), weights[2])


@pytest.mark.parametrize("architecture", CASES)
def test_json_is_the_identity(architecture):
    assert Architecture.from_json(architecture.to_json()) == architecture


@pytest.mark.parametrize("architecture", CASES)
def test_every_permutation_of_the_symmetry_keeps_the_function(architecture):
    weights = random_weights(architecture)
    tensors = {name: tensor.clone() for name, tensor in architecture.tensors(weights).items()}
    generator = torch.Generator().manual_seed(2)
    for axes in architecture.symmetry.values():
        size = tensors[axes[0][0]].shape[axes[0][1] + 1]
        order = torch.randperm(size, generator=generator)
        for name, axis in axes:
            tensors[name] = tensors[name].index_select(axis + 1, order)
    moved = architecture.flatten(tensors)
    x = torch.randn(7, *architecture.input_shape, generator=generator)
    torch.testing.assert_close(architecture.logits(moved, x), architecture.logits(weights, x), rtol=1e-4, atol=1e-4)
    assert bool(architecture.symmetry) == (not torch.equal(moved, weights))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_gradients_equal_autograd(name):
    activation = ACTIVATIONS[name]
    pre = torch.linspace(-4, 4, 101, requires_grad=True)
    post = activation.forward(pre)
    upstream = torch.linspace(-1, 2, 101)
    post.backward(upstream)
    gradient = upstream.clone()
    activation.backward_(gradient, pre.detach(), post.detach())
    torch.testing.assert_close(gradient, pre.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(activation.module()(pre), post)
    scaled = activation.forward(3 * pre.detach())
    assert activation.homogeneous == torch.allclose(scaled, 3 * post.detach(), atol=1e-6)


def test_after_activation_sees_and_replaces_hidden_values():
    architecture = CASES[2]
    weights, x = random_weights(architecture), torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    seen = []

    def zero(number, value):
        seen.append((number, tuple(value.shape)))
        return torch.zeros_like(value)

    logits = architecture.logits(weights, x, zero)
    assert seen == [(0, (4, 5, 12)), (1, (4, 5, 9)), (2, (4, 5, 7))]
    bias = architecture.tensors(weights)[architecture.layout[-1].name]
    assert torch.equal(logits, bias[:, None].expand_as(logits))


def test_a_mixed_population_applies_each_members_own_architecture():
    architectures = tuple(mlp((1, 4, 4), (5,), 4, activation=name) for name in ("relu", "tanh", "sigmoid"))
    weights = random_weights(architectures[0], 7)
    kinds = torch.tensor([2, 0, 1, 1, 0, 2, 0])
    population = Population(
        weights_MP=weights,
        architectures=architectures,
        architecture_M=kinds,
        members=tuple(Member(id=i, seed=i) for i in range(7)),
        epochs=tuple(range(7)),
    )
    x = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(4))
    logits = population.logits(x)
    for row in range(7):
        expected = architectures[kinds[row]].logits(weights[row : row + 1], x)[0]
        torch.testing.assert_close(logits[row], expected)
    part = population.select([5, 0])
    torch.testing.assert_close(part.logits(x), logits[[5, 0]])
    assert [member.id for member in part.members] == [5, 0]
    assert part.epochs == (5, 0)


def test_a_population_has_one_layout_and_matching_rows():
    a, b = mlp((1, 4, 4), (5,), 4), mlp((1, 4, 4), (6,), 4)
    member = Member(id=0, seed=0)
    with pytest.raises(ValueError, match="one parameter layout"):
        Population(
            weights_MP=random_weights(a, 1), architectures=(a, b), architecture_M=torch.tensor([0]), members=(member,)
        )
    with pytest.raises(ValueError, match="expected \\[members, 109\\]"):
        single_architecture(a, torch.zeros(1, 3), [member])
    with pytest.raises(ValueError, match="must be equal"):
        single_architecture(a, random_weights(a, 2), [member])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Activate(function="swish"), "unknown activation 'swish'; known: relu"),
        (lambda: Linear(features=0), "Linear.features is 0"),
        (lambda: Architecture((1, 4, 4), (Linear(features=3),)).layout, "put a Flatten before it"),
        (lambda: Architecture((1, 4, 4), ()), "ends in one vector of logits"),
        (lambda: Architecture.from_json({"input_shape": [4], "layers": [{"kind": "magic"}]}), "unknown layer kind"),
        (lambda: Architecture.from_json({"input_shape": [4], "layers": [{"kind": "linear", "size": 2}]}), "size"),
        (lambda: CASES[0].logits(torch.zeros(2, 9), torch.zeros(1, 1, 8, 8)), "expected \\[members, 1210\\]"),
        (lambda: CASES[0].from_module(nn.Sequential(Flatten().module((1,)), nn.Linear(4, 4))), "expected \\(16, 64\\)"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
