"""SuperNet: what its generator makes, learns and keeps, and how tasks are solved by their vectors."""

import dataclasses
import itertools

import pytest
import torch

from trainables.hypernetworks.adaptation import (
    AdaptedLastLayer,
    AdaptedLowRank,
    AdaptedShared,
    AdaptedVector,
    AdaptedWeights,
    VectorPrior,
    adapt,
    task_accuracies,
)
from trainables.hypernetworks.config import HEADS, HypernetworkConfig
from trainables.hypernetworks.generator import WeightGenerator, tensor_scales
from trainables.hypernetworks.hypernetwork import Hypernetwork, HypernetworkFit
from trainables.registry import find_trainable
from trainables.tasks.task_examples import TaskExamples
from trainables.trainable import DivergedError, FitData, run
from zoo.architecture import cnn, cnn_strided, mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture
from zoo.recipes.tasks import one_vs_one

ARCHITECTURE = mlp((1, 8, 8), (8,), 2)
TASKS = one_vs_one(10)
HELD_OUT = ["0-1", "2-7", "5-8"]
SHORT = HypernetworkConfig(
    z=16, steps=60, epochs=6, task_batch=16, examples=16, learning_rate=3e-3, adapt_steps=150, adapt_learning_rate=0.1
)


def members_of(tasks):
    specs = [Member(id=i, seed=i, task=task) for i, task in enumerate(tasks)]
    return single_architecture(ARCHITECTURE, torch.zeros(len(tasks), ARCHITECTURE.parameters), specs)


@pytest.fixture(scope="module")
def data():
    return FitData(
        training=(members_of([task for task in TASKS if task not in HELD_OUT]),),
        validation=(members_of(HELD_OUT),),
        dataset=load_dataset("digits"),
    )


@pytest.fixture(scope="module")
def fit(data):
    return run(HypernetworkFit(SHORT, data))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("changes", [{}, {"hidden": 12, "bounded": True, "residual": False}], ids=["plain", "other"])
@pytest.mark.parametrize("architecture", [ARCHITECTURE, cnn((1, 8, 8), (4, 6), 3)], ids=["mlp", "cnn"])
def test_a_generator_makes_networks_whose_signals_neither_grow_nor_vanish(head, changes, architecture):
    torch.manual_seed(0)
    config = dataclasses.replace(SHORT, head=head, rank=5, chunk=50, **changes)
    weights_TP = WeightGenerator(config, architecture)(torch.randn(6, 16)).detach()
    assert weights_TP.shape == (6, architecture.parameters)
    outputs_TNC = architecture.logits(weights_TP, torch.rand(20, *architecture.input_shape))
    assert 0.01 < float(outputs_TNC.std()) < 10
    assert not torch.equal(weights_TP[0], weights_TP[1])


def test_z_alone_solves_tasks_that_were_not_trained_on(fit, data):
    found = fit.validate()
    assert found["fitted_accuracy"] > 0.95
    assert found["adapted_accuracy"] > 0.9
    hypernetwork = fit.artifact()
    test = TaskExamples(HELD_OUT, data.dataset.test)
    unadapted = hypernetwork.accuracy(hypernetwork.trained_vectors.mean(0).expand(3, -1), test)
    assert unadapted < 0.8, "no single network solves these tasks"


def test_adaptation_moves_no_bit_of_the_generator(fit, data):
    hypernetwork = fit.artifact()
    before = {name: tensor.clone() for name, tensor in hypernetwork.module.state_dict().items()}
    z_TZ = hypernetwork.vectors(TaskExamples(HELD_OUT, data.dataset.train, labels=5), steps=20)
    assert not torch.equal(z_TZ, hypernetwork.start(TaskExamples(HELD_OUT, data.dataset.train)))
    for name, tensor in hypernetwork.module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_nearest_training_task_is_a_better_start_than_the_mean(fit, data):
    hypernetwork = fit.artifact()
    near = Hypernetwork(hypernetwork.module, hypernetwork.task)
    near.module.config = dataclasses.replace(SHORT, start="nearest")
    examples, test = (TaskExamples(HELD_OUT, part) for part in (data.dataset.train, data.dataset.test))
    nearest_TZ = near.start(examples)
    near.module.config = SHORT
    assert near.accuracy(nearest_TZ, test) > near.accuracy(near.start(examples), test)
    for z_Z in nearest_TZ:
        assert (z_Z == hypernetwork.trained_vectors).all(1).any()


def test_an_artifact_comes_back_from_files(fit):
    hypernetwork = fit.artifact()
    again = Hypernetwork.from_files(hypernetwork.to_files())
    z_TZ = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.make(z_TZ).weights_MP, hypernetwork.make(z_TZ).weights_MP)
    assert (again.tasks, again.task) == (hypernetwork.tasks, hypernetwork.task)


def test_a_fit_goes_on_from_its_state(data):
    config = dataclasses.replace(SHORT, steps=3, epochs=4)
    straight, broken, again = (HypernetworkFit(config, data) for _ in range(3))
    for _ in range(2):
        broken.train_epoch()
    again.load_state(broken.state())
    wanted, found = run(straight).artifact(), run(again).artifact()
    assert torch.equal(found.make(found.trained_vectors).weights_MP, wanted.make(wanted.trained_vectors).weights_MP)


@pytest.mark.parametrize("architecture", [ARCHITECTURE, cnn_strided((1, 8, 8), (4, 4), 2)], ids=["mlp", "cnn"])
def test_weights_in_the_metric_of_the_function_come_back_and_solve_tasks(architecture):
    """A zoo of trained networks says how weights act."""
    dataset = load_dataset("digits")
    torch.manual_seed(0)
    trained_MP = torch.randn(len(TASKS), architecture.parameters) * tensor_scales(architecture)
    specs = [Member(id=i, seed=i, task=task) for i, task in enumerate(TASKS)]
    population = single_architecture(architecture, trained_MP, specs)
    rows = {task: number for number, task in enumerate(TASKS)}
    held_out = [rows[task] for task in HELD_OUT]
    others = [number for number in range(len(TASKS)) if number not in held_out]
    data = FitData(training=(population.select(others),), validation=(population.select(held_out),), dataset=dataset)
    fit = run(HypernetworkFit(dataclasses.replace(SHORT, view="input_metric", learning_rate=1e-2, epochs=3), data))
    assert fit.validate()["fitted_accuracy"] > 0.9
    made = fit.artifact()
    again = Hypernetwork.from_files(made.to_files())
    z_TZ = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.make(z_TZ).weights_MP, made.make(z_TZ).weights_MP)
    assert set(again.module.generator.coordinates.tensors()) == set(made.module.generator.coordinates.tensors())


def test_every_task_is_trained_on_equally_often(data):
    fit = HypernetworkFit(dataclasses.replace(SHORT, steps=42, task_batch=10), data)
    steps = [rows.tolist() for _, rows in fit.batches(torch.Generator().manual_seed(0))]
    assert [len(rows) for rows in steps] == [10] * 42
    counts = torch.bincount(torch.tensor(list(itertools.chain(*steps))))
    assert counts.tolist() == [10] * 42


def adapted_ways():
    start_TP = 0.3 * torch.randn(3, ARCHITECTURE.parameters, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    generator = WeightGenerator(SHORT, ARCHITECTURE)
    return {
        "z": AdaptedVector(generator, torch.zeros(3, 16)),
        "all weights": AdaptedWeights(start_TP),
        "last layer": AdaptedLastLayer(ARCHITECTURE, start_TP),
        "low rank": AdaptedLowRank(ARCHITECTURE, start_TP, rank=2),
    }


@pytest.mark.parametrize(
    ("way", "numbers"), [("z", 16), ("all weights", 538), ("last layer", 18), ("low rank", 2 * (8 + 64 + 2 + 8))]
)
def test_each_way_of_adapting_fits_its_own_numbers_and_no_others(way, numbers, data):
    adapted = adapted_ways()[way]
    before_TP = adapted.weights().detach().clone()
    examples = TaskExamples(HELD_OUT, data.dataset.train)
    task = data.dataset.task.of_classes((0, 1))
    adapt(adapted, ARCHITECTURE, task, examples, steps=80, learning_rate=2e-2, batch=32)
    assert adapted.trainable == numbers
    assert task_accuracies(ARCHITECTURE, task, adapted.weights(), examples).mean() > 0.75
    moved_P = (adapted.weights().detach() != before_TP).any(0)
    if way == "last layer":
        assert not moved_P[:-18].any()
    assert moved_P[-18:-2].all()


def test_tasks_of_a_batch_do_not_touch_each_other(data):
    task = data.dataset.task.of_classes((0, 1))
    found = []
    for others in (["2-7", "5-8"], ["8-5", "4-9"]):
        adapted = adapted_ways()["all weights"]
        examples = TaskExamples(["0-1", *others], data.dataset.train)
        adapt(adapted, ARCHITECTURE, task, examples, steps=5, learning_rate=1e-2, batch=8)
        found.append(adapted.weights().detach())
    torch.testing.assert_close(found[0][0], found[1][0])
    assert (found[0][1:] != found[1][1:]).any(1).all()


def test_a_strong_prior_keeps_z_where_training_tasks_are_and_many_labels_outweigh_it(fit, data):
    hypernetwork = fit.artifact()
    mean_Z = hypernetwork.trained_vectors.mean(0)

    def away(prior, labels):
        z_TZ = hypernetwork.vectors(TaskExamples(HELD_OUT, data.dataset.train, labels), steps=60, prior=prior)
        return float((z_TZ - mean_Z).norm(dim=1).mean())

    assert away(100.0, 5) < 0.5 * away(1.0, 5) < away(0.0, 5)
    assert away(1.0, 5) < away(1.0, None)
    assert away(0.0, 5) == away(None, 5), "by default as the configuration says"


def test_a_prior_is_minus_the_logarithm_of_a_gaussian():
    z_TZ = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)) * 3 + 2
    prior = VectorPrior.of(z_TZ, 0.5)
    density = torch.distributions.Normal(z_TZ.mean(0), prior.deviation).log_prob(z_TZ).sum(1)
    differences = -0.5 * (density - density[0])
    torch.testing.assert_close(prior.penalty(z_TZ) - prior.penalty(z_TZ)[0], differences, rtol=1e-4, atol=1e-4)
    assert prior.deviation == pytest.approx(3, abs=0.4)


def test_no_single_network_serves_both_orders_of_labels(data):
    tasks = ["0-1", "1-0", "2-7", "7-2"]
    task = data.dataset.task.of_classes((0, 1))
    start_TP = 0.3 * torch.randn(4, ARCHITECTURE.parameters, generator=torch.Generator().manual_seed(3))
    judged = TaskExamples(tasks, data.dataset.test)
    found = {}
    for name, adapted in (("shared", AdaptedShared(start_TP[0], 4)), ("own", AdaptedWeights(start_TP))):
        examples = TaskExamples(tasks, data.dataset.train)
        adapt(adapted, ARCHITECTURE, task, examples, steps=60, learning_rate=2e-2, batch=32)
        found[name] = task_accuracies(ARCHITECTURE, task, adapted.weights(), judged)
    assert (found["own"] > 0.9).all()
    for one, other in (found["shared"][:2], found["shared"][2:]):
        assert float(one + other) == pytest.approx(1.0), "what is right under one order is wrong under the other"


def test_z_makes_convolutional_networks_of_both_orders():
    """The strided network that was published, on smaller images and with fewer channels."""
    tasks, held_out = ["0-1", "1-0", "2-3", "3-2", "0-3", "3-0"], ["2-1", "1-2"]
    strided = cnn_strided((1, 8, 8), (6, 6), 2, dense=(8,))

    def members(tasks):
        specs = [Member(id=i, seed=i, task=task) for i, task in enumerate(tasks)]
        return single_architecture(strided, torch.zeros(len(tasks), strided.parameters), specs)

    dataset = load_dataset("digits")
    data = FitData(training=(members(tasks),), validation=(members(held_out),), dataset=dataset)
    config = dataclasses.replace(SHORT, z=8, steps=50, epochs=4, task_batch=6, start="nearest")
    found = run(HypernetworkFit(config, data)).validate()
    assert found["fitted_accuracy"] > 0.95
    assert found["adapted_accuracy"] > 0.85


def test_weights_that_explode_are_told_of_with_the_step_and_the_last_state_is_kept(data):
    fit = HypernetworkFit(dataclasses.replace(SHORT, steps=3, epochs=3), data)
    fit.train_epoch()
    kept = fit.state()
    fit.module.z_TZ.data[:] = 1e38
    with pytest.raises(
        DivergedError, match=r"the loss is (nan|inf) in epoch 2, step 1; lower learning_rate \(0\.003\)"
    ):
        fit.train_epoch()
    again = HypernetworkFit(fit.config, data)
    again.load_state(kept)
    straight = run(HypernetworkFit(fit.config, data)).module.z_TZ
    assert torch.equal(run(again).module.z_TZ, straight)
    huge = AdaptedWeights(torch.full((3, ARCHITECTURE.parameters), 1e38))
    examples = TaskExamples(HELD_OUT, data.dataset.train)
    with pytest.raises(
        DivergedError, match=r"task '0-1' is not finite in step 1 of adaptation; lower the learning rate"
    ):
        adapt(huge, ARCHITECTURE, data.dataset.task.of_classes((0, 1)), examples, steps=2, learning_rate=1.0, batch=8)


def test_weights_that_are_expected_about_zero_decay(data):
    start_TP = torch.randn(1, ARCHITECTURE.parameters, generator=torch.Generator().manual_seed(0))
    examples, task = TaskExamples(["3-8"], data.dataset.train, labels=5), data.dataset.task.of_classes((0, 1))
    norms = []
    for strength in (0.0, 1.0, 10.0):
        adapted = AdaptedWeights(start_TP, VectorPrior(torch.zeros(()), 0.1, strength))
        adapt(adapted, ARCHITECTURE, task, examples, steps=50, learning_rate=0.03, batch=8)
        norms.append(float(adapted.weights().detach().norm()))
    assert norms[0] > 1.2 * norms[1] > 1.2 * norms[2]


def test_labels_are_as_many_of_each_class_as_asked_for(data):
    few = TaskExamples(["3-8", "8-3"], data.dataset.train, labels=5)
    assert [targets.tolist() for targets in few.targets] == [[0] * 5 + [1] * 5] * 2
    assert few.rows[0][:5].tolist() == few.rows[1][5:].tolist()
    both = TaskExamples(["3-8"], data.dataset.train, labels=10)
    other = TaskExamples(["3-8"], data.dataset.train, labels=5, draw=1)
    assert other.rows[0].tolist() == [*both.rows[0][5:10].tolist(), *both.rows[0][15:].tolist()]
    with pytest.raises(ValueError, match=r"task '3-8' has \d+ examples with label 0; 5000 are asked for"):
        TaskExamples(["3-8"], data.dataset.train, labels=5000)
    with pytest.raises(ValueError, match="task '11-12' has no examples of class 11; the data set has classes 0 to 9"):
        TaskExamples(["11-12"], data.dataset.train)


def test_what_cannot_be_fitted_or_made_is_refused(fit, data):
    whole = dataclasses.replace(data, training=(members_of(["", ""]),))
    with pytest.raises(ValueError, match="supernet needs a zoo of 2 or more tasks; this one has 0: generate one such"):
        find_trainable("supernet").fit(SHORT, whole)
    with pytest.raises(ValueError, match=r"z is 16; allowed: 42 or more, one entry for each training task, or --set"):
        HypernetworkFit(dataclasses.replace(SHORT, one_hot=True), data)
    with pytest.raises(ValueError, match=r"z has shape \(2, 5\); expected \[tasks, 16\]"):
        fit.artifact().make(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="head is 'deep'; allowed: linear, low-rank, chunked"):
        dataclasses.replace(SHORT, head="deep")
    with pytest.raises(ValueError, match="view is 'round'; allowed: fan_in, flat, standardized, input_metric"):
        dataclasses.replace(SHORT, view="round")
    with pytest.raises(ValueError, match="adapt_prior is -1; allowed: 0 or more, finite"):
        dataclasses.replace(SHORT, adapt_prior=-1)
