"""Population training against the per-model reference."""

import math

import pytest
import torch
from reference_training import train_one
from torch import nn

from zoo.activations import ACTIVATIONS
from zoo.architecture import Architecture, Flatten, Linear, mlp
from zoo.data import Images, load_dataset
from zoo.population import Member
from zoo.training.grouping import dropout_masks, group_members, minibatches
from zoo.training.initialisation import INITIALISATIONS, fans, initial_weights
from zoo.training.optimizers import OPTIMIZERS
from zoo.training.streams import Purpose, stream
from zoo.training.train import train_population

DIGITS = load_dataset("digits").train
RATES = {"sgd": 0.1, "momentum": 0.02, "adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3}


def subset(count: int) -> Images:
    return DIGITS.first(count)


def final_weights(architecture, members, data, epochs):
    weights = torch.empty(len(members), architecture.parameters)
    for snapshot in train_population(architecture, members, data, epochs=epochs, snapshot_epochs=[epochs]):
        weights[list(snapshot.rows)] = snapshot.weights_MP
    return weights


def assert_parity(architecture, members, data, epochs, checked=None, median=1e-6, worst=1e-5):
    weights = final_weights(architecture, members, data, epochs)
    start = initial_weights(architecture, members)
    for row in range(len(members)) if checked is None else checked:
        *_, (_, expected) = train_one(architecture, members[row], start[row], data, epochs)
        difference = (weights[row] - expected).abs()
        assert difference.median() <= median, members[row]
        if worst is not None:
            assert difference.max() <= worst, members[row]
        assert not torch.equal(expected, start[row])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_twenty_steps_equal_the_reference(optimizer, activation):
    architecture = mlp((1, 8, 8), (16,), 10, activation=activation)
    members = [
        Member(id=i, seed=i, optimizer=optimizer, learning_rate=RATES[optimizer] * (1 + i), batch_size=32,
               weight_decay=1e-2 * i, dropout=0.2 * i)
        for i in range(3)
    ]  # fmt: skip
    assert_parity(architecture, members, subset(20 * 32), epochs=1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_five_epochs_equal_the_reference_in_the_median(optimizer, activation):
    architecture = mlp((1, 8, 8), (16,), 10, activation=activation)
    members = [
        Member(id=0, seed=5, optimizer=optimizer, learning_rate=RATES[optimizer], weight_decay=1e-3, dropout=0.1)
    ]
    assert_parity(architecture, members, DIGITS, epochs=5, worst=None)


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_group_of_one_hundred_equals_the_reference(optimizer, activation, own_order):
    architecture = mlp((1, 8, 8), (16,), 10, activation=activation)
    members = [
        Member(
            id=i,
            seed=i,
            optimizer=optimizer,
            learning_rate=RATES[optimizer] * (1 + i % 5) / 3,
            weight_decay=1e-3 * (i % 3),
            dropout=(i % 4) / 10,
            order_seed=i if own_order else 7,
        )
        for i in range(100)
    ]
    assert_parity(architecture, members, subset(10 * 64), epochs=2, checked=[1, 98])  # 20 steps
    assert_parity(architecture, members, DIGITS, epochs=5, checked=[0, 50, 99], worst=None)


@pytest.mark.parametrize("hidden", [(), (12, 7), (9, 8, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_other_depths_and_no_bias(hidden, bias):
    architecture = mlp((1, 8, 8), hidden, 10, activation="tanh", bias=bias)
    members = [Member(id=i, seed=i, dropout=0.1 * i) for i in range(3)]
    assert_parity(architecture, members, subset(320), epochs=2)


def test_members_of_every_kind_at_once_come_back_in_their_rows():
    architecture = mlp((1, 8, 8), (8,), 10, activation="gelu")
    members = [
        Member(id=i, seed=i, optimizer=optimizer, learning_rate=RATES[optimizer], batch_size=batch,
               training_fraction=fraction, order_seed=i % 2, subset_seed=i % 3)
        for i, (optimizer, batch, fraction) in enumerate(
            (o, b, f) for o in OPTIMIZERS for b in (16, 50) for f in (0.05, 1.0)
        )
    ]  # fmt: skip
    assert_parity(architecture, members, subset(400), epochs=2)


def test_result_does_not_depend_on_company():
    architecture = mlp((1, 8, 8), (16,), 10)
    members = [Member(id=i, seed=i, order_seed=i // 4) for i in range(12)]
    together = final_weights(architecture, members, DIGITS, 3)
    alone = torch.cat([final_weights(architecture, [member], DIGITS, 3) for member in members])
    assert (together - alone).abs().max() < 1e-5
    assert torch.equal(together, final_weights(architecture, members, DIGITS, 3))


def test_a_diverging_member_does_not_touch_the_others():
    architecture = mlp((1, 8, 8), (16,), 10)
    wild = Member(id=1, seed=1, optimizer="sgd", learning_rate=1e30)
    calm = Member(id=0, seed=0, optimizer="sgd", learning_rate=0.1)
    weights = final_weights(architecture, [calm, wild], DIGITS, 2)
    assert torch.isfinite(weights[0]).all()
    assert not torch.isfinite(weights[1]).all()
    assert (weights[0] - final_weights(architecture, [calm], DIGITS, 2)[0]).abs().max() < 1e-5


def test_snapshots_come_once_each_and_include_the_initialisation():
    architecture = mlp((1, 8, 8), (16,), 10)
    members = [Member(id=i, seed=i, optimizer=("sgd", "adam")[i % 2]) for i in range(5)]
    snapshots = list(train_population(architecture, members, subset(128), epochs=4, snapshot_epochs=[0, 1, 4]))
    seen = sorted((row, s.epoch) for s in snapshots for row in s.rows)
    assert seen == [(row, epoch) for row in range(5) for epoch in (0, 1, 4)]
    for snapshot in snapshots:
        assert snapshot.steps == 2 * snapshot.epoch
        if snapshot.epoch == 0:
            assert torch.equal(snapshot.weights_MP, initial_weights(architecture, members)[list(snapshot.rows)])


@pytest.mark.parametrize(
    ("name", "init"),
    [
        ("uniform", lambda w: nn.init.uniform_(w, -0.1 * math.sqrt(3), 0.1 * math.sqrt(3))),
        ("normal", lambda w: nn.init.normal_(w, 0, 0.1)),
        ("xavier_uniform", nn.init.xavier_uniform_),
        ("xavier_normal", nn.init.xavier_normal_),
        ("kaiming_uniform", lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu")),
        ("kaiming_normal", lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
    ],
)
def test_initialisations_have_the_distributions_of_torch(name, init):
    architecture = mlp((1, 20, 20), (100,), 10)
    weights = initial_weights(architecture, [Member(id=0, seed=3, initialisation=name, init_scale=2.0)])
    torch.manual_seed(0)
    for spec in architecture.layout:
        own = weights[0, spec.span]
        if len(spec.shape) == 1:
            assert not own.any()
            continue
        expected = 2 * init(torch.empty(spec.shape)).flatten()
        size = len(own)
        levels = torch.linspace(0, 1, 101)[1:-1]
        spread = expected.std()
        assert abs(own.mean()) < 5 * spread / math.sqrt(size)
        assert own.std() == pytest.approx(float(spread), rel=6 / math.sqrt(size))
        # Kolmogorov–Smirnov between the two samples: 2.0 · √(2/n) is exceeded with probability below 1e-3.
        grid = expected.quantile(levels)
        gap = (own.sort().values[None] <= grid[:, None]).float().mean(1) - levels
        assert gap.abs().max() < 2.0 * math.sqrt(2 / size)
        assert fans(spec) == nn.init._calculate_fan_in_and_fan_out(torch.empty(spec.shape))
    assert set(INITIALISATIONS) == {
        "uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal",
    }  # fmt: skip


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_do_not_wrap(seed):
    with pytest.raises(ValueError, match=rf"seed is {seed}; allowed: 0 to 2\*\*64 - 1"):
        stream(Purpose.ORDER, seed)


def test_minibatches_cover_the_subset_once_and_change_with_the_epoch():
    member = Member(id=0, seed=0, training_fraction=0.5, batch_size=10, order_seed=1, subset_seed=2)
    first, second = minibatches(member, 200, 1), minibatches(member, 200, 2)
    assert first.shape == (10, 10)
    assert len(set(first.flatten().tolist())) == 100
    assert set(first.flatten().tolist()) == set(second.flatten().tolist())
    assert first.tolist() != second.tolist()


def test_dropout_masks_have_their_rate_and_differ_between_members():
    member = Member(id=0, seed=0, dropout=0.3)
    masks = dropout_masks(member, 1, 50, 20, 64)
    assert (masks == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert set(masks.flatten().tolist()) == {0.0, float(torch.tensor(1 / 0.7))}
    assert (masks != dropout_masks(Member(id=1, seed=1, dropout=0.3), 1, 50, 20, 64)).any()


def test_groups_share_what_they_can():
    architecture = mlp((1, 8, 8), (16,), 10)
    members = [Member(id=i, seed=i, order_seed=i // 16, subset_seed=i // 16) for i in range(64)]
    (group,) = group_members(architecture, members, 997)
    assert group.block == 16
    assert group.rows == tuple(range(64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": []}, "no members"),
        ({"snapshot_epochs": [3]}, "snapshot epochs are \\[3\\]"),
        ({"snapshot_epochs": [1, 1]}, "increasing"),
        (
            {"data": Images(torch.zeros(4, 1, 9, 9, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), 1.0)},
            "9, 9",
        ),
        ({"architecture": mlp((1, 8, 8), (4,), 3)}, "labels go up to 9"),
        (
            {"architecture": Architecture((1, 8, 8), (Flatten(), Linear(features=5), Linear(features=10)))},
            "MLPs",
        ),
        ({"initial_MP": torch.zeros(2, 3)}, "initial weights"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {
        "architecture": mlp((1, 8, 8), (4,), 10), "members": [Member(id=0, seed=0)], "data": DIGITS,
        "epochs": 2, "snapshot_epochs": [2],
    } | change  # fmt: skip
    architecture, members, data = (arguments.pop(key) for key in ("architecture", "members", "data"))
    with pytest.raises(ValueError, match=message):
        list(train_population(architecture, members, data, **arguments))


@pytest.mark.parametrize(
    ("field", "value"),
    [("optimizer", "lion"), ("dropout", 1.0), ("training_fraction", 0.0), ("learning_rate", 0), ("batch_size", 0),
     ("initialisation", "orthogonal"), ("seed", -1), ("weight_decay", -1.0), ("init_scale", 0.0),
     ("weight_decay", math.inf), ("batch_size", 2.0), ("batch_size", True), ("seed", 2**63), ("order_seed", -1),
     ("order_seed", 1.0), ("subset_seed", 2**63)],
)  # fmt: skip
def test_a_member_names_the_field_the_value_and_what_is_allowed(field, value):
    with pytest.raises(ValueError, match=f"Member.{field} is {value!r}; allowed: "):
        Member(**({"id": 0, "seed": 0} | {field: value}))
