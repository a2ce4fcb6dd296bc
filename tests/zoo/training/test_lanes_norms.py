"""Residual connections and batch norms in the SIMD kernel, against the per-model reference."""

import pytest
import torch
from architectures import random_weights
from lanes_training import CPU, assert_parity, obstacle_of, random_images, trained

from zoo.architecture import (
    Activate,
    Architecture,
    AveragePool,
    BatchNorm,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Rescale,
    Residual,
    resnet,
)
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import OPTIMIZERS
from zoo.training.lanes import backend, logits
from zoo.training.lanes.program import compiled

TANH, GELU, NORM = Activate(function="tanh"), Activate(function="gelu"), BatchNorm()


def conv(channels, kernel=3, *, stride=1, padding=None, bias=True):
    padding = kernel // 2 if padding is None else padding
    return Conv(channels=channels, kernel=kernel, stride=stride, padding=padding, bias=bias)


RESIDUALS = {
    "identity": (conv(3), TANH, Residual(body=(conv(3), TANH, conv(3))), TANH, GlobalAveragePool(), Linear(features=4)),
    "projection": (
        conv(3, bias=False), TANH,
        Residual(body=(conv(5, stride=2), GELU, conv(5)), shortcut=(conv(5, 1, stride=2),)),
        TANH, Flatten(), Linear(features=4),
    ),
    "both branches end in activations": (
        conv(3), Residual(body=(conv(3), TANH), shortcut=(conv(3, 1), GELU)), GlobalAveragePool(), Linear(features=4),
    ),
    "both branches begin with activations": (
        conv(3), Residual(body=(TANH, conv(3)), shortcut=(Activate(function="sigmoid"), conv(3, 1))), TANH,
        GlobalAveragePool(), Linear(features=4),
    ),
    "activations alone": (
        conv(3, stride=2), Residual(body=(TANH,)), Residual(body=(GELU,), shortcut=(Activate(function="silu"),)),
        Flatten(), Linear(features=4),
    ),
    "windows of different sizes read the same": (
        conv(2), TANH, Residual(body=(conv(3, 3), TANH), shortcut=(conv(3, 5),)), TANH, Flatten(), Linear(features=4),
    ),
    "pools and a convolution read the same": (
        conv(3), TANH, Residual(body=(conv(3), MaxPool(size=3, stride=1)), shortcut=(AveragePool(size=3, stride=1),)),
        TANH, Residual(body=(conv(3), AveragePool(size=2)), shortcut=(MaxPool(size=2),)), Flatten(), Linear(features=4),
    ),
    "a linear layer and a convolution read the same": (
        conv(2, stride=2), TANH,
        Residual(body=(conv(3), TANH, Flatten(), Linear(features=5)), shortcut=(Flatten(), Linear(features=5))),
        TANH, Linear(features=4),
    ),
    "in one another": (
        conv(3), TANH,
        Residual(
            body=(
                Residual(body=(conv(4, stride=2), TANH), shortcut=(AveragePool(size=2), conv(4, 1, bias=False))),
                Residual(body=(Residual(body=(conv(4), TANH)), TANH)),
            ),
            shortcut=(conv(4, 2, stride=2, padding=0),),
        ),
        TANH, Flatten(), Linear(features=4),
    ),
    "vectors": (
        Flatten(), Linear(features=5), Residual(body=(TANH, Linear(features=5))), TANH,
        Residual(body=(Linear(features=7), TANH, Linear(features=5)), shortcut=(Linear(features=5, bias=False),)),
        Residual(body=(GELU,)), Linear(features=4),
    ),
    "flattened images, and logits": (
        Rescale(scale=2, offset=-1), conv(2), TANH, Residual(body=(Flatten(),), shortcut=(Flatten(),)),
        Linear(features=4), Residual(body=(Linear(features=4),)),
    ),
}  # fmt: skip

NORMS = {
    "images": (
        conv(3, bias=False), NORM, TANH, conv(4, bias=False), NORM, GELU, GlobalAveragePool(), Linear(features=4),
    ),
    "before padding and after": (
        conv(3), TANH, NORM, conv(4), TANH, NORM, MaxPool(size=2), Flatten(), Linear(features=4),
    ),
    "vectors": (
        Flatten(), Linear(features=6, bias=False), NORM, TANH, Linear(features=5), TANH, NORM, Linear(features=4),
    ),
    "flattened images": (conv(3), TANH, Flatten(), NORM, Linear(features=4)),
    "two, and of logits": (conv(3), NORM, NORM, TANH, MaxPool(size=2), Flatten(), Linear(features=4, bias=False), NORM),
    "in both branches": (
        conv(3, bias=False), NORM, TANH,
        Residual(
            body=(conv(4, stride=2, bias=False), NORM, TANH, conv(4, bias=False), NORM),
            shortcut=(conv(4, 1, stride=2, bias=False), NORM),
        ),
        TANH, GlobalAveragePool(), Linear(features=4),
    ),
    "first in a branch": (
        conv(3), Residual(body=(NORM, TANH, conv(3, bias=False), NORM, TANH, conv(3))), Residual(body=(NORM,)),
        GlobalAveragePool(), Linear(features=4),
    ),
    "a convolution and norms read the same": (
        conv(2), TANH,
        Residual(
            body=(conv(2), Flatten(), NORM, Linear(features=5)),
            shortcut=(Residual(body=(NORM,), shortcut=(TANH, NORM)), Flatten(), NORM, Linear(features=5)),
        ),
        TANH, Linear(features=4),
    ),
}  # fmt: skip

EVERY = RESIDUALS | NORMS


def some_members(count, **changes):
    """Whole groups of sixteen with one order, and one of members with several."""
    return [
        Member(
            id=i, seed=i, batch_size=10, learning_rate=2e-3, order_seed=i // 18, dropout=0.2 * (i % 2),
            weight_decay=1e-2 * (i % 3), **changes,
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_every_kind_equals_the_reference(name):
    architecture = Architecture((2, 6, 6), EVERY[name])
    assert obstacle_of("lanes", architecture, CPU) is None
    # Of a bias before a batch norm the gradient is rounding alone: Adam would make whole steps of it.
    members = some_members(36, optimizer="momentum")
    assert_parity(architecture, members, random_images(43, (2, 6, 6), 4), checked=[0, 15, 17, 35])


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_equals_the_reference(optimizer, own_order):
    rate = {"sgd": 0.05, "momentum": 0.01, "adam": 2e-3, "adamw": 2e-3, "rmsprop": 5e-4}[optimizer]
    architecture = resnet((1, 8, 8), (3, 5), 4, activation="tanh")
    members = [
        Member(id=i, seed=i, optimizer=optimizer, learning_rate=rate, batch_size=16, dropout=0.1 * (i % 3),
               weight_decay=1e-3 * (i % 2), order_seed=i * own_order)
        for i in range(17)
    ]  # fmt: skip
    assert_parity(architecture, members, random_images(85, (1, 8, 8), 4), epochs=2, checked=[0, 1, 16], worst=1e-4)


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
def test_a_step_in_uneven_pieces_equals_the_reference(own_order):
    architecture = resnet((1, 10, 10), (3, 3), 4, activation="silu")
    pieces = compiled(architecture, 7, training=True).pieces
    assert 1 < pieces.own_at_once <= pieces.at_once < 7 == pieces.kept
    members = [Member(id=i, seed=i, batch_size=7, dropout=0.1 * (i % 3), order_seed=i * own_order) for i in range(3)]
    assert_parity(architecture, members, random_images(35, (1, 10, 10), 4), worst=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_running_statistics_move_as_far_as_torch_says_whatever_the_optimizer_does(optimizer):
    architecture = Architecture((2, 6, 6), NORMS["in both branches"])
    data = random_images(12, (2, 6, 6), 4)
    member = Member(id=0, seed=0, weight_decay=0.5, learning_rate=0.1, optimizer=optimizer, batch_size=12)
    start = initial_weights(architecture, [member])[0]
    buffers = ~architecture.trainable
    module = architecture.to_module(start).train()
    with torch.no_grad():
        module(data.inputs)
    (weights,) = trained(architecture, [member], data)
    assert torch.allclose(weights[buffers], architecture.from_module(module)[buffers], atol=1e-6)
    assert not torch.equal(weights[buffers], start[buffers])


def test_means_that_are_large_do_not_cost_the_variance_its_digits():
    architecture = Architecture((1, 6, 6), (conv(3, padding=0), NORM, TANH, GlobalAveragePool(), Linear(features=4)))
    data = random_images(64, (1, 6, 6), 4)
    member = Member(id=0, seed=0, batch_size=64, learning_rate=1e-6)
    start = initial_weights(architecture, [member])
    bias = architecture.layout[1]
    start[:, bias.span] = 300
    (weights,) = trained(architecture, [member], data, initial_MP=start)
    variance = next(spec for spec in architecture.layout if spec.name == "1.running_var")
    x = torch.nn.functional.conv2d(data.inputs.double(), architecture.tensors(start)["0.weight"][0].double())
    expected = 0.9 + 0.1 * x.var((0, 2, 3))
    assert torch.allclose(weights[variance.span].double(), expected, rtol=1e-6)


@pytest.mark.parametrize("architecture", [
    *(Architecture((2, 22, 22), (Conv(channels=2, kernel=17), *layers)) for layers in EVERY.values()
      if not any(isinstance(layer, Rescale) for layer in layers)),
    resnet((2, 22, 22), (4, 6), 10, activation="relu"),
])  # fmt: skip
def test_logits_equal_those_of_the_architecture(architecture):
    images = random_images(37, (2, 22, 22))
    weights = random_weights(architecture, 21, seed=1)
    for spec in architecture.layout:
        if spec.name.endswith("running_var"):
            weights[3, spec.span] = -1e-9  # as a lossy codec may leave it
    expected = architecture.logits(weights, images.inputs)
    difference = (logits(architecture, weights, images) - expected).abs()
    assert (difference.amax((1, 2)) <= 2e-5 * expected.abs().amax((1, 2))).all()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", ["in one another", "in both branches", "a convolution and norms read the same"])
def test_a_member_has_the_same_bits_in_any_company_and_lane(name, dropout):
    architecture = Architecture((1, 6, 6), EVERY[name])
    data = random_images(64, (1, 6, 6), 4)
    members = [
        Member(id=i, seed=i, order_seed=i % 2, batch_size=16, dropout=dropout * (i % 3), learning_rate=1e-3 * (1 + i))
        for i in range(40)
    ]
    together = trained(architecture, members, data, 2)
    assert torch.equal(together, trained(architecture, members[::-1], data, 2).flip(0))
    assert torch.equal(together[:3], trained(architecture, members[:3], data, 2))
    alone = torch.cat([trained(architecture, [members[row]], data, 2) for row in (0, 7, 39)])
    assert torch.equal(together[[0, 7, 39]], alone)


def test_a_norm_of_single_values_is_refused():
    architecture = Architecture((1, 6, 6), NORMS["vectors"])
    members = [Member(id=0, seed=0, batch_size=1)]
    with pytest.raises(ValueError, match="more than one value per channel to train; use a larger batch"):
        trained(architecture, members, random_images(3, (1, 6, 6), 4))


def test_a_step_that_needs_too_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr(backend, "MOST_WORK_BYTES", 2**19)
    data = random_images(40, (2, 6, 6), 4)
    normed, plain = (Architecture((2, 6, 6), every) for every in (NORMS["images"], RESIDUALS["identity"]))
    assert trained(plain, [Member(id=0, seed=0, batch_size=1)], data).isfinite().all()
    with pytest.raises(ValueError, match=r"lanes cannot train.*40 examples a step need .* GiB.*; a smaller batch"):
        trained(normed, [Member(id=0, seed=0, batch_size=40)], data)
