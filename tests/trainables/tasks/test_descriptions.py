"""Descriptions of tasks, and vectors that are computed from them."""

import dataclasses

import pytest
import torch

from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.hypernetwork import Hypernetwork, HypernetworkFit
from trainables.tasks.descriptions import ClassMeans, Task2Vec, small
from trainables.tasks.task_examples import TaskExamples
from trainables.trainable import FitData, run
from zoo.architecture import cnn_strided, mlp
from zoo.data import load_dataset
from zoo.data.class_tasks import one_vs_one
from zoo.data.scenes import compose, counting_task, counting_tasks
from zoo.population import Member
from zoo.population.population import single_architecture

HELD_OUT = ["0-1", "2-7", "5-8"]
TASKS = [task for task in one_vs_one(10) if task not in HELD_OUT]
SHORT = HypernetworkConfig(
    z=16, describe="class-means", steps=60, epochs=8, examples=16, learning_rate=3e-3, adapt_steps=50
)


def members_of(tasks, architecture):
    specs = [Member(id=i, seed=i, task=task) for i, task in enumerate(tasks)]
    return single_architecture(architecture, torch.zeros(len(tasks), architecture.parameters), specs)


def data_of(dataset, training, validation, architecture):
    populations = (members_of(training, architecture), members_of(validation, architecture))
    return FitData(training=(populations[0],), validation=(populations[1],), dataset=dataset)


@pytest.fixture(scope="module")
def data():
    return data_of(load_dataset("digits"), TASKS, HELD_OUT, mlp((1, 8, 8), (8,), 2))


@pytest.fixture(scope="module")
def scenes():
    return compose("few", load_dataset("digits"), (6, 2, 2))


@pytest.fixture(scope="module")
def fit(data):
    return run(HypernetworkFit(SHORT, data))


def test_class_means_are_means_of_images_in_the_order_of_labels(data):
    train = data.dataset.train
    found = ClassMeans().describe(TaskExamples(["3-8", "8-3"], train))
    means = [train.inputs[train.targets == label].mean(0).flatten() for label in (3, 8)]
    assert torch.allclose(found, torch.stack([torch.cat(means), torch.cat(means[::-1])]))
    few = TaskExamples(["3-8"], train, labels=2)
    assert torch.allclose(ClassMeans().describe(few)[0, :64], train.inputs[train.targets == 3][:2].mean(0).flatten())


def test_means_of_drawn_examples_are_of_the_class(data):
    constant = data.dataset.train.targets.view(-1, 1, 1, 1).to(torch.uint8).expand(-1, 1, 8, 8).contiguous()
    examples = dataclasses.replace(data.dataset.train, values=constant, scale=1.0)
    drawn = ClassMeans().drawn(TaskExamples(["3-8", "7-2"], examples), [1, 0], 4, torch.Generator().manual_seed(0))
    assert drawn[:, [0, 63, 64, 127]].tolist() == [[7, 7, 2, 2], [3, 3, 8, 8]]


def test_large_images_are_described_by_small_ones():
    examples = load_dataset("digits_scenes").train.first(3)
    assert small(examples).shape == (3, 64)
    assert torch.allclose(small(examples)[0, 0], examples.inputs[0, 0, :3, :3].mean())


def test_a_vector_computed_from_the_description_solves_tasks_without_a_step(fit, data):
    made = fit.artifact()
    test = TaskExamples(HELD_OUT, data.dataset.test)
    assert made.accuracy(made.described(TaskExamples(HELD_OUT, data.dataset.train)), test) > 0.8
    assert made.accuracy(made.trained_vectors.mean(0).expand(3, -1), test) < 0.7, "no single network solves these tasks"
    found = fit.validate()
    assert found["adapted_accuracy"] > found["start_accuracy"] - 0.02


def test_adaptation_starts_at_what_the_description_says(fit, data):
    made = fit.artifact()
    examples = TaskExamples(HELD_OUT, data.dataset.train, labels=5)
    assert torch.equal(made.start(examples), made.described(examples))
    assert torch.equal(made.vectors(examples, steps=0), made.described(examples))
    everything = TaskExamples(HELD_OUT, data.dataset.train)
    assert not torch.equal(made.start(examples), made.start(everything))


@pytest.mark.parametrize(
    "changes",
    [{"described_by": 3}, {"described_by": 3, "embedded": 8}, {"describe": "task2vec"}],
    ids=["few", "embedded", "task2vec"],
)
def test_an_artifact_comes_back_and_a_fit_goes_on(changes, data):
    config = dataclasses.replace(SHORT, steps=4, epochs=4, **changes)
    straight, broken, again = (HypernetworkFit(config, data) for _ in range(3))
    for _ in range(2):
        broken.train_epoch()
    again.load_state(broken.state())
    wanted, found = run(straight).artifact(), run(again).artifact()
    examples = TaskExamples(HELD_OUT, data.dataset.train)
    assert torch.equal(found.described(examples), wanted.described(examples))
    stored = Hypernetwork.from_files(wanted.to_files())
    assert torch.equal(stored.described(examples), wanted.described(examples))
    assert torch.equal(stored.trained_vectors, wanted.trained_vectors)
    assert not torch.equal(wanted.described(examples), torch.zeros(3, 16))


def test_examples_are_embedded_before_they_are_averaged(data):
    config = dataclasses.replace(SHORT, described_by=5, embedded=16)
    made, untrained = run(HypernetworkFit(config, data)).artifact(), HypernetworkFit(config, data).artifact()
    assert not torch.equal(made.module.description_TD, untrained.module.description_TD)
    known, test = (TaskExamples(HELD_OUT, part) for part in (data.dataset.train, data.dataset.test))
    assert torch.equal(made.described(known), made.module.computed(made.describer.describe(known)))
    assert made.accuracy(made.described(TaskExamples(HELD_OUT, data.dataset.train, labels=5)), test) > 0.8
    with pytest.raises(ValueError, match="embedded is 4; allowed: 0 where described_by is 0"):
        dataclasses.replace(SHORT, embedded=4)


def test_task2vec_knows_which_classes_but_not_their_order(data):
    fit = HypernetworkFit(dataclasses.replace(SHORT, describe="task2vec", steps=1, epochs=1), data)
    assert isinstance(fit.describer, Task2Vec)
    found = fit.describer.describe(TaskExamples(["3-8", "8-3", "0-1", "3-8"], data.dataset.train))
    assert torch.equal(found[0], found[3])
    assert (found[0] - found[1]).norm() < 0.05 * (found[0] - found[2]).norm()


def test_fits_to_the_same_data_share_a_probe_network(data):
    config = dataclasses.replace(SHORT, describe="task2vec", steps=1, epochs=1)
    first, other = HypernetworkFit(config, data), HypernetworkFit(dataclasses.replace(config, seed=1), data)
    assert first.describer.probe is other.describer.probe


def test_tasks_that_count_are_described_by_objects(scenes):
    examples = TaskExamples([counting_task(3), counting_task(0)], scenes.train, objects=scenes.objects)
    known = examples.describing
    assert known.tasks == ("3-rest", "0-rest")
    prototype = scenes.objects.inputs[scenes.objects.targets == 3].mean(0).flatten()
    assert torch.allclose(ClassMeans().describe(examples)[0, :64], prototype)
    assert torch.equal(TaskExamples(["0-1"], scenes.train).describing.targets[0].unique(), torch.tensor([0, 1]))


@pytest.mark.parametrize("describe", ["class-means", "task2vec"])
def test_vectors_of_what_is_counted_are_computed_for_classes_that_were_never_counted(scenes, describe):
    tasks = counting_tasks(10)
    architecture = cnn_strided((1, 24, 24), (6,), 4, average=True)
    data = data_of(scenes, tasks[:8], tasks[8:], architecture)
    config = dataclasses.replace(SHORT, describe=describe, steps=5, epochs=1)
    fit = run(HypernetworkFit(config, data))
    if describe == "task2vec":
        assert fit.describer.probe.architecture.classes == 8, "the probe network knows no held-out class"
    made = fit.artifact()
    held_out = TaskExamples(tasks[8:], scenes.train, objects=scenes.objects)
    one, other = made.make(made.described(held_out)).weights_MP
    assert not torch.equal(one, other)


def test_what_cannot_be_described_is_refused(fit, data):
    with pytest.raises(ValueError, match="describe is 'words'; allowed: class-means, task2vec, or empty"):
        dataclasses.replace(SHORT, describe="words")
    with pytest.raises(ValueError, match="described_by is 5; allowed: 0 where describe is not class-means"):
        dataclasses.replace(SHORT, describe="", described_by=5)
    with pytest.raises(ValueError, match="one_hot is True; allowed: false where tasks are described"):
        dataclasses.replace(SHORT, one_hot=True)
    plain = run(HypernetworkFit(dataclasses.replace(SHORT, describe="", steps=1, epochs=1), data)).artifact()
    with pytest.raises(ValueError, match="computes no vector from a description; fit one with --set describe="):
        plain.described(TaskExamples(HELD_OUT, data.dataset.train))


def test_a_strong_prior_keeps_vectors_at_what_the_description_says(fit, data):
    made = fit.artifact()
    examples = TaskExamples(HELD_OUT, data.dataset.train, labels=5)
    start_TZ = made.described(examples)
    moved = [(made.vectors(examples, steps=30, prior=strength) - start_TZ).norm() for strength in (0.0, 100.0)]
    assert moved[1] < 0.3 * moved[0]
