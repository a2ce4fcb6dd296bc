"""Scenes: what they are composed of, and that nothing but the class asked about tells the answer."""

import dataclasses

import numpy as np
import pytest
import torch

from zoo.data import load_dataset
from zoo.data.class_tasks import parse_task, task_labels
from zoo.data.examples import SPLITS, Dataset, Examples
from zoo.data.scenes import (
    ANSWERS,
    KINDS,
    MOST,
    ORIENTATIONS,
    SIDE,
    compose,
    counted,
    counted_class,
    counting_task,
    counting_tasks,
    turned,
)
from zoo.data.task import Task


@pytest.fixture(scope="module")
def marked() -> Dataset:
    """Objects of 2 x 2 pixels that say their class and split."""

    def part(first: int) -> Examples:
        labels = torch.arange(5).repeat(3)
        number = torch.arange(15)
        values = torch.stack([labels + 1, number + 1, torch.full_like(labels, first), labels + 1], 1).view(-1, 1, 2, 2)
        return Examples(values.to(torch.uint8), labels, 1 / 255)

    return Dataset("marked", Task("softmax", 5), part(1), part(2), part(3))


@pytest.fixture(scope="module")
def scenes(marked) -> Dataset:
    return compose("scenes", marked, (30, 10, 20))


def cells_of(examples: Examples) -> np.ndarray:
    """``[N, cells, 2, 2]``."""
    images = examples.values.numpy()[:, 0]
    return images.reshape(-1, SIDE, 2, SIDE, 2).transpose(0, 1, 3, 2, 4).reshape(len(images), -1, 2, 2)


@pytest.mark.parametrize("split", SPLITS)
def test_a_scene_holds_as_many_of_its_class_as_its_label_says(scenes, marked, split):
    examples, objects = getattr(scenes, split), getattr(marked, split)
    cells = cells_of(examples)
    known = {image.tobytes() for image in objects.values.numpy()} | {bytes(4)}
    assert all(cell.tobytes() in known for cell in cells.reshape(-1, 2, 2)), "objects of this split alone"
    for drawn, label in zip(cells[:, :, 0, 0].astype(int) - 1, examples.targets.tolist(), strict=True):
        asked, count = divmod(label, ANSWERS)
        assert (drawn == asked).sum() == count
        assert len(set(drawn[drawn >= 0])) <= KINDS
        assert np.bincount(drawn[drawn >= 0], minlength=1).max(initial=0) <= MOST
    assert examples.targets.bincount().tolist() == [{"train": 30, "validation": 10, "test": 20}[split]] * 20


def test_all_classes_of_a_scene_are_there_equally_often(scenes):
    """Who does not know which class is asked about learns nothing from how many there are of each."""
    drawn = cells_of(scenes.train)[:, :, 0, 0].astype(int) - 1
    asked = scenes.train.targets.numpy() // ANSWERS
    counts_NC = np.stack([(drawn == label).sum(1) for label in range(5)], 1)
    of_asked = counts_NC[np.arange(len(asked)), asked].mean()
    others = (counts_NC.sum() - of_asked * len(asked)) / len(asked) / (KINDS - 1)
    assert of_asked == MOST / 2
    assert others == pytest.approx(MOST / 2, abs=0.1)


def test_scenes_are_a_function_of_name_seed_and_objects(marked):
    again, other = (compose("scenes", marked, (30, 10, 20), seed=seed) for seed in (0, 1))
    first = compose("scenes", marked, (30, 10, 20))
    assert first.sha256 == again.sha256 != other.sha256
    assert compose("digits", load_dataset("digits"), (1, 1, 1)).sha256[:8] == "a79191c0"


def test_objects_are_kept_to_describe_classes_by(scenes, marked):
    assert torch.equal(scenes.objects.values, marked.train.values)
    assert dataclasses.replace(scenes, objects=None).sha256 != scenes.sha256


def test_tasks_that_count_are_class_tasks(scenes):
    assert counting_tasks(2) == ["0-to-3", "4-to-7"]
    labels = task_labels(counting_task(3), scenes.test.targets)
    assert (labels >= 0).sum() == 80
    assert torch.equal(labels[labels >= 0], scenes.test.targets[labels >= 0] - 12)
    assert [counted_class(parse_task(task)) for task in counting_tasks(5)] == list(range(5))
    for task in ("1-to-4", "0-1-2", "3-8"):
        with pytest.raises(ValueError, match="are not the answers to how many there are of one class"):
            counted_class(parse_task(task))


def test_images_are_made_smaller_by_means(marked):
    small = compose("scenes", marked, (2, 1, 1), shrink=2)
    assert small.input_shape == (1, SIDE, SIDE)
    means = marked.train.values.float().mean((2, 3)).round().flatten()
    assert set(small.train.values.unique().tolist()) <= {0, *means.int().tolist()}


def test_turned_objects_are_classes_of_their_own():
    digits = load_dataset("digits")
    many = turned(digits)
    assert many.classes == 80
    assert len(many.test) == ORIENTATIONS * len(digits.test)
    first = many.train.select(slice(8))
    assert first.targets.tolist() == list(range(8 * int(digits.train.targets[0]), 8 * int(digits.train.targets[0]) + 8))
    original = digits.train.values[0]
    assert torch.equal(first.values[0], original)
    assert torch.equal(first.values[2], original.flip(1, 2))
    assert len({image.numpy().tobytes() for image in first.values}) == 8


def test_scenes_can_be_counted_by_regression(marked):
    scenes = compose("x", marked, (1, 1, 1))
    found = counted(scenes)
    assert (found.name, found.task) == ("x_counted", Task("count", 1))
    assert found.sha256 != scenes.sha256
    assert all(getattr(found, split) is getattr(scenes, split) for split in (*SPLITS, "objects"))


def test_what_scenes_cannot_be_composed_of_is_refused(marked):
    with pytest.raises(ValueError, match=r"each is \(0, 1, 1\); allowed: 1 or more scenes"):
        compose("x", marked, (0, 1, 1))
    with pytest.raises(ValueError, match="shrink is 3; allowed: divisors of the images' 2 x 2 pixels"):
        compose("x", marked, (1, 1, 1), shrink=3)
    lacking = dataclasses.replace(marked, test=marked.test.select(marked.test.targets != 3))
    with pytest.raises(ValueError, match="'marked' has no test images of class 3; scenes need some of each"):
        compose("x", lacking, (1, 1, 1))
    numbers = Examples(torch.rand(4, 3), torch.rand(4, 1))
    with pytest.raises(ValueError, match="'values' has no images with classes"):
        compose("x", Dataset("values", Task("squared", 1), numbers, numbers, numbers), (1, 1, 1))
    few = dataclasses.replace(
        marked,
        task=Task("softmax", 2),
        **{s: getattr(marked, s).select(getattr(marked, s).targets < 2) for s in SPLITS},
    )
    with pytest.raises(ValueError, match="has 2 classes; a scene needs 3 or more"):
        compose("x", few, (1, 1, 1))
