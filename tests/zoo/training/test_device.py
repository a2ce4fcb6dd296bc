"""How the torch backends drive a device: captured steps, copies beside training. Without a GPU, by a stand-in."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import small_net
from reference_dropout import dropout_factors
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.architecture import mlp
from zoo.data import Task, load_dataset
from zoo.population import Member
from zoo.population.optimizers import OPTIMIZERS
from zoo.training import device, torch_trainer
from zoo.training.backend import BACKENDS
from zoo.training.device import DeviceExamples, EagerStepper, GraphStepper, Minibatches, stepper
from zoo.training.masks import DeviceDropout
from zoo.training.train import train_population

DIGITS = load_dataset("digits").train
CPU = torch.device("cpu")
NETS = {"closed-form": mlp((1, 8, 8), (12, 7), 10, activation="gelu"), "autograd": small_net()}


class Tape(TorchDispatchMode):
    """Records operations with the memory they read and write, and repeats them on it: a CUDA graph on a CPU.

    Whatever the host computes while recording is frozen: a replay sees the same numbers again.
    """

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function is not torch.ops.aten._local_scalar_dense.default, "the host reads a value from the device"
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result

    def replay(self):
        for function, args, kwargs, result in self.operations:
            for recorded, fresh in zip(tree_leaves(result), tree_leaves(function(*args, **kwargs)), strict=True):
                # Views and operations in place have written to the recorded memory already.
                if isinstance(recorded, Tensor) and recorded.data_ptr() != fresh.data_ptr():
                    recorded.copy_(fresh)


class StandIn(GraphStepper):
    """A ``GraphStepper`` whose graphs are tapes and whose copies arrive as late as they may."""

    def __init__(self, place):
        super().__init__(place)
        self.captured = 0
        self.replayed = 0

    def warm_up(self, step):
        step()

    def capture(self, step):
        self.captured += 1
        tape = Tape()
        with tape:
            step()
        fresh = True

        def replay():
            nonlocal fresh
            self.replayed += 1
            if not fresh:  # recording has done the first step
                with torch.no_grad():
                    tape.replay()
            fresh = False

        return replay

    def put(self, target, source):
        target.copy_(torch.from_numpy(source))

    def begin_copy(self, source):
        return source.clone


def absolute(outputs_NC, targets_NC):
    return (outputs_NC - targets_NC).abs().sum(1)


NUMBERS = replace(
    DIGITS.first(100),
    values=DIGITS.first(100).inputs,
    scale=1.0,
    targets=torch.rand(100, 10, generator=torch.Generator().manual_seed(1)),
)
# For each backend tasks that it trains, with their examples.
TASKS = [
    *((name, Task("softmax", 10), DIGITS.first(100)) for name in NETS),
    *((name, Task(loss, 10), NUMBERS) for name in NETS for loss in ("squared", "sigmoid")),
    ("autograd", Task("test_device:absolute", 10), NUMBERS),
]


def snapshots(backend, members, task=TASKS[0][1], data=TASKS[0][2]):
    return list(
        train_population(NETS[backend], members, data, task=task, epochs=3, snapshot_epochs=[0, 1, 3], backend=backend)
    )


@pytest.mark.parametrize(("backend", "task", "data"), TASKS[len(NETS) :])
def test_a_captured_step_of_any_task_does_what_the_step_does(monkeypatch, backend, task, data):
    members = [Member(id=i, seed=i, batch_size=16, order_seed=i // 2) for i in range(4)]
    eager = snapshots(backend, members, task, data)
    monkeypatch.setattr(torch_trainer, "stepper", StandIn)
    for one, other in zip(snapshots(backend, members, task, data), eager, strict=True):
        assert torch.equal(one.weights_MP, other.weights_MP)
    assert not torch.equal(eager[0].weights_MP, eager[-1].weights_MP)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("backend", NETS)
def test_a_captured_step_does_what_the_step_does(monkeypatch, backend, optimizer):
    members = [
        Member(id=i, seed=i, optimizer=optimizer, learning_rate=1e-3, batch_size=16, order_seed=i // 2,
               dropout=0.2 * i, weight_decay=1e-2 * i)
        for i in range(4)
    ]  # fmt: skip
    eager = snapshots(backend, members)
    used = []

    def stand_in(place):
        used.append(StandIn(place))
        return used[-1]

    monkeypatch.setattr(torch_trainer, "stepper", stand_in)
    captured = snapshots(backend, members)
    assert [(one.captured, one.done, one.replayed) for one in used] == [(1, device.WARM_UP_STEPS, 3 * 6 - 3)]
    assert [(s.rows, s.epoch, s.steps) for s in captured] == [(s.rows, s.epoch, s.steps) for s in eager]
    for one, other in zip(captured, eager, strict=True):
        assert torch.equal(one.weights_MP, other.weights_MP)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("backend", NETS)
def test_all_state_is_on_the_device(monkeypatch, backend, optimizer):
    """On pretended GPU memory: mixing it with host memory in one operation, or reading a value, is an error."""

    class Pretended(EagerStepper):
        def begin_copy(self, source):
            return lambda: source

    monkeypatch.setattr(torch_trainer, "stepper", lambda place: Pretended())
    # Torch's engine asks for a real context to go backward.
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, inputs: [loss * torch.zeros_like(one) for one in inputs])
    members = [Member(id=i, seed=i, optimizer=optimizer, dropout=0.1 * i, weight_decay=0.1 * i) for i in range(4)]
    order_GSB = np.zeros((2, 3, 16), dtype=np.int64)
    with FakeTensorMode(allow_non_fake_inputs=True):
        kind = BACKENDS[backend]
        made = kind(NETS[backend], Task("softmax", 10), DIGITS, torch.device("cuda"))
        trainer = made.start(members, torch.zeros(4, NETS[backend].parameters), 2, 16)
        trainer.run_epoch(1, order_GSB, order_GSB)
        weights_MP = trainer.begin_copy()()
    assert weights_MP.shape == (4, NETS[backend].parameters)
    assert weights_MP.device.type == "cuda"


def test_a_tape_freezes_what_the_host_computes():
    """The stand-in can tell: a step that counts on the host goes wrong on it, and one that reads a value fails."""
    total, count = torch.zeros(1), 0

    def step():
        nonlocal count
        count += 1
        total.add_(count)

    used = StandIn(CPU)
    used.run(step, 6)
    assert total.item() == 1 + 2 + 3 + 4 + 4 + 4
    with pytest.raises(AssertionError, match="reads a value"):
        StandIn(CPU).run(lambda: total.add_(total.item()), 4)


def test_a_step_that_cannot_be_captured_is_run_as_it_is(monkeypatch, caplog):
    class Refusing:
        def __init__(self, *arguments):
            raise RuntimeError("operation not permitted when stream is capturing")

    done = []
    used = GraphStepper(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", Refusing)
    monkeypatch.setattr(used, "warm_up", lambda step: step())
    used.run(lambda: done.append(1), 7)
    assert len(done) == 7
    assert "cannot be captured on cuda" in caplog.text
    assert len(caplog.records) == 1


def test_devices_get_what_they_can_do():
    assert isinstance(stepper(CPU), EagerStepper)
    assert isinstance(stepper(torch.device("cuda:0")), GraphStepper)


def test_images_are_kept_as_bytes_and_gathered_as_inputs():
    images = DeviceExamples(DIGITS, CPU)
    assert images.values_ND.dtype == torch.uint8
    rows = torch.tensor([5, 0, 5], dtype=torch.int32)
    out = torch.ones(3, 65)
    images.gather(rows, torch.empty(3, 64, dtype=torch.uint8), out[:, :64])
    assert torch.equal(out[:, :64], DIGITS.inputs[rows].flatten(1))
    assert out[:, 64].tolist() == [1, 1, 1]


def test_numbers_are_kept_and_gathered_as_they_are():
    numbers, rows = DeviceExamples(NUMBERS, CPU), torch.tensor([5, 0, 5], dtype=torch.int32)
    out = torch.ones(3, 65)
    numbers.gather(rows, torch.empty(0, 64, dtype=torch.uint8), out[:, :64])
    assert torch.equal(out[:, :64], NUMBERS.values[rows].flatten(1))
    minibatches = Minibatches(numbers, torch.empty(4, 64))
    order_GSB = np.arange(8).reshape(2, 2, 2)
    minibatches.begin_epoch(EagerStepper(), order_GSB, NUMBERS.targets.numpy()[order_GSB])
    for step in range(2):
        minibatches.gather()
        assert torch.equal(minibatches.targets, NUMBERS.targets[order_GSB[:, step].flatten()])
        minibatches.step += 1


def test_minibatches_come_in_their_order_epoch_after_epoch():
    minibatches = Minibatches(DeviceExamples(DIGITS, CPU), torch.empty(10, 64))
    for epoch_GSB in np.random.default_rng(0).integers(0, len(DIGITS), (2, 2, 3, 5)):
        labels_GSB = DIGITS.targets.numpy()[epoch_GSB]
        minibatches.begin_epoch(EagerStepper(), epoch_GSB, labels_GSB)
        for step in range(3):
            minibatches.gather()
            assert minibatches.targets.tolist() == labels_GSB[:, step].flatten().tolist()
            assert torch.equal(minibatches.inputs, DIGITS.inputs[epoch_GSB[:, step].flatten()].flatten(1))
            minibatches.step += 1


@pytest.mark.parametrize("units", [1, 37])
def test_dropout_on_the_device_is_that_of_every_backend(units):
    rates = [0.0, 0.1, 0.5, 0.999, 2**-32]
    members = [Member(id=i, seed=2**62 + i, dropout=rate) for i, rate in enumerate(rates)]
    dropout = DeviceDropout(members, units, 16, CPU)
    for epoch in (1, 2):
        dropout.begin_epoch(EagerStepper(), epoch, 3)
        for step in range(3):
            expected = dropout_factors(members, epoch, step, units, 16)
            assert np.array_equal(dropout.factors(torch.tensor([step])).numpy(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="requires a GPU, and torch sees none")
@pytest.mark.parametrize(("backend", "task", "data"), TASKS)
def test_a_gpu_trains_as_the_cpu_does(backend, task, data):
    members = [
        Member(id=i, seed=i, learning_rate=1e-3, batch_size=16, order_seed=i // 2, dropout=0.1 * i) for i in range(6)
    ]
    arguments = {"task": task, "epochs": 2, "snapshot_epochs": [0, 1, 2], "backend": backend}
    cpu = {s.epoch: s for s in train_population(NETS[backend], members, data, **arguments)}
    for snapshot in train_population(NETS[backend], members, data, device="cuda", **arguments):
        difference = (snapshot.weights_MP - cpu[snapshot.epoch].weights_MP).abs()
        assert difference.median() < 1e-5
