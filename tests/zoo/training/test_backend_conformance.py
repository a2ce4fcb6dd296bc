"""Every backend on every kind of architecture and task: it trains as the per-model reference does, or says why not."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lanes_training import random_images
from own_tasks import sines
from reference_training import train_one

from zoo.architecture import Activate, Architecture, BatchNorm, Flatten, Linear, cnn, mlp, resnet
from zoo.data import Examples, Task
from zoo.population import Member
from zoo.population.distributions import Initialization
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import OPTIMIZERS, PopulationOptimizer
from zoo.training.backend import BACKENDS, choose_backend
from zoo.training.lanes import backend as lanes
from zoo.training.train import train_population

CPU = torch.device("cpu")
ADAM = tuple(Member(id=i, seed=i, learning_rate=1e-3 * (1 + i), batch_size=8, order_seed=i // 2) for i in range(4))

# Adam does not see by what a loss is multiplied.
SGD = tuple(replace(member, optimizer="sgd", learning_rate=0.01 * (1 + member.id)) for member in ADAM)


def numbers(*shape, seed=5):
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).normal(size=shape).astype(np.float32))


def absolute(outputs_NC, targets_NC):
    """A loss of the user's own."""
    return (outputs_NC - targets_NC).abs().sum(1)


def smoothed(outputs_NC, targets_N):
    """One for labels."""
    return F.cross_entropy(outputs_NC, targets_N, reduction="none", label_smoothing=0.1)


class SignDescent(PopulationOptimizer):
    """An optimizer of the user's own."""

    def update(self, gradient):
        self.parameters.addcmul_(gradient.sign(), self.learning_rate, value=-1)


TINY = Initialization(lambda generator, spec, std: generator.random(spec.size, dtype=np.float32) * np.float32(std),
                      lambda fan_in, fan_out: 0.01)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What is trained, and by which backends that can be."""

    architecture: Architecture
    task: Task
    data: Examples
    backends: tuple[str, ...]


def of_images(architecture, *backends):
    classes = architecture.classes
    return Case(architecture, Task("softmax", classes), random_images(40, architecture.input_shape, classes), backends)


# Without a bias before the norm: its gradient is nothing but rounding, which Adam makes a whole step of.
NORMED = Architecture(
    (6,), (Linear(features=5, bias=False), BatchNorm(), Activate(function="tanh"), Linear(features=2))
)
FLAT = mlp((6,), (5,), 2, activation="tanh")
NUMBERS = Examples(numbers(40, 6), numbers(40, 2, seed=6))
SHARES = replace(NUMBERS, targets=numbers(40, 2, seed=7).sigmoid())
PIXELS = random_images(40, (1, 4, 4), 3)
CASES = {
    "mlp": of_images(mlp((1, 4, 4), (5,), 3), *BACKENDS),
    "no bias": of_images(mlp((1, 4, 4), (5,), 3, bias=False), *BACKENDS),
    "cnn": of_images(cnn((1, 6, 6), (3,), 3), "lanes", "autograd"),
    "batch norm": of_images(
        Architecture((1, 4, 4), (Flatten(), Linear(features=5, bias=False), BatchNorm(), Linear(features=3))),
        "lanes",
        "autograd",
    ),
    "residual": of_images(resnet((1, 6, 6), (3,), 3), "lanes", "autograd"),
    "regression": Case(FLAT, Task("squared", 2), NUMBERS, ("closed-form", "autograd")),
    "regression of images": Case(
        mlp((1, 4, 4), (5,), 2),
        Task("squared", 2),
        replace(PIXELS, targets=NUMBERS.targets),
        ("closed-form", "autograd"),
    ),
    "regression with batch norm": Case(NORMED, Task("squared", 2), NUMBERS, ("autograd",)),
    "several labels": Case(FLAT, Task("sigmoid", 2), SHARES, ("closed-form", "autograd")),
    "one label": Case(
        mlp((6,), (5,), 1),
        Task("sigmoid", 1),
        replace(SHARES, targets=(SHARES.targets[:, :1] > 0.5).float()),
        ("closed-form", "autograd"),
    ),
    "own loss": Case(FLAT, Task("test_backend_conformance:absolute", 2), NUMBERS, ("autograd",)),
    "own loss of labels": Case(
        mlp((1, 4, 4), (5,), 3), Task("test_backend_conformance:smoothed", 3), PIXELS, ("autograd",)
    ),
    "classes of numbers": Case(
        FLAT, Task("softmax", 2), replace(NUMBERS, targets=torch.arange(40) % 2), ("closed-form", "autograd")
    ),
    "rows of numbers": Case(
        cnn((2, 5, 4), (3,), 2), Task("squared", 2), replace(NUMBERS, values=numbers(40, 2, 5, 4)), ("autograd",)
    ),
}
CASES["own layer"] = replace(of_images(sines((1, 4, 4), (5,), 3, frequency=2.0)), backends=("autograd",))
PLAIN = {
    "softmax": F.cross_entropy,
    "sigmoid": F.binary_cross_entropy_with_logits,
    "squared": F.mse_loss,
    "test_backend_conformance:absolute": lambda outputs, targets: absolute(outputs, targets).mean(),
    "test_backend_conformance:smoothed": lambda outputs, targets: smoothed(outputs, targets).mean(),
}

# In the kernel, not a bit of a member depends on the others.
SAME = {backend: {"rtol": 0, "atol": 0} if backend == "lanes" else {"rtol": 1e-4, "atol": 1e-5} for backend in BACKENDS}


def trained(case, members, backend="auto", epochs=2):
    weights_MP = torch.empty(len(members), case.architecture.parameters)
    for snapshot in train_population(
        case.architecture, members, case.data, task=case.task, epochs=epochs, snapshot_epochs=[epochs], backend=backend
    ):
        weights_MP[list(snapshot.rows)] = snapshot.weights_MP
    return weights_MP


@pytest.mark.parametrize("members", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_it_trains_as_one_model_at_a_time_or_says_why_not(name, backend, members):
    case = CASES[name]
    obstacle = BACKENDS[backend].obstacle(case.architecture, members, case.task, case.data, CPU)
    assert (obstacle is None) == (backend in case.backends), obstacle
    if obstacle is not None:
        assert len(obstacle) > 20
        with pytest.raises(ValueError, match=f"backend {backend} cannot train these members on cpu: .*take 'auto'"):
            trained(case, members, backend)
        return
    weights_MP = trained(case, members, backend)
    start_MP = initial_weights(case.architecture, members)
    for row, member in enumerate(members):
        *_, (_, expected) = train_one(case.architecture, member, start_MP[row], case.data, 2, PLAIN[case.task.loss])
        torch.testing.assert_close(weights_MP[row], expected, rtol=1e-4, atol=1e-5)
        assert not torch.equal(expected, start_MP[row])


@pytest.mark.parametrize(("name", "backend"), [(name, backend) for name in CASES for backend in CASES[name].backends])
def test_members_are_trained_in_company_as_alone_also_where_one_diverges(name, backend):
    wild = replace(SGD[0], id=4, seed=4, learning_rate=1e30)
    *calm_MP, wild_P = trained(CASES[name], [*SGD, wild], backend)
    assert not (wild_P.abs() < 1e20).all()
    torch.testing.assert_close(torch.stack(calm_MP), trained(CASES[name], SGD, backend), **SAME[backend])
    alone = torch.cat([trained(CASES[name], [member], backend) for member in SGD])
    torch.testing.assert_close(torch.stack(calm_MP), alone, **SAME[backend])


@pytest.mark.parametrize("name", CASES)
def test_the_first_that_can_is_chosen(name):
    case = CASES[name]
    assert choose_backend(case.architecture, ADAM[:1], case.task, case.data, CPU)[0] == case.backends[0]


def test_an_optimizer_of_the_users_own_is_trained_by_torch_and_the_others_as_before(caplog):
    case = CASES["mlp"]
    lanes._tell.cache_clear()
    own = [replace(member, optimizer="test_backend_conformance:SignDescent") for member in ADAM]
    with caplog.at_level(logging.WARNING):
        weights_MP = trained(case, [*ADAM, *own])
        trained(case, own)
    (record,) = caplog.records
    assert "it does not know the optimizer 'test_backend_conformance:SignDescent'" in record.message
    assert torch.equal(weights_MP[:4], trained(case, ADAM, "lanes"))
    assert torch.equal(weights_MP[4:], trained(case, own, "closed-form"))
    start_MP = initial_weights(case.architecture, own)
    steps = 2 * (len(case.data) // 8)
    moved_MP = (weights_MP[4:] - start_MP).abs().amax(1)
    rates_M = torch.tensor([member.learning_rate for member in own])
    assert (moved_MP <= steps * rates_M * 1.001).all()
    assert (moved_MP > rates_M).all()


def test_a_new_entry_needs_no_kernel(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "sign", SignDescent)
    case = CASES["cnn"]
    new = [replace(member, optimizer="sign") for member in ADAM]
    assert torch.equal(trained(case, new), trained(case, new, "autograd"))


def test_a_layer_of_the_users_own_is_stored_by_its_name():
    architecture = sines((1, 4, 4), (5,), 3, frequency=2.0)
    assert architecture.to_json()["layers"][2] == {"kind": "own_tasks:Sine", "frequency": 2.0}
    assert Architecture.from_json(architecture.to_json()) == architecture
    with pytest.raises(ValueError, match=r"layer kind 'own_tasks:robust' is .*must be a subclass of .*Layer"):
        Architecture.from_json({"input_shape": [4], "layers": [{"kind": "own_tasks:robust"}]})


def test_initializations_of_the_users_own():
    members = [Member(id=0, seed=3, initialization="test_backend_conformance:TINY")]
    weights_MP = initial_weights(FLAT, members)
    assert 0 < float(weights_MP.max()) < 0.01


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("optimizer", "test_backend_conformance:absolute", "must be a subclass of .*PopulationOptimizer"),
        ("optimizer", "test_backend_conformance:none", "has no attribute 'none'"),
        ("initialization", "test_backend_conformance:absolute", "is a function; it must be a .*Initialization"),
    ],
)
def test_what_is_no_optimizer_or_initialization_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        trained(CASES["mlp"], [Member(id=0, seed=0, **{field: value})])


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("regression", {"task": None}, "targets are torch.float32, no labels; give the task that they are for"),
        ("regression", {"task": Task("softmax", 2)}, "training examples: targets are .* needs labels"),
        ("regression", {"architecture": mlp((6,), (5,), 3)}, "needs 2 outputs; the architecture has 3"),
        (
            "regression",
            {"architecture": mlp((7,), (5,), 2)},
            r"examples have shape \(6,\); the architecture takes \(7,\)",
        ),
        ("mlp", {"task": Task("softmax", 2)}, "training examples: labels go from 0 to 2; allowed: 0 to 1"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(case, change, message):
    with pytest.raises(ValueError, match=message):
        trained(replace(CASES[case], **change), ADAM)


def test_classes_are_told_apart_only_where_there_are_classes():
    members = [Member(id=0, seed=0, task="0-1")]
    with pytest.raises(ValueError, match="classes 0, 1 are to be told apart, but the loss is 'squared'"):
        trained(CASES["regression"], members)
