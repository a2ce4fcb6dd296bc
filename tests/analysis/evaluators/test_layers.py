"""Hidden layers beside those of others: known answers, and a slow reference by torch's modules."""

import numpy as np
import pytest
import torch
from torch import nn

from analysis.evaluators import layers
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.evaluators.layers import EXAMPLES, LAYERS, Given, Layer, layers_of, run
from analysis.measuring.evaluating import measure
from analysis.measuring.evaluation import Evaluation
from analysis.statistics.intervals import Bootstrap
from trainables.encoders.augmentation import permuted
from zoo.architecture import Activate, Architecture, Conv, Flatten, GlobalAveragePool, Linear
from zoo.population import Population, single_architecture

GENERATOR = torch.Generator().manual_seed(0)
CNN = Architecture(
    (1, 8, 8),
    (
        *(Conv(channels=3, kernel=3), Activate(function="relu")),
        *(Conv(channels=4, kernel=3, stride=2), Activate(function="tanh")),
        *(Flatten(), Linear(features=10)),
    ),
)


def layer(members=3, examples=40, units=6, positions=1):
    return torch.randn(members, examples, positions, units, generator=GENERATOR)


def cka(before, after):
    return layers.cka(*([Layer.of(each.clone()) for each in given] for given in (before, after)))


def error(before_MNSU, after_MNSU):
    return layers.error(Layer.of(before_MNSU.clone()), Given.of(after_MNSU.clone()))


def agreement(before_MNSU, after_MNSU):
    return layers.agreement(*(Given.of(each.clone()) for each in (before_MNSU, after_MNSU)))


def matched(before_MNSU, after_MNSU):
    return whole(layers.matched(*(Given.of(each.clone()) for each in (before_MNSU, after_MNSU))))


def whole(values):
    return values.centered_MNSU + values.mean_MSU.unsqueeze(1)


def reference_cka(x_ND, y_ND):
    """By centered Gram matrices, as the paper's equations have it."""
    center_NN = np.eye(len(x_ND)) - 1 / len(x_ND)
    k_NN, l_NN = (center_NN @ (each @ each.T) @ center_NN for each in (x_ND, y_ND))
    return np.trace(k_NN @ l_NN) / np.sqrt(np.trace(k_NN @ k_NN) * np.trace(l_NN @ l_NN))


@pytest.fixture(scope="module")
def original(small_zoo):
    return Subject(next(iter(small_zoo.populations("train", epochs="last"))).select(range(12)))


@pytest.fixture(scope="module")
def data(small_zoo):
    dataset = small_zoo.dataset()
    return EvaluationData(dataset, dataset.test)


@pytest.fixture(scope="module")
def convolutions(small_zoo):
    dataset = small_zoo.dataset()
    weights_MP = 0.3 * torch.randn(4, CNN.parameters, generator=GENERATOR)
    return Subject(single_architecture(CNN, weights_MP)), EvaluationData(dataset, dataset.test.first(60))


def noisy(subject, size):
    population = subject.population
    noise_MP = size * torch.randn(population.weights_MP.shape, generator=GENERATOR)
    return Subject(population.with_weights(population.weights_MP + noise_MP))


@pytest.mark.parametrize("units", [6, 60])  # fewer and more than examples
def test_rotations_scales_permutations_and_shifts_change_nothing(units):
    x = layer(units=units)
    rotation, _ = torch.linalg.qr(torch.randn(units, units, generator=GENERATOR))
    order = torch.randperm(units, generator=GENERATOR)
    for changed in (x @ rotation, 3 * x, x[..., order], x + torch.arange(units)):
        assert cka([x], [changed]).flatten().tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert float(cka([x], [layer(units=units)]).max()) < 0.9


def test_orthogonal_directions_have_nothing_in_common():
    x = torch.zeros(1, 8, 1, 2)
    x[0, :, 0, 0] = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1])
    x[0, :, 0, 1] = torch.tensor([1.0, 1, -1, -1, 1, 1, -1, -1])
    one, other = x[..., :1], x[..., 1:]
    found = cka([one, x], [one, other, x][:2])
    assert found[0, 0].tolist() == pytest.approx([1, 0])
    # Of two equal and orthogonal directions, one: 1 / sqrt(1 · 2).
    assert found[0, 1].tolist() == pytest.approx([0.5**0.5] * 2)


def test_it_is_the_paper_s_for_layers_of_any_widths():
    given = [layer(units=5), layer(units=3, positions=20), layer(units=70)]
    rebuilt = [layer(units=4, positions=30), layer(units=7), layer(units=50)]
    found_MLL = cka(given, rebuilt)
    for member in range(3):
        expected = [
            [
                reference_cka(x[member].flatten(1).double().numpy(), y[member].flatten(1).double().numpy())
                for y in rebuilt
            ]
            for x in given
        ]
        assert found_MLL[member].numpy() == pytest.approx(np.array(expected), abs=1e-5)


def test_a_layer_that_never_changes_is_like_no_other():
    x, constant = layer(members=1), torch.full((1, 40, 1, 6), 0.3)
    found = cka([x, constant], [x, constant])[0]
    assert found.numpy() == pytest.approx(np.eye(2), abs=1e-6)
    assert error(constant, constant).tolist() == [0]
    assert error(constant, x).tolist() == [1]


def test_units_are_matched_again_after_a_permutation():
    x = layer(positions=4)
    order = torch.randperm(6, generator=GENERATOR)
    scales = torch.tensor([0.1, 1, 2, 5, 30, 100])  # which ReLU networks can have as they like
    found = matched(x, scales * (x[..., order] + 0.01 * layer(positions=4)))
    assert float(error(x, found).max()) < 0.02
    assert float(agreement(x, found).min()) > 0.97
    assert float(error(x, x[..., order]).min()) > 1


def test_no_factor_is_better_than_the_one_that_is_found():
    x, y = layer(members=1, units=1), layer(members=1, units=1).abs() + 0.5 * layer(members=1, units=1)
    least = float(error(x.abs(), matched(x.abs(), y)))
    tried = [float(error(x.abs(), factor * y)) for factor in np.linspace(0, 3, 601)]
    assert least == pytest.approx(min(tried), abs=1e-4)
    assert float(matched(x.abs(), -y.abs()).abs().max()) == 0  # none below zero


def test_softmax_does_not_see_the_mean_over_outputs(original, data):
    population = original.population
    weights_MP = population.weights_MP.clone()
    population.architecture.tensors(weights_MP)["3.bias"].add_(7)
    found = run(Subject(population.with_weights(weights_MP)), original, data)
    assert float(found["layer_error 2"].max()) < 1e-4
    assert float(found["layer_cka 2 2"].min()) > 1 - 1e-5


def test_of_units_that_give_their_mean_the_error_is_one_and_of_opposite_ones_nothing_agrees():
    x = layer()
    assert error(x, x.mean(1, keepdim=True).expand(x.shape)).tolist() == pytest.approx([1.0] * 3)
    assert agreement(x, x).tolist() == [1.0] * 3
    assert agreement(x, 2 * x.mean(1, keepdim=True) - x).tolist() == pytest.approx([0.0] * 3, abs=1e-6)


@pytest.mark.parametrize("which", ["mlp", "cnn"])
def test_activations_are_those_of_the_exact_networks(original, data, convolutions, which):
    subject, own = (original, data) if which == "mlp" else convolutions
    population, x = subject.population, own.examples.first(20).inputs
    found = [whole(layer.given) for layer in layers_of(population, x, softmax=False)]
    for member in range(len(population)):
        architecture = population.architectures[int(population.architecture_M[member])]
        module, values, given = architecture.to_module(population.weights_MP[member]), x, []
        for part in module:
            values = part(values)
            if not isinstance(part, nn.Linear | nn.Conv2d | nn.Flatten) or part is module[-1]:
                given.append(values)
        assert len(given) == len(found)
        for expected, layer_MNSU in zip(given, found, strict=True):
            units_last = expected.flatten(2).mT if expected.ndim > 2 else expected
            torch.testing.assert_close(layer_MNSU[member].flatten(1), units_last.flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", ["mlp", "cnn"])
def test_all_members_at_once_are_one_after_the_other(original, data, convolutions, which, monkeypatch):
    subject, own = (original, data) if which == "mlp" else convolutions
    after = noisy(subject, 0.05)
    found = run(after, subject, own)
    monkeypatch.setattr("analysis.evaluators.layers.AT_ONCE", 1)
    alone = run(after, Subject(subject.population), own)
    assert set(alone) == set(found)
    for name, values_M in found.items():
        torch.testing.assert_close(values_M, alone[name], rtol=1e-4, atol=1e-5)
    x = own.examples.first(EXAMPLES).inputs
    before, rebuilt = (
        [whole(each.given) for each in layers_of(one.population, x, softmax=False)] for one in (subject, after)
    )
    expected = [
        reference_cka(x.flatten(1).double().numpy(), y.flatten(1).double().numpy())
        for x, y in zip(before[0], rebuilt[0], strict=True)
    ]
    assert found["layer_cka 1 1"].numpy() == pytest.approx(expected, abs=1e-5)
    # A member's other one is half the population away.
    other = [
        reference_cka(x.flatten(1).double().numpy(), y.flatten(1).double().numpy())
        for x, y in zip(before[0], before[0].roll(-(len(subject) // 2), 0), strict=True)
    ]
    assert found["layer_cka_others 1 1"].numpy() == pytest.approx(other, abs=1e-5)


def test_networks_without_finite_outputs_are_refused(original, data):
    weights_MP = original.population.weights_MP.clone()
    weights_MP[1:3] = float("nan")
    broken = Subject(original.population.with_weights(weights_MP))
    with pytest.raises(ValueError, match="2 networks of the population have outputs that are not finite; leave them"):
        run(broken, original, data)


def test_each_is_beside_the_one_half_the_population_on(original, data):
    population = original.population
    five, pair = population.select(range(5)), population.select([4, 1])
    found, expected = (run(Subject(each), Subject(each), data) for each in (five, pair))
    for name in ("layer_cka_others 1 2", "layer_agreement_others 1", "layer_error_others 1"):
        assert float(found[name][4]) == pytest.approx(float(expected[name][0]), rel=1e-5)


def test_a_permuted_network_is_the_same_in_every_layer(original, data):
    population = original.population
    weights_MP = torch.empty_like(population.weights_MP)
    for architecture, rows in population.groups():
        weights_MP[rows] = permuted(population.weights_MP[rows], architecture, torch.Generator().manual_seed(0))
    found = run(Subject(population.with_weights(weights_MP)), original, data)
    for name, best in (("layer_cka", 1), ("layer_cka_least", 1), ("layer_agreement", 1), ("layer_error", 0)):
        assert found[name].tolist() == pytest.approx([best] * 12, abs=1e-3)
    assert float(found["layer_error_others 1"].min()) > 0.3


def test_more_noise_is_less_alike_and_values_of_layers_are_kept(original, small_zoo):
    dataset = small_zoo.dataset()
    evaluation = Evaluation.of([LAYERS], dataset, examples=100, inputs=[], bootstrap=Bootstrap(replicates=20))
    rows = [measure(evaluation, [noisy(original, size)], original) for size in (0.01, 0.1, 0.5)]
    ckas = [metrics["layer_cka"].estimate for metrics, _ in rows]
    assert ckas == sorted(ckas, reverse=True)
    assert ckas[0] > 0.99 > ckas[2]
    metrics, values = rows[1]
    assert set(metrics) == {measure.metric.name for measure in LAYERS.measures}
    assert {"layer_cka 1 1", "layer_cka 1 2", "layer_error_others 2"} <= set(values)
    assert all(len(each) == 12 for each in values.values())


def test_networks_without_hidden_layers_and_of_different_shapes_have_no_values(data):
    straight = Architecture((1, 8, 8), (Flatten(), Linear(features=10)))
    one = Subject(single_architecture(straight, torch.zeros(2, straight.parameters)))
    assert run(one, one, data) == {}
    both = tuple(  # one layout
        Architecture(
            (1, 8, 8),
            (
                *(Conv(channels=3, kernel=3, padding=padding), Activate(function="relu")),
                *(GlobalAveragePool(), Linear(features=10)),
            ),
        )
        for padding in (0, 1)
    )
    weights_MP = torch.zeros(2, both[0].parameters)
    mixed = Subject(Population(weights_MP=weights_MP, architectures=both, architecture_M=torch.tensor([0, 1])))
    assert run(mixed, mixed, data) == {}


def test_one_member_has_no_other(original, data):
    single = Subject(original.population.select([0]))
    assert not any("others" in name for name in run(single, single, data))
