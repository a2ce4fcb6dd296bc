"""Tasks: losses against torch's own, metrics, targets that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoo.config import from_json, to_json
from zoo.data import Dataset, Examples, Task
from zoo.data.examples import split_examples
from zoo.data.task import LOSSES

SQUARES = Task("squared", 2)


def numbers(*shape, seed=3):
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).normal(size=shape).astype(np.float32))


def absolute(outputs, targets):
    return (outputs - targets).abs().sum(1)


def of_numbers(task=SQUARES, targets=None):
    targets = numbers(20, task.outputs) if targets is None else targets
    examples = Examples(numbers(20, 7), targets)
    return Dataset("numbers", task, examples.first(10), examples.select(slice(10, 14)), examples.select(slice(14, 20)))


def test_the_mean_over_examples_is_what_torch_calls_the_loss():
    outputs, labels = numbers(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    shares = numbers(6, 3, seed=4).sigmoid()
    expected = {
        "softmax": F.cross_entropy(outputs, labels),
        "sigmoid": F.binary_cross_entropy_with_logits(outputs, shares),
        "squared": F.mse_loss(outputs, shares),
    }
    assert {*expected, "count"} == LOSSES.keys()
    for loss, mean in expected.items():
        each = Task(loss, 3).losses()(outputs, labels if loss == "softmax" else shares)
        assert each.shape == (6,)
        torch.testing.assert_close(each.mean(), mean)


def test_a_count_is_a_label_told_by_one_output():
    task, outputs, labels = Task("count", 1), numbers(6, 1), torch.tensor([0, 3, 2, 2, 1, 0])
    expected = F.mse_loss(outputs, labels[:, None].float(), reduction="none")[:, 0]
    torch.testing.assert_close(task.losses()(outputs, labels), expected)
    assert task.of_classes(()) is task.of_classes((12, 13, 14, 15)) is task
    assert task.allows(1)
    assert not task.allows(2)
    assert (task.has_labels, task.has_classes) == (True, False)
    of_numbers(task, torch.arange(20))


def test_a_loss_of_the_users_own_is_found_and_judged_by_itself_alone():
    task = Task("test_task:absolute", 2)
    assert task.losses() is absolute
    assert [metric.name for metric in task.metrics] == ["loss"]
    assert task.score is None
    with pytest.raises(ValueError, match="loss 'test_task:nothing'"):
        Task("test_task:nothing", 2).losses()


def test_each_task_says_what_judges_it():
    assert [metric.name for metric in Task("softmax", 3).metrics] == ["loss", "accuracy"]
    assert [metric.name for metric in Task("sigmoid", 3).metrics] == ["loss", "accuracy"]
    assert [metric.name for metric in SQUARES.metrics] == ["loss", "r2"]
    assert [metric.name for metric in Task("count", 1).metrics] == ["loss", "accuracy", "r2"]
    assert SQUARES.score is SQUARES.metrics[1]
    assert from_json(Task, to_json(SQUARES)) == SQUARES


@pytest.mark.parametrize(
    ("loss", "outputs", "message"),
    [
        ("hinge", 2, r"Task\.loss is 'hinge'; allowed: softmax, sigmoid, squared, count, or module:attribute"),
        ("count", 4, r"Task\.outputs is 4; allowed: 1 where the loss is count"),
        ("softmax", 0, r"Task\.outputs is 0"),
        ("softmax", 2.0, r"Task\.outputs is 2\.0"),
    ],
)
def test_tasks_that_are_none_are_refused(loss, outputs, message):
    with pytest.raises(ValueError, match=message):
        Task(loss, outputs)


def test_targets_that_are_not_of_the_task_are_refused():
    labels = torch.arange(20) % 2
    with pytest.raises(ValueError, match=r"'numbers', train: targets are torch\.float32; loss 'softmax' needs labels"):
        of_numbers(Task("softmax", 2), numbers(20, 2))
    with pytest.raises(ValueError, match=r"train: labels go from 0 to 3; allowed: 0 to 2"):
        of_numbers(Task("softmax", 3), torch.arange(20) % 4)
    with pytest.raises(ValueError, match=r"train: labels go from -1 to 8; allowed: 0 or more"):
        of_numbers(Task("count", 1), torch.arange(20) - 1)
    with pytest.raises(ValueError, match=r"loss is 'squared'; allowed: softmax and count, whose targets are labels"):
        SQUARES.of_classes((3, 8))
    with pytest.raises(ValueError, match=r"loss 'squared' with 2 outputs needs float32 \[N, 2\]"):
        of_numbers(SQUARES, labels)
    with pytest.raises(ValueError, match=r"loss 'squared' with 2 outputs needs float32 \[N, 2\]"):
        of_numbers(SQUARES, numbers(20, 3))
    with pytest.raises(ValueError, match="loss 'sigmoid' allows 0 to 1"):
        of_numbers(Task("sigmoid", 2), numbers(20, 2))
    of_numbers(Task("test_task:absolute", 2), labels)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(wrong):
    values, targets = np.ones((30, 4)), np.ones((30, 1))
    holed = values.copy()
    holed[:, 2] = wrong
    arguments = {"task": Task("squared", 1), "validation": 10, "test": 10}
    with np.errstate(over="ignore"):
        with pytest.raises(ValueError, match=r"'holed', train: 10 of 40 values are not finite \(NaN, or beyond"):
            split_examples("holed", holed, targets, **arguments)
        with pytest.raises(ValueError, match=r"train: 10 of 10 targets are not finite .*; fill them in"):
            split_examples("holed", values, targets * wrong, **arguments)


def test_examples_of_numbers_are_their_own_inputs():
    data = of_numbers()
    assert data.input_shape == (7,)
    assert data.train.inputs is data.train.values
    with pytest.raises(ValueError, match="data set 'numbers' has no classes: its task has loss 'squared'"):
        _ = data.classes
    with pytest.raises(ValueError, match=r"test examples have shape \(3,\); the training examples have \(7,\)"):
        replace(data, test=Examples(numbers(2, 3), numbers(2, 2)))


def test_chosen_examples_have_their_targets():
    examples = of_numbers().train
    for rows in ([4, 1], torch.tensor([4, 1]), slice(1, 5), torch.arange(10) > 6):
        chosen = examples.select(rows)
        assert torch.equal(chosen.values, examples.values[rows])
        assert torch.equal(chosen.targets, examples.targets[rows])
    assert len(examples.first(3)) == 3
    assert len(examples.first(None)) == 10


def test_the_content_hash_sees_targets_and_loss():
    data = of_numbers(Task("test_task:absolute", 2))
    moved = replace(data.test, targets=data.test.targets + 1)
    others = [replace(data, test=moved), replace(data, task=SQUARES), replace(data, task=Task("test_task:other", 2))]
    assert len({data.sha256, *(other.sha256 for other in others)}) == 4


def test_numbers_are_split_as_images_are():
    values, targets = np.arange(60.0).reshape(20, 3), np.arange(20.0).reshape(20, 1)
    data = split_examples("ordered", values, targets, task=Task("squared", 1), validation=5, test=6)
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 5, 6)
    parts = (data.train, data.validation, data.test)
    assert sorted(int(number) for part in parts for number in part.targets) == list(range(20))
    for part in parts:
        assert torch.equal(part.values[:, :1], 3 * part.targets)
    labels = split_examples("ordered", values, np.arange(20), task=Task("softmax", 20), validation=5, test=6)
    assert torch.equal(labels.test.targets.float(), data.test.targets[:, 0])
