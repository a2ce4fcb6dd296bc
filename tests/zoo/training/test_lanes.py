"""The SIMD kernel against the per-model reference, and that members share nothing but time."""

import logging

import numpy as np
import pytest
import torch
from lanes_training import CPU, assert_parity, chosen_backend, obstacle_of, random_images, trained

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
    cnn_2464,
    cnn_4970,
    mlp,
)
from zoo.architecture.activations import ACTIVATIONS
from zoo.data import Task, load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import OPTIMIZERS
from zoo.training.lanes import LanesBackend, backend, logits
from zoo.training.lanes.packing import Lanes, lane_members

DIGITS = load_dataset("digits").train
RATES = {"sgd": 0.1, "momentum": 0.02, "adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3}


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_activation_and_optimizer_equals_the_reference(optimizer, activation, own_order):
    architecture = mlp((1, 8, 8), (9, 6), 10, activation=activation, bias=optimizer != "momentum")
    members = [
        Member(id=i, seed=i, optimizer=optimizer, learning_rate=RATES[optimizer] * (1 + i % 3) / 2, batch_size=32,
               weight_decay=1e-2 * (i % 3), dropout=0.15 * (i % 4), order_seed=i if own_order else 0)
        for i in range(18)
    ]  # fmt: skip
    assert_parity(architecture, members, DIGITS.first(20 * 32), checked=[0, 3, 17])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden", [(), (1,), (2, 3), (5,), (7, 11, 6)])
@pytest.mark.parametrize(
    ("shape", "batch", "count"), [((1, 3, 3), 7, 20), ((3, 5, 7), 3, 5), ((1, 4, 4), 1, 17), ((1, 1, 1), 5, 33)]
)
def test_sizes_that_fit_no_register(shape, batch, count, hidden, bias):
    architecture = mlp(shape, hidden, 3, activation="tanh", bias=bias)
    members = [Member(id=i, seed=i, batch_size=batch, order_seed=i % 2, dropout=0.1 * (i % 2)) for i in range(count)]
    assert_parity(architecture, members, random_images(23, shape, 3), epochs=2, checked=[0, count - 1])


CONVOLUTIONAL = {
    "padding": (Conv(channels=5, kernel=3, padding=1), Activate(function="relu"), Flatten(), Linear(features=4)),
    "padding twice": (
        Conv(channels=3, kernel=3, padding=1), Activate(function="gelu"),
        Conv(channels=6, kernel=5, padding=2, bias=False), Activate(function="tanh"), Flatten(), Linear(features=4),
    ),
    "stride": (
        Conv(channels=4, kernel=3, stride=2), Activate(function="silu"),
        Conv(channels=5, kernel=2, stride=2, padding=1), Activate(function="sigmoid"), Flatten(), Linear(features=4),
    ),
    "max pool before the activation": (
        Conv(channels=6, kernel=2), MaxPool(size=2), Activate(function="tanh"), Flatten(), Linear(features=4),
    ),
    "max pool after the activation": (
        Conv(channels=6, kernel=3), Activate(function="leaky_relu"), MaxPool(size=2), Flatten(), Linear(features=4),
    ),
    "windows that overlap or leave gaps": (
        Conv(channels=3, kernel=2), MaxPool(size=3, stride=1), Activate(function="tanh"),
        AveragePool(size=1, stride=2), Flatten(), Linear(features=4),
    ),
    "average pool before a padded convolution": (
        Conv(channels=3, kernel=2), AveragePool(size=2), Conv(channels=4, kernel=3, padding=1),
        Activate(function="tanh"), GlobalAveragePool(), Linear(features=4),
    ),
    "one by one": (
        Conv(channels=3, kernel=1), Activate(function="tanh"), Conv(channels=5, kernel=1), Activate(function="relu"),
        Conv(channels=2, kernel=1, stride=2), Flatten(), Linear(features=4, bias=False),
    ),
    "hidden linear layer": (
        Conv(channels=3, kernel=4), Activate(function="tanh"), Flatten(), Activate(function="gelu"),
        Linear(features=7), Activate(function="tanh"), Activate(function="sigmoid"), Linear(features=4),
    ),
    "logits by average": (Conv(channels=4, kernel=3, padding=1), GlobalAveragePool()),
    "logits by convolution": (Conv(channels=4, kernel=7), Flatten()),
    "whole image": (
        Conv(channels=4, kernel=7), Activate(function="tanh"), Conv(channels=4, kernel=3, padding=1), Flatten(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_equal_the_reference(name, channels):
    shape = (channels, 7, 7)
    architecture = Architecture(shape, CONVOLUTIONAL[name])
    # Whole groups of sixteen with one order, and one of members with several.
    members = [
        Member(id=i, seed=i, learning_rate=2e-3, batch_size=6, order_seed=i // 18, dropout=0.2 * (i % 2))
        for i in range(36)
    ]
    assert_parity(architecture, members, random_images(31, shape, 4), checked=[0, 15, 17, 35])


SIGNED, NORMALIZED = Rescale(scale=2, offset=-1), Rescale(scale=1 / 0.3, offset=-0.4)
RESCALED = {
    "mlp": (SIGNED, Flatten(), Linear(features=5), Activate(function="tanh"), Linear(features=4)),
    "mlp, flat first": (Flatten(), NORMALIZED, Linear(features=4)),
    "twice": (SIGNED, NORMALIZED, Conv(channels=3, kernel=3), Activate(function="gelu"), GlobalAveragePool(),
              Linear(features=4)),
    # What a convolution pads is zero, not a black pixel.
    "padding": (NORMALIZED, Conv(channels=3, kernel=3, padding=2, stride=2), Activate(function="tanh"),
                MaxPool(size=2), Flatten(), Linear(features=4)),
}  # fmt: skip


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 4, 8), (1, 3, 5)])
@pytest.mark.parametrize("name", RESCALED)
def test_rescaled_inputs_equal_the_reference(name, shape, own_order):
    architecture = Architecture(shape, RESCALED[name])
    data = random_images(31, shape, 4)
    members = [Member(id=i, seed=i, batch_size=6, order_seed=i * own_order, dropout=0.2 * (i % 2)) for i in range(17)]
    assert chosen_backend(architecture, CPU)[0] == "lanes"
    assert_parity(architecture, members, data, checked=[0, 1, 16])
    weights = initial_weights(architecture, members)
    assert torch.allclose(logits(architecture, weights, data), architecture.logits(weights, data.inputs), atol=2e-6)


@pytest.mark.parametrize("build", [cnn_2464, cnn_4970])
def test_published_networks_equal_the_reference(build):
    architecture = build((1, 28, 28), (), 10, activation="tanh")
    members = [Member(id=i, seed=i, order_seed=i // 16, batch_size=32, dropout=0.25 * (i % 2)) for i in range(19)]
    assert_parity(architecture, members, random_images(100, (1, 28, 28)), checked=[0, 1, 18])


def test_many_epochs_equal_the_reference():
    architecture = mlp((1, 8, 8), (16,), 10)
    members = [Member(id=i, seed=i, dropout=0.1 * i, weight_decay=1e-3) for i in range(3)]
    assert_parity(architecture, members, DIGITS, epochs=5, worst=1e-4)


@pytest.mark.parametrize("layers", [(), CONVOLUTIONAL["padding twice"]], ids=["mlp", "cnn"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_member_has_the_same_bits_in_any_company_and_lane(layers, dropout):
    shape = (1, 8, 8)
    architecture = Architecture(shape, layers) if layers else mlp(shape, (11,), 10, activation="gelu")
    data = random_images(64, shape, architecture.classes)
    members = [
        Member(id=i, seed=i, order_seed=i % 2, batch_size=16, dropout=dropout * (i % 3), learning_rate=1e-3 * (1 + i))
        for i in range(40)
    ]
    together = trained(architecture, members, data, 2)
    assert torch.equal(together, trained(architecture, members, data, 2))
    assert torch.equal(together, trained(architecture, members[::-1], data, 2).flip(0))
    own = [row for row in range(40) if row < 3]  # three members of two orders: no group of one order
    assert torch.equal(together[own], trained(architecture, [members[row] for row in own], data, 2))
    alone = torch.cat([trained(architecture, [members[row]], data, 2) for row in (0, 7, 39)])
    assert torch.equal(together[[0, 7, 39]], alone)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_that_are_not_numbers_stay_so(activation):
    architecture = mlp((1, 2, 2), (3,), 2, activation=activation)
    weights = torch.ones(2, architecture.parameters)
    weights[1, 0] = torch.nan
    values = logits(architecture, weights, random_images(5, (1, 2, 2), 2))
    assert torch.isfinite(values[0]).all()
    assert values[1].isnan().all()


@pytest.mark.parametrize(
    "architecture",
    [
        mlp((1, 28, 28), (13, 5), 10, activation="gelu"),
        cnn_2464((1, 28, 28), (), 10, activation="silu"),
        cnn_4970((1, 28, 28), (), 10, activation="sigmoid"),
        *(Architecture((1, 28, 28), (Conv(channels=2, kernel=22), *layers)) for layers in CONVOLUTIONAL.values()),
    ],
)
def test_logits_equal_those_of_the_architecture(architecture):
    images = random_images(37, (1, 28, 28))
    weights = torch.randn(21, architecture.parameters, generator=torch.Generator().manual_seed(1)) * 0.3
    expected = architecture.logits(weights, images.inputs)
    assert torch.allclose(logits(architecture, weights, images), expected, atol=2e-5, rtol=1e-5)
    assert logits(architecture, weights, images.first(0)).shape == (len(weights), 0, architecture.classes)


def test_lanes_are_filled_by_one_order_first():
    lanes = lane_members(40, 20)
    assert lanes.shape == (3, 16)
    assert lanes[0].tolist() == list(range(16))
    assert lanes[1].tolist() == list(range(20, 36))
    assert lanes[2].tolist() == [16, 17, 18, 19, 36, 37, 38, 39, *[-1] * 8]


@pytest.mark.parametrize(("members", "block"), [(1, 1), (16, 16), (33, 11), (64, 4), (30, 30)])
def test_spreading_over_lanes_is_undone_by_gathering(members, block):
    lanes = Lanes(members, block)
    values = np.random.default_rng(0).random((members, 5), dtype=np.float32)
    spread = lanes.spread(values, np.zeros((len(lanes), 5, 16), dtype=np.float32))
    assert np.array_equal(lanes.gather(spread, np.empty_like(values)), values)
    assert lanes.block_VL.min() >= 0
    assert lanes.block_VL.max() == members // block - 1


@pytest.mark.parametrize(("example", "label", "what"), [(-1, 0, "examples"), (5, 0, "examples"), (0, 3, "labels")])
def test_rows_and_labels_out_of_range_are_refused(example, label, what):
    architecture = mlp((1, 2, 2), (), 3)
    trainer = LanesBackend(architecture, Task("softmax", 3), random_images(5, (1, 2, 2), 3), CPU).start(
        [Member(id=0, seed=0, batch_size=1)], torch.zeros(1, architecture.parameters), 1, 1
    )
    with pytest.raises(ValueError, match=f"{what} go from"):
        trainer.run_epoch(1, np.full((1, 1, 1), example), np.full((1, 1, 1), label))


def test_groups_of_members_are_whole_groups_of_lanes_and_fit_the_memory():
    assert LanesBackend.members_at_once(mlp((1, 8, 8), (16,), 10), 64, CPU) == 128
    assert LanesBackend.members_at_once(mlp((3, 32, 32), (400,), 10), 64, CPU) == 32
    assert LanesBackend.members_at_once(mlp((3, 32, 32), (4000,), 10), 64, CPU) == 16


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (
            Architecture((1, 8, 8), (BatchNorm(), Conv(channels=2, kernel=3), Flatten(), Linear(features=2))),
            "begin with a linear layer or a convolution",
        ),
        (
            Architecture((1, 8, 8), (AveragePool(size=2), Flatten(), Linear(features=2))),
            "begin with a linear layer or a convolution",
        ),
        (Architecture((1, 8, 8), (Conv(channels=2, kernel=3), Flatten())), "positions of an image"),
        (
            Architecture((1, 8, 8), (Conv(channels=2, kernel=3), Flatten(), Activate(function="tanh"))),
            "positions of an image",
        ),
        (
            Architecture(
                (1, 4, 4),
                (Conv(channels=2, kernel=3), Residual(body=(Flatten(), Linear(features=8)), shortcut=(Flatten(),))),
            ),
            "does not add a vector to an image",
        ),
        (
            Architecture((1, 8, 8), (SIGNED, AveragePool(size=2), Flatten(), Linear(features=2))),
            "begin with a linear layer or a convolution",
        ),
        (
            Architecture((1, 8, 8), (Flatten(), Linear(features=2), SIGNED)),
            "rescales only what the first linear layer or convolution reads",
        ),
    ],
)
def test_what_it_cannot_train_is_said(architecture, reason):
    assert reason in obstacle_of("lanes", architecture, CPU)
    assert chosen_backend(architecture, CPU)[0] == "autograd"


def test_it_leaves_other_devices_alone():
    assert "CPU" in obstacle_of("lanes", mlp((1, 8, 8), (4,), 10), torch.device("meta"))


def test_the_environment_switches_it_off(monkeypatch):
    architecture = mlp((1, 8, 8), (4,), 10)
    monkeypatch.setenv("ZOOSCALE_KERNEL", "torch")
    assert chosen_backend(architecture, CPU)[0] == "closed-form"
    monkeypatch.setenv("ZOOSCALE_KERNEL", "fast")
    with pytest.raises(ValueError, match="ZOOSCALE_KERNEL is 'fast'; allowed: lanes, torch"):
        chosen_backend(architecture, CPU)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"zoo.training.lanes.cpu": None}, "ModuleNotFoundError|ImportError"),
        ({"obstacle": "neither AVX2"}, "neither AVX2"),
    ],
    ids=["no numba", "old processor"],
)
def test_where_it_cannot_run_one_message_says_so_and_torch_trains(broken, reason, monkeypatch, caplog):
    if "obstacle" in broken:
        monkeypatch.setattr("zoo.training.lanes.cpu.obstacle", lambda: broken["obstacle"])
    else:
        monkeypatch.setitem(__import__("sys").modules, "zoo.training.lanes.cpu", None)
        monkeypatch.delattr("zoo.training.lanes.cpu", raising=False)
    backend.load_kernel.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert chosen_backend(mlp((1, 8, 8), (4,), 10), CPU)[0] == "closed-form"
        (record,) = caplog.records
        assert "torch is used instead" in record.message
        with pytest.raises(ValueError, match=reason):
            chosen_backend(mlp((1, 8, 8), (4,), 10), CPU, "lanes")
    finally:
        backend.load_kernel.cache_clear()
