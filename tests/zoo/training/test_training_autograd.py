"""Training of every kind of architecture by automatic differentiation, against the per-model reference."""

import pytest
import torch
import torch.nn.functional as F
from architectures import small_net
from lanes_training import chosen_backend, obstacle_of
from reference_training import train_one

from zoo.architecture import (
    Activate,
    Architecture,
    Flatten,
    Linear,
    MaxPool,
    cnn_2464,
    cnn_4970,
    mlp,
    resnet,
)
from zoo.architecture.activations import ACTIVATIONS
from zoo.data import Examples, load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import OPTIMIZERS
from zoo.training.train import train_population

DIGITS = load_dataset("digits").train
RATES = {"sgd": 0.05, "momentum": 0.01, "adam": 2e-3, "adamw": 2e-3, "rmsprop": 5e-4}
MNIST_SHAPE = (1, 28, 28)


def enlarged(count):
    few = DIGITS.first(count)
    pixels = F.interpolate(few.values.float(), size=28, mode="bilinear").round().to(torch.uint8)
    return Examples(pixels, few.targets, few.scale)


def steps_of(architecture, members, data, epochs):
    weights = torch.empty(len(members), architecture.parameters)
    for snapshot in train_population(
        architecture, members, data, epochs=epochs, snapshot_epochs=[epochs], backend="autograd"
    ):
        weights[list(snapshot.rows)] = snapshot.weights_MP
    return weights


def assert_parity(architecture, members, data, *, epochs=1, median=1e-6, worst=1e-4):
    """Where rounding flips the sign of a unit's input, training parts from there, in torch's own float32 too.

    So there are few steps where functions have kinks.
    """
    weights = steps_of(architecture, members, data, epochs)
    start = initial_weights(architecture, members)
    for row, member in enumerate(members):
        *_, (_, expected) = train_one(architecture, member, start[row], data, epochs)
        difference = (weights[row] - expected).abs()
        assert difference.median() <= median, (member, difference.median())
        assert difference.max() <= worst, (member, difference.max())
        assert (expected - start[row]).abs().median() > 10 * median


def members_with(optimizer, count=3, **changes):
    return [
        Member(
            id=i, seed=i, optimizer=optimizer, learning_rate=RATES[optimizer] * (1 + i), batch_size=16,
            weight_decay=1e-2 * i, dropout=0.15 * i, **changes,
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("build", [cnn_2464, cnn_4970])
def test_the_published_networks_equal_the_reference_for_some_steps(build, optimizer):
    assert_parity(build(MNIST_SHAPE, (), 10), members_with(optimizer), enlarged(5 * 16))


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_batch_norm_residuals_and_pools_equal_the_reference(optimizer, own_order):
    members = [
        Member(id=i, seed=i, optimizer=optimizer, learning_rate=RATES[optimizer], batch_size=16,
               dropout=0.1 * (i % 3), weight_decay=1e-3 * (i % 2), order_seed=i if own_order else i // 2)
        for i in range(6)
    ]  # fmt: skip
    assert_parity(small_net(), members, DIGITS.first(160))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_equals_the_reference(activation):
    # Adam would make whole steps of gradients that are rounding alone.
    assert_parity(small_net(activation), members_with("momentum"), DIGITS.first(4 * 16))


@pytest.mark.parametrize(("activation", "epochs"), [("relu", 1), ("tanh", 6)])
def test_a_small_resnet_equals_the_reference(activation, epochs):
    architecture = resnet((1, 8, 8), (4, 8), 10, activation=activation)
    assert_parity(architecture, members_with("momentum"), DIGITS.first(5 * 16), epochs=epochs)


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
def test_what_comes_before_the_first_parameters_is_dropped_too(own_order):
    first = (Activate(function="tanh"), MaxPool(size=2), Flatten(), Linear(features=10))
    members = [Member(id=i, seed=i, dropout=0.3, batch_size=16, order_seed=i * own_order) for i in range(3)]
    with torch.no_grad():  # whatever the caller's mode is
        weights = steps_of(Architecture((1, 8, 8), first), members, DIGITS.first(80), 1)
    assert torch.equal(weights, steps_of(Architecture((1, 8, 8), first), members, DIGITS.first(80), 1))
    assert_parity(Architecture((1, 8, 8), first), members, DIGITS.first(80))


def test_running_statistics_are_stored_and_not_optimized():
    architecture = small_net()
    buffers = ~architecture.trainable
    members = [Member(id=0, seed=0, weight_decay=0.5, learning_rate=0.1, optimizer="adamw", batch_size=16)]
    still, moved = (steps_of(architecture, members, DIGITS.first(n), 1)[0] for n in (16, 160))
    start = initial_weights(architecture, members)[0]
    assert buffers.any()
    assert not torch.equal(still[buffers], start[buffers])
    module = architecture.to_module(start).train()
    with torch.no_grad():
        module(DIGITS.inputs[:16])  # one batch moves them as far as torch says, whatever the optimizer does
    assert torch.allclose(still[buffers], architecture.from_module(module)[buffers], atol=1e-6)
    assert torch.isfinite(moved).all()


def test_it_is_chosen_where_nothing_faster_can_do_it():
    kind = chosen_backend(mlp((1, 8, 8), (4,), 10), name="autograd")[1]
    assert obstacle_of("autograd", small_net(), "cuda") is None
    few, many = (kind.members_at_once(small_net(), 16, torch.device(name)) for name in ("cpu", "cuda"))
    assert 1 <= few < many
