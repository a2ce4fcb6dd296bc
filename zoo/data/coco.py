"""COCO as data sets: photographs that ask how many objects they hold, and cut-outs of objects to compose scenes of.

A data set of one's own is a function that calls one of these::

    def photos():
        parts = [(f"coco/instances_{part}2017.json", f"coco/{part}2017") for part in ("train", "val")]
        return counted_photos("photos", *parts, categories=("person", "dog", "car"))

and ``compose("scenes", cut_outs(…), (25, 5, 10))`` makes scenes (``zoo.data.scenes``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from zoo.data.annotations import Annotations, Box, read_annotations
from zoo.data.examples import Dataset, Examples
from zoo.data.scenes import ANSWERS, MOST
from zoo.data.task import Task

# Larger data sets are refused.
LARGEST_DATA = 2**32
SIDE = 32
# Boxes with a shorter side show little.
SMALLEST_BOX = 8
SCALE = 1 / 255
# One photograph of so many is for validation.
VALIDATION = 5
# File of annotations and folder of images.
Source = tuple[str | Path, str | Path]


def counted_photos(name: str, train: Source, test: Source, categories: Sequence[str], *, side: int = SIDE) -> Dataset:
    """Whole photographs that ask how many objects of a category they hold, with the labels and tasks of scenes.

    A photograph occurs once for each category of which it holds some; of those without any of a category, as many do
    as have one of it. More than ``MOST`` objects count as so many; a photograph with a crowd of a category is not asked
    about it.

    Args:
        name: Name of the data set.
        train: File of annotations and folder of images for training; every fifth photograph is for
            validation.
        test: The same for tests.
        categories: The categories that are asked about, in the order of the classes.
        side: Photographs are made squares of so many pixels.

    Raises:
        FileNotFoundError: A file or folder is not there.
        ValueError: Annotations or images cannot be read, the data set would be too large, or a category lacks.
    """
    parts = [_counted(read_annotations(*source), categories, side) for source in (train, test)]
    return _split(name, Task("softmax", len(categories) * ANSWERS), *parts)


def cut_outs(
    name: str, train: Source, test: Source, categories: Sequence[str], *, side: int = SIDE, most: int = 1000
) -> Dataset:
    """Objects cut out of photographs along their boxes, as images with classes; scenes can be composed of them.

    Args:
        name: Name of the data set.
        train: File of annotations and folder of images for training; every fifth photograph is for
            validation.
        test: The same for tests.
        categories: Which categories, in the order of the classes.
        side: Cut-outs are made squares of so many pixels.
        most: At most so many of each category and file, the first ones.

    Raises:
        FileNotFoundError: A file or folder is not there.
        ValueError: Annotations or images cannot be read, the data set would be too large, or a category has no objects.
    """
    parts = [_cut_out(read_annotations(*source), categories, side, most) for source in (train, test)]
    return _split(name, Task("softmax", len(categories)), *parts)


# Images, labels, and the photographs that they are from.
Part = tuple[np.ndarray, np.ndarray, np.ndarray]


def _counted(found: Annotations, categories: Sequence[str], side: int) -> Part:
    """Whole photographs, once for each category that they are asked about."""
    counts_NK, chosen = found.counts(), []
    for label, category in enumerate(found.numbers(categories)):
        count_N = counts_NK[:, category]
        if not (count_N > 0).any():
            raise ValueError(f"no photograph has a {categories[label]!r} in it; leave this category out")
        of_some = np.flatnonzero(count_N > 0)
        chosen += [(int(row), label * ANSWERS + min(int(count_N[row]), MOST)) for row in of_some]
        without = np.flatnonzero(count_N == 0)[: max(1, int((count_N == 1).sum()))]
        chosen += [(int(row), label * ANSWERS) for row in without]
    chosen.sort()
    _check_size(len(chosen), side)
    images = {row: found.image(row, None, side) for row in dict(chosen)}
    rows, labels = zip(*chosen, strict=True)
    return np.stack([images[row] for row in rows]), np.array(labels), np.array(rows)


def _cut_out(found: Annotations, categories: Sequence[str], side: int, most: int) -> Part:
    """Objects of the categories."""
    label_of = {category: label for label, category in enumerate(found.numbers(categories))}
    taken: list[tuple[Box, int]] = []
    counts = [0] * len(categories)
    for box in found.boxes:
        label = label_of.get(box.category)
        if label is not None and not box.crowd and box.shortest >= SMALLEST_BOX and counts[label] < most:
            counts[label] += 1
            taken.append((box, label))
    if not all(counts):
        raise ValueError(
            f"category {categories[counts.index(0)]!r} has no object of {SMALLEST_BOX} pixels or more in the "
            "annotations; leave it out"
        )
    _check_size(len(taken), side)
    images = np.stack([found.image(box.photo, box.corners, side) for box, _ in taken])
    return images, np.array([label for _, label in taken]), np.array([box.photo for box, _ in taken])


def _split(name: str, task: Task, training: Part, test: Part) -> Dataset:
    """The splits; what is of one photograph is in one of them."""
    of_validation = training[2] % VALIDATION == VALIDATION - 1

    def examples(part: Part, rows: np.ndarray | slice = slice(None)) -> Examples:
        return Examples(torch.from_numpy(part[0][rows]), torch.from_numpy(part[1][rows]), SCALE)

    return Dataset(
        name,
        task,
        train=examples(training, ~of_validation),
        validation=examples(training, of_validation),
        test=examples(test),
    )


def _check_size(images: int, side: int) -> None:
    if side < 1 or images * 3 * side**2 > LARGEST_DATA:
        raise ValueError(
            f"{images:,} images of {side} x {side} pixels; allowed: a side of 1 or more, up to "
            f"{LARGEST_DATA // 2**30} GiB in all: take fewer categories, or a smaller side"
        )
