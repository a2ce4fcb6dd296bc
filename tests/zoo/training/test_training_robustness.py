"""Training with noise on weights and on adversarial examples, against the per-model reference."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from architectures import small_net
from lanes_training import chosen_backend, obstacle_of
from reference_training import train_one

from zoo.architecture import Activate, Architecture, Conv, Flatten, Linear, MaxPool, Rescale, cnn, mlp
from zoo.architecture.layers import BatchStatistics
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.streams import Purpose
from zoo.training.device import EagerStepper
from zoo.training.draws import DeviceDraws
from zoo.training.train import train_population
from zoo.training.weight_noise import WeightNoise

DIGITS = load_dataset("digits").train
TANH = mlp((1, 8, 8), (12, 8), 10, activation="tanh")
ATTACKED = {
    "linear": mlp((1, 8, 8), (), 10),
    "deep": TANH,
    "cnn": cnn((1, 8, 8), (3, 5), 10, activation="tanh"),
    # Windows of the first convolution overlap and reach beyond the image, or leave inputs out.
    "padded": Architecture(
        (1, 8, 8),
        (Conv(channels=4, kernel=3, stride=2, padding=1), Activate(function="tanh"), Flatten(), Linear(features=10)),
    ),
    "left-out": Architecture(
        (1, 8, 8),
        (
            Conv(channels=4, kernel=2, stride=3),
            Activate(function="tanh"),
            MaxPool(size=2, stride=1),
            Flatten(),
            Linear(features=10),
        ),
    ),
}
CASES = {
    "noise": {"weight_noise": 0.3, "weight_noise_share": 0.4},
    "noise-everywhere": {"weight_noise": 0.1},
    "fgsm": {"adversarial_epsilon": 0.1},
    "pgd": {"adversarial_epsilon": 0.1, "adversarial_steps": 3},
    "both": {"weight_noise": 0.2, "weight_noise_share": 0.5, "adversarial_epsilon": 0.05, "adversarial_steps": 2},
}


def trained(architecture, members, data, epochs=1, backend="auto"):
    weights = torch.empty(len(members), architecture.parameters)
    for snapshot in train_population(
        architecture, members, data, epochs=epochs, snapshot_epochs=[epochs], backend=backend
    ):
        weights[list(snapshot.rows)] = snapshot.weights_MP
    return weights


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("build", [lambda: TANH, lambda: small_net("tanh")], ids=["mlp", "batch-norm-residual"])
def test_they_equal_the_reference(build, case, own_order):
    architecture, data = build(), DIGITS.first(5 * 16)
    members = [
        Member(id=i, seed=i, optimizer="momentum", learning_rate=0.02, batch_size=16, dropout=0.1 * i,
               order_seed=i * own_order, **CASES[case])
        for i in range(3)
    ]  # fmt: skip
    members += [replace(members[0], id=3, seed=3, weight_noise=2 * members[0].weight_noise)]
    weights, start = trained(architecture, members, data), initial_weights(architecture, members)
    for row, member in enumerate(members):
        *_, (_, expected) = train_one(architecture, member, start[row], data, 1)
        plain = replace(member, weight_noise=0.0, adversarial_epsilon=0.0)
        *_, (_, without) = train_one(architecture, plain, start[row], data, 1)
        # An input whose gradient is rounding alone can be moved the other way.
        assert (weights[row] - expected).abs().median() < 1e-6
        assert (weights[row] - expected).norm() < 0.01 * (without - expected).norm()


def test_members_without_are_trained_as_ever_beside_those_with():
    plain = [Member(id=i, seed=i, batch_size=16) for i in range(3)]
    mixed = [plain[0], *(replace(plain[1], id=3 + i, **change) for i, change in enumerate(CASES.values())), plain[2]]
    weights = trained(TANH, mixed, DIGITS.first(160))
    assert torch.equal(weights[[0, -1]], trained(TANH, plain, DIGITS.first(160))[[0, 2]])
    assert len({tuple(row.tolist()) for row in weights}) == len(mixed)


def test_who_makes_adversarial_examples():
    assert "adversarial examples (adversarial_epsilon)" in obstacle_of("closed-form", TANH, adversarial_epsilon=0.1)
    net = small_net("tanh")
    assert "for networks with batch norms" in obstacle_of("lanes", net, adversarial_epsilon=0.1)
    assert chosen_backend(net, **CASES["both"])[0] == "autograd"
    rescaled = Architecture((1, 8, 8), (Rescale(scale=2.0, offset=-1.0), *TANH.layers))
    assert "that rescale their inputs" in obstacle_of("lanes", rescaled, adversarial_epsilon=0.1)


@pytest.mark.parametrize("own_order", [False, True], ids=["shared-order", "own-order"])
@pytest.mark.parametrize("case", ["fgsm", "pgd", "both"])
@pytest.mark.parametrize("network", ATTACKED)
def test_the_kernel_attacks_as_torch_does(case, own_order, network):
    architecture, data = ATTACKED[network], DIGITS.first(6 * 16)
    members = [
        Member(id=i, seed=i, optimizer="sgd", learning_rate=0.05, batch_size=16, dropout=0.1 * (i % 2),
               order_seed=i * own_order, **CASES[case])
        for i in range(18)
    ]  # fmt: skip
    if obstacle_of("lanes", architecture):
        pytest.skip("the kernel does not run here")
    ours, theirs = (trained(architecture, members, data, backend=name) for name in ("lanes", "autograd"))
    plain = [replace(member, weight_noise=0.0, adversarial_epsilon=0.0) for member in members]
    without = trained(architecture, plain, data, backend="lanes")
    # An input whose gradient is rounding alone can be moved the other way.
    assert float((ours - theirs).abs().median()) < 1e-6
    assert bool(((ours - theirs).norm(dim=1) < 0.02 * (without - theirs).norm(dim=1)).all())


@pytest.mark.parametrize("case", ["noise", "noise-everywhere"])
@pytest.mark.parametrize(
    "build", [lambda: TANH, lambda: cnn((1, 8, 8), (3, 5), 10), lambda: small_net("tanh")], ids=["mlp", "cnn", "norms"]
)
def test_the_kernel_draws_the_noise_that_torch_draws(build, case):
    architecture, data = build(), DIGITS.first(6 * 16)
    members = [
        Member(id=i, seed=i, optimizer="sgd", learning_rate=0.02, batch_size=16, **CASES[case]) for i in range(18)
    ]
    members[3] = replace(members[3], weight_noise=0.9, weight_noise_share=0.1)
    if obstacle_of("lanes", architecture, weight_noise=0.1):
        pytest.skip("the kernel does not run here")
    found = [trained(architecture, members, data, backend=name) for name in ("lanes", "autograd")]
    plain = [replace(member, weight_noise=0.0) for member in members]
    without = trained(architecture, plain, data, backend="lanes")
    assert float((found[0] - found[1]).abs().max()) < 2e-5
    assert float((found[0] - without).abs().amax(1).min()) > 1e-3


@pytest.mark.parametrize("name", ["closed-form"])
def test_gradients_in_closed_form_are_of_weights_as_they_are(name):
    assert "noise on weights (weight_noise)" in obstacle_of(name, TANH, weight_noise=0.1)
    assert chosen_backend(TANH, adversarial_steps=5, weight_noise_share=0.5)[0] != "autograd"


def test_noise_is_in_proportion_to_its_tensor_and_on_that_share_of_the_neurons():
    architecture = mlp((1, 8, 8), (400,), 10)
    members = [Member(id=i, seed=i, weight_noise=0.2, weight_noise_share=share) for i, share in enumerate([0.25, 1.0])]
    noise = WeightNoise(architecture, members, torch.device("cpu"))
    noise.draws.begin_epoch(EagerStepper(), 1, 2)
    tensors = architecture.tensors(initial_weights(architecture, members))
    name = next(iter(tensors))
    first, second = (noise.noisy(tensors, torch.tensor([step]))[name] - tensors[name] for step in (0, 1))
    assert not torch.equal(first, second)
    deviation_M = 0.2 * tensors[name].flatten(1).square().mean(1).sqrt()
    changed_MU = (first != 0).any(2)
    assert torch.equal(changed_MU, (first != 0).all(2))
    assert changed_MU.float().mean(1).tolist() == pytest.approx([0.25, 1.0], abs=0.06)
    for row in range(2):
        values = first[row][changed_MU[row]] / deviation_M[row]
        assert float(values.std()) == pytest.approx(1, abs=0.03)
        assert float(values.mean()) == pytest.approx(0, abs=0.03)
        assert float((values.abs() < 1).float().mean()) == pytest.approx(0.683, abs=0.02)


def test_draws_lie_evenly_between_minus_one_and_one():
    draws = DeviceDraws(Purpose.ATTACK, [5], 100_000, torch.device("cpu"))
    draws.begin_epoch(EagerStepper(), 1, 1)
    values = draws.uniform(torch.tensor([0]))
    assert float(values.abs().max()) < 1
    assert torch.histc(values, 10).div(10_000).sub(1).abs().max() < 0.05
    assert torch.isfinite(torch.erfinv(torch.tensor([-(2**23) + 0.5, 2**23 - 0.5]) / 2**23)).all()


def test_adversarial_training_defends():
    data, epsilon = DIGITS.first(480), 0.06
    plain = Member(id=0, seed=0, batch_size=32, learning_rate=5e-3)
    weights = trained(TANH, [plain, replace(plain, id=1, adversarial_epsilon=epsilon)], data, epochs=20)
    x = data.inputs.expand(2, *data.inputs.shape).clone().requires_grad_()
    loss = F.cross_entropy(TANH.logits(weights, x).flatten(0, 1), data.targets.repeat(2), reduction="sum")
    moved = (x + epsilon * torch.autograd.grad(loss, x)[0].sign()).clamp(0, 1)
    clean_M, attacked_M = (
        (TANH.logits(weights, inputs).argmax(2) == data.targets).double().mean(1).tolist() for inputs in (x, moved)
    )
    assert min(clean_M) > 0.8
    assert attacked_M[1] > attacked_M[0] + 0.1, (clean_M, attacked_M)


def test_the_statistics_that_are_kept_are_those_of_the_examples_trained_on():
    architecture = small_net("tanh")
    member = Member(id=0, seed=0, batch_size=16, adversarial_epsilon=0.2)
    (weights_P,) = trained(architecture, [member], DIGITS.first(16))
    statistics = BatchStatistics()
    start = initial_weights(architecture, [member])
    architecture.logits(start, DIGITS.inputs[:16], batch_statistics=statistics)
    kept = architecture.tensors(weights_P[None])
    assert all(torch.isfinite(value).all() for value in kept.values())
    assert any(not torch.allclose(kept[name], value) for name, value in statistics.buffers.items())


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("weight_noise", -0.1, "0 or more"),
        ("weight_noise_share", 0.0, "0 < weight_noise_share <= 1"),
        ("weight_noise_share", 1.5, "0 < weight_noise_share <= 1"),
        ("adversarial_epsilon", float("inf"), "0 or more and finite"),
        ("adversarial_steps", 0, "1 to 1000"),
        ("adversarial_steps", 2.0, "1 to 1000"),
    ],
)
def test_what_no_member_can_have(field, value, allowed):
    with pytest.raises(ValueError, match=f"Member.{field} is {value}; allowed: {allowed}"):
        Member(id=0, seed=0, **{field: value})
