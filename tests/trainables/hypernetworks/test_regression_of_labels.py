"""Hypernetworks for tasks that are regression: one output, which says which label it is as a number."""

import dataclasses

import pytest
import torch

from trainables.hypernetworks.adaptation import task_accuracies
from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.hypernetwork import Hypernetwork, HypernetworkFit
from trainables.registry import find_trainable
from trainables.tasks.task_examples import TaskExamples, task_loss
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.data import Task, load_dataset
from zoo.data.class_tasks import one_vs_one
from zoo.population import Member
from zoo.population.population import single_architecture

ARCHITECTURE = mlp((1, 8, 8), (8,), 1)
HELD_OUT = ["0-1", "2-7", "5-8"]
SHORT = HypernetworkConfig(
    z=16, steps=60, epochs=6, task_batch=16, examples=16, learning_rate=3e-3, adapt_steps=150, adapt_learning_rate=0.1,
    start="nearest",
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    def members(tasks):
        specs = [Member(id=i, seed=i, task=name) for i, name in enumerate(tasks)]
        return single_architecture(ARCHITECTURE, torch.zeros(len(tasks), ARCHITECTURE.parameters), specs)

    training = members([name for name in one_vs_one(10) if name not in HELD_OUT])
    dataset = dataclasses.replace(load_dataset("digits"), task=Task("count", 1))
    return FitData(training=(training,), validation=(members(HELD_OUT),), dataset=dataset)


@pytest.fixture(scope="module")
def fit(data):
    return run(HypernetworkFit(SHORT, data))


def test_z_alone_solves_tasks_by_regression(fit):
    found = fit.validate()
    assert found["fitted_accuracy"] > 0.9
    assert found["adapted_accuracy"] > 0.85
    assert found["adapted_accuracy"] > found["start_accuracy"]


def test_the_loss_is_the_squared_error_of_one_output(fit, data):
    made = fit.artifact()
    assert made.task == data.dataset.task
    own = TaskExamples(["3-8"], data.dataset.train).of(0)
    outputs_T1N1 = ARCHITECTURE.logits(made.make(made.trained_vectors[:1]).weights_MP, own.inputs)
    wanted = (outputs_T1N1[0, :, 0] - own.targets).square().mean()
    torch.testing.assert_close(task_loss(made.task, outputs_T1N1, own.targets[None])[0], wanted)


def test_an_answer_is_right_where_the_output_rounds_to_the_label(fit, data):
    made, examples = fit.artifact(), TaskExamples(HELD_OUT, data.dataset.test)
    weights_TP = made.make(made.trained_vectors[:3]).weights_MP
    found_T = task_accuracies(ARCHITECTURE, made.task, weights_TP, examples)
    for number, weights_P in enumerate(weights_TP):
        own = examples.of(number)
        outputs_N = ARCHITECTURE.logits(weights_P[None], own.inputs)[0, :, 0]
        right_N = (outputs_N > own.targets - 0.5) & (outputs_N < own.targets + 0.5)
        assert float(found_T[number]) == pytest.approx(float(right_N.double().mean()))


def test_networks_whose_outputs_are_not_finite_answer_nothing_rightly(data):
    for architecture, task in ((ARCHITECTURE, data.dataset.task), (mlp((1, 8, 8), (8,), 2), Task("softmax", 2))):
        weights_TP = torch.full((1, architecture.parameters), torch.nan)
        assert task_accuracies(architecture, task, weights_TP, TaskExamples(["0-1"], data.dataset.test))[0] == 0


def test_an_artifact_comes_back_with_its_task(fit, data):
    made = fit.artifact()
    again, examples = Hypernetwork.from_files(made.to_files()), TaskExamples(HELD_OUT, data.dataset.train, labels=5)
    assert again.task == Task("count", 1)
    assert torch.equal(again.vectors(examples, steps=3), made.vectors(examples, steps=3))


def test_what_has_no_labels_or_needs_classes_is_refused(data):
    with pytest.raises(ValueError, match="the loss is 'squared'; allowed: softmax and count, whose targets are labels"):
        HypernetworkFit(SHORT, dataclasses.replace(data, dataset=of_numbers()))
    with pytest.raises(ValueError, match="dataset-hypernetwork needs classes to tell apart; this data set's loss is"):
        find_trainable("dataset-hypernetwork").check_targets(Task("count", 1))


def of_numbers():
    digits = load_dataset("digits")
    parts = {
        split: dataclasses.replace(part, targets=part.targets[:, None].float())
        for split in ("train", "validation", "test")
        for part in [getattr(digits, split)]
    }
    return dataclasses.replace(digits, task=Task("squared", 1), **parts)
