"""Population training against the per-model reference."""

import itertools
import math

import pytest
import torch
from lanes_training import chosen_backend
from reference_training import train_one
from torch import nn

from zoo.architecture import Architecture, Flatten, Linear, mlp, resnet
from zoo.architecture.activations import ACTIVATIONS
from zoo.data import Examples, load_dataset
from zoo.data.class_tasks import task_labels
from zoo.population import Member
from zoo.population.distributions import INITIALIZATIONS, fans
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import OPTIMIZERS
from zoo.streams import Purpose, stream
from zoo.training.backend import BACKENDS
from zoo.training.grouping import group_members, minibatches, training_examples
from zoo.training.train import train_population

DIGITS = load_dataset("digits").train
RATES = {"sgd": 0.1, "momentum": 0.02, "adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3}


def subset(count: int) -> Examples:
    return DIGITS.first(count)


def final_weights(architecture, members, data, epochs, backend="closed-form"):
    weights = torch.empty(len(members), architecture.parameters)
    for snapshot in train_population(
        architecture, members, data, epochs=epochs, snapshot_epochs=[epochs], backend=backend
    ):
        weights[list(snapshot.rows)] = snapshot.weights_MP
    return weights


def assert_parity(architecture, members, data, epochs, checked=None, median=1e-6, worst=1e-5, backend="closed-form"):
    weights = final_weights(architecture, members, data, epochs, backend)
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


def assert_parity_of_one_hundred(optimizer, activation, own_order, *, longer=False):
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
    assert_parity(architecture, members, subset(10 * 64), epochs=2, checked=[0, 1, 50, 98, 99])  # 20 steps
    if longer:
        assert_parity(architecture, members, DIGITS, epochs=5, checked=[0, 50, 99], worst=None)


# Every activation and every optimizer, in both orders.
PAIRS = list(zip(itertools.cycle(OPTIMIZERS), ACTIVATIONS))
ORDERS = pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])


@ORDERS
@pytest.mark.parametrize(("optimizer", "activation"), PAIRS)
def test_a_group_of_one_hundred_equals_the_reference(optimizer, activation, own_order):
    assert_parity_of_one_hundred(optimizer, activation, own_order)


@pytest.mark.slow
@ORDERS
@pytest.mark.parametrize(("optimizer", "activation"), list(itertools.product(OPTIMIZERS, ACTIVATIONS)))
def test_a_group_of_one_hundred_equals_the_reference_in_every_pair_and_for_longer(optimizer, activation, own_order):
    assert_parity_of_one_hundred(optimizer, activation, own_order, longer=True)


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


def test_snapshots_come_once_each_and_include_the_initialization():
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
        ("truncated_normal", lambda w: nn.init.trunc_normal_(w, 0, 0.1, -0.2, 0.2)),
        ("unit_uniform", nn.init.uniform_),
        ("unit_normal", nn.init.normal_),
        ("orthogonal", nn.init.orthogonal_),
    ],
)
def test_initializations_have_the_distributions_of_torch(name, init):
    architecture = mlp((1, 20, 20), (100,), 10)
    weights = initial_weights(architecture, [Member(id=0, seed=3, initialization=name, init_scale=2.0)])
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
        assert abs(own.mean() - expected.mean()) < 5 * spread * math.sqrt(2 / size)
        assert own.std() == pytest.approx(float(spread), rel=6 / math.sqrt(size))
        # Kolmogorov–Smirnov between the two samples: 2.0 · √(2/n) is exceeded with probability below 1e-3.
        grid = expected.quantile(levels)
        gap = (own.sort().values[None] <= grid[:, None]).float().mean(1) - levels
        assert gap.abs().max() < 2.0 * math.sqrt(2 / size)
        assert fans(spec) == nn.init._calculate_fan_in_and_fan_out(torch.empty(spec.shape))


def test_every_initialization_is_known_here():
    (cases,) = (
        mark.args[1]
        for mark in test_initializations_have_the_distributions_of_torch.pytestmark
        if mark.name == "parametrize"
    )
    assert {name for name, _ in cases} == set(INITIALIZATIONS)


@pytest.mark.parametrize("hidden", [30, 100])
def test_orthogonal_rows_or_columns_are_orthonormal(hidden):
    architecture = mlp((1, 8, 8), (hidden,), 10)
    weights = initial_weights(architecture, [Member(id=0, seed=1, initialization="orthogonal", init_scale=3.0)])
    weight = weights[0, architecture.layout[0].span].view(hidden, 64)
    product = weight @ weight.T if hidden < 64 else weight.T @ weight
    assert (product - 9 * torch.eye(min(hidden, 64))).abs().max() < 1e-5


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_do_not_wrap(seed):
    with pytest.raises(ValueError, match=rf"seed is {seed}; allowed: 0 to 2\*\*64 - 1"):
        stream(Purpose.ORDER, seed)


def test_minibatches_cover_the_subset_once_and_change_with_the_epoch():
    member = Member(id=0, seed=0, training_fraction=0.5, batch_size=10, order_seed=1, subset_seed=2)
    examples = training_examples(member, subset(200))
    first, second = minibatches(member, examples, 1), minibatches(member, examples, 2)
    assert first.shape == (10, 10)
    assert len(set(examples.tolist())) == 100
    assert set(first.flatten().tolist()) == set(second.flatten().tolist()) == set(examples.tolist())
    assert first.tolist() != second.tolist()


def test_subsets_are_disjoint_and_of_their_size():
    data = subset(105)
    members = [Member(id=i, seed=i, subset_size=20, subset_index=i, subset_seed=3) for i in range(5)]
    pieces = [set(training_examples(member, data).tolist()) for member in members]
    assert [len(piece) for piece in pieces] == [20] * 5
    assert len(set().union(*pieces)) == 100
    with pytest.raises(ValueError, match=r"subset_index is 5; allowed: 0 to 4, since 105 .* 5 disjoint subsets of 20"):
        training_examples(Member(id=5, seed=5, subset_size=20, subset_index=5), data)


@pytest.mark.parametrize("task", ["3-8", "8-3", "5-0-1"])
def test_tasks_are_made_of_their_images(task):
    member = Member(id=0, seed=0, task=task, training_fraction=0.5)
    rows = training_examples(member, DIGITS)
    classes = [int(name) for name in task.split("-")]
    assert {int(label) for label in DIGITS.targets[rows]} == set(classes)
    assert len(rows) == round(0.5 * sum(int((DIGITS.targets == label).sum()) for label in classes))
    expected = [classes.index(int(label)) for label in DIGITS.targets[rows]]
    assert task_labels(task, DIGITS.targets)[rows].tolist() == expected


def test_a_task_without_images_is_refused():
    few = Examples(DIGITS.values[:50], DIGITS.targets[:50] % 4, DIGITS.scale)
    with pytest.raises(ValueError, match="task is '3-8'; there are no training examples of class 8"):
        training_examples(Member(id=0, seed=0, task="3-8"), few)


@pytest.mark.parametrize("backend", BACKENDS)
def test_tasks_and_subsets_equal_the_reference(backend):
    architecture = mlp((1, 8, 8), (8,), 3)
    members = [
        Member(id=i, seed=i, batch_size=8, task=task, subset_size=size, subset_index=index, order_seed=index)
        for i, (task, size, index) in enumerate(
            [("3-8", 0, 0), ("8-3", 0, 0), ("8-3", 16, 0), ("3-8", 16, 1), ("3-8", 16, 2), ("5-0-1", 40, 0),
             ("1-2", 5, 0)]
        )
    ]  # fmt: skip
    assert_parity(architecture, members, subset(300), epochs=2, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reversed_labels_are_learned_reversed(backend):
    architecture = mlp((1, 8, 8), (8,), 2)
    members = [Member(id=i, seed=0, learning_rate=0.01, task=task) for i, task in enumerate(("3-8", "8-3"))]
    weights = final_weights(architecture, members, DIGITS, epochs=10, backend=backend)
    threes = DIGITS.inputs[DIGITS.targets == 3]
    share_of_first = (architecture.logits(weights, threes).argmax(-1) == 0).float().mean(1)
    assert share_of_first[0] > 0.95
    assert share_of_first[1] < 0.05


def test_groups_share_what_they_can():
    members = [Member(id=i, seed=i, order_seed=i // 16, subset_seed=i // 16) for i in range(64)]
    (group,) = group_members(members, DIGITS, lambda _: 100)
    assert group.block == 16
    assert group.rows == tuple(range(64))


def test_members_of_different_tasks_or_subsets_share_a_group_but_no_minibatches():
    pieces = [Member(id=i, seed=i, subset_size=50, subset_index=i // 2) for i in range(8)]
    (group,) = group_members(pieces, DIGITS, lambda _: 100)
    assert group.block == 2
    pair = [Member(id=i, seed=i, task=task) for i, task in enumerate(("3-8", "8-3"))]
    groups = group_members(pair, DIGITS, lambda _: 100)
    assert [(g.rows, g.block) for g in groups] == [((0, 1), 1)]


def test_no_group_is_larger_than_its_backend_wants():
    members = [Member(id=i, seed=i, order_seed=i // 25, batch_size=(32, 64)[i // 50]) for i in range(100)]
    groups = group_members(members, DIGITS, lambda member: {32: 10, 64: 60}[member.batch_size])
    assert sorted((len(group.rows), group.block) for group in groups) == [(7, 7)] * 2 + [(9, 9)] * 4 + [(50, 25)]
    assert sorted(row for group in groups for row in group.rows) == list(range(100))


def test_only_the_groups_of_wanted_rows_are_trained():
    architecture = mlp((1, 8, 8), (16,), 10)
    members = [Member(id=i, seed=i, optimizer=("sgd", "adam")[i % 2]) for i in range(6)]
    whole = list(train_population(architecture, members, subset(128), epochs=1, snapshot_epochs=[1]))
    (part,) = train_population(architecture, members, subset(128), epochs=1, snapshot_epochs=[1], only=range(3, 4))
    (same,) = [snapshot for snapshot in whole if 3 in snapshot.rows]
    assert part.rows == same.rows == (1, 3, 5)
    assert torch.equal(part.weights_MP, same.weights_MP)


def test_the_first_backend_that_can_is_chosen_and_others_can_be_named():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    plain, deep = mlp((1, 8, 8), (4,), 10), resnet((1, 8, 8), (4,), 10)
    assert chosen_backend(plain, cpu)[0] == next(iter(BACKENDS))
    assert chosen_backend(plain, gpu)[0] == "closed-form"
    assert chosen_backend(deep, gpu)[0] == "autograd"
    for name in BACKENDS:
        chosen, kind = chosen_backend(plain, cpu, name)
        assert chosen == name
        assert kind is BACKENDS[name]
    with pytest.raises(ValueError, match=f"backend is 'fast'; allowed: auto, {', '.join(BACKENDS)}"):
        chosen_backend(plain, cpu, "fast")
    with pytest.raises(ValueError, match=r"backend closed-form cannot train .* on cpu: it trains only.*take 'auto'"):
        chosen_backend(deep, cpu, "closed-form")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="device is 'cuda'; torch sees no GPU here; allowed: cpu"):
        next(train_population(mlp((1, 8, 8), (4,), 10), [Member(id=0, seed=0)], DIGITS, epochs=1, snapshot_epochs=[1],
                              device="cuda"))  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": []}, "no members"),
        ({"snapshot_epochs": [3]}, "snapshot epochs are \\[3\\]"),
        ({"snapshot_epochs": [1, 1]}, "increasing"),
        (
            {"data": Examples(torch.zeros(4, 1, 9, 9, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), 1.0)},
            "9, 9",
        ),
        ({"architecture": mlp((1, 8, 8), (4,), 3)}, "needs 10 outputs; the architecture has 3"),
        (
            {
                "architecture": Architecture((1, 8, 8), (Flatten(), Linear(features=5), Linear(features=10))),
                "backend": "closed-form",
            },
            "backend closed-form cannot train these members on cpu",
        ),
        ({"device": "gpu"}, "device is 'gpu'; allowed: cpu, cuda"),
        ({"backend": "quick"}, "backend is 'quick'"),
        ({"members": [Member(id=0, seed=0, task="0-10")]}, "no training examples of class 10"),
        (
            {"architecture": mlp((1, 8, 8), (4,), 2), "members": [Member(id=0, seed=0, task="1-2-3")]},
            "task 1-2-3 needs 3 outputs; the architecture has 2",
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
     ("initialization", "lecun"), ("seed", -1), ("weight_decay", -1.0), ("init_scale", 0.0),
     ("weight_decay", math.inf), ("batch_size", 2.0), ("batch_size", True), ("seed", 2**63), ("order_seed", -1),
     ("order_seed", 1.0), ("subset_seed", 2**63)],
)  # fmt: skip
def test_a_member_names_the_field_the_value_and_what_is_allowed(field, value):
    with pytest.raises(ValueError, match=f"Member.{field} is {value!r}; allowed: "):
        Member(**({"id": 0, "seed": 0} | {field: value}))
