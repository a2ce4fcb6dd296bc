"""Scenes: images composed of objects of another data set, which ask how many of one class there are.

After the third experiment of SuperNet, in which a vector that describes a domain of scenes conditions a network that
counts. Each scene is composed for one class that it asks about. It holds that class and some others, all of them
equally often on average, so that only who knows the class asked about can tell the answer. Label ``c * ANSWERS + n``
says that there are n objects of class c, and the task ``counting_task(c)`` is to tell the answers for class c apart, or
to say n by regression (:func:`counted`).

Shape letters: N scenes, K classes of a scene, S cells of a scene.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import torch

from zoo.data.examples import SPLITS, Dataset, Examples
from zoo.data.task import Task

# 0 to 3 objects of each of three classes of a scene, in the cells of a square.
MOST, KINDS, SIDE = 3, 3, 3
ANSWERS = MOST + 1
EMPTY = -1
# Of a square under turns and mirrors.
ORIENTATIONS = 8


def counting_task(label: int) -> str:
    """The task "how many of this class": "12-to-15" of class 3."""
    return f"{label * ANSWERS}-to-{label * ANSWERS + MOST}"


def counting_tasks(classes: int) -> list[str]:
    """One for each class."""
    return [counting_task(label) for label in range(classes)]


def counted_class(classes: tuple[int, ...]) -> int:
    """The class that a task asks about, from the labels that it tells apart.

    Raises:
        ValueError: They are not the answers for one class.
    """
    first = classes[0] if classes else 1
    if first % ANSWERS or classes != tuple(range(first, first + ANSWERS)):
        raise ValueError(
            f"labels {', '.join(map(str, classes))} are not the answers to how many there are of one class; these are "
            f"tasks such as {counting_task(0)!r} and {counting_task(1)!r}"
        )
    return first // ANSWERS


def compose(name: str, objects: Dataset, each: tuple[int, int, int], *, shrink: int = 1, seed: int = 0) -> Dataset:
    """A data set of scenes; those of a split are composed of objects of that split.

    Args:
        name: Name of the data set.
        objects: Images with classes.
        each: For the splits, how many scenes there are of each class and number.
        shrink: Objects are made smaller by this factor, by means of squares of pixels.
        seed: Of everything random.

    Raises:
        ValueError: The objects are no images with classes, not square multiples of ``shrink``, or a split lacks a
            class.
    """
    if not objects.task.has_classes or objects.train.values.dtype != torch.uint8:
        raise ValueError(f"data set {objects.name!r} has no images with classes, of which scenes could be composed")
    if objects.classes < KINDS:
        raise ValueError(f"data set {objects.name!r} has {objects.classes} classes; a scene needs {KINDS} or more")
    if min(each) < 1:
        raise ValueError(f"each is {each}; allowed: 1 or more scenes of each class and number in every split")
    parts = {split: _shrunk(getattr(objects, split), shrink) for split in SPLITS}
    for split, part in parts.items():
        lacking = set(range(objects.classes)) - set(part.targets.tolist())
        if lacking:
            raise ValueError(
                f"data set {objects.name!r} has no {split} images of class {min(lacking)}; scenes need some of each"
            )
    made = {
        split: _scenes(part, objects.classes, count, _generator(f"{name} {split} {seed}"))
        for (split, part), count in zip(parts.items(), each, strict=True)
    }
    return Dataset(name, Task("softmax", objects.classes * ANSWERS), **made, objects=parts["train"])


def counted(scenes: Dataset) -> Dataset:
    """The same scenes, to be counted by regression: a network has one output, how many there are."""
    return replace(scenes, name=f"{scenes.name}_counted", task=Task("count", 1))


def turned(objects: Dataset) -> Dataset:
    """Square images in eight orientations, turned and mirrored, each a class: label ``8 * c + o``.

    Many classes of few, so that a class that is held out has others like it. Some classes look alike in two
    orientations; a scene seldom holds both.
    """
    parts = {split: _turned(getattr(objects, split)) for split in SPLITS}
    return Dataset(f"{objects.name}_turned", Task("softmax", objects.classes * ORIENTATIONS), **parts)


def _turned(images: Examples) -> Examples:
    turns = [images.values.rot90(quarter, (2, 3)) for quarter in range(4)]
    values = torch.stack([*turns, *(each.flip(3) for each in turns)], dim=1).flatten(0, 1)
    targets = images.targets[:, None] * ORIENTATIONS + torch.arange(ORIENTATIONS)
    return Examples(values.contiguous(), targets.flatten(), images.scale)


def _scenes(objects: Examples, classes: int, each: int, generator: np.random.Generator) -> Examples:
    """So many scenes of each class and number, in a random order."""
    labels_N = generator.permutation(np.repeat(np.arange(classes * ANSWERS), each))
    asked_N, count_N = labels_N // ANSWERS, labels_N % ANSWERS
    # Others are drawn by their place among those that are not asked about.
    others_NK = generator.random((len(labels_N), classes - 1)).argsort(1)[:, : KINDS - 1]
    others_NK += others_NK >= asked_N[:, None]
    class_NK = np.column_stack([asked_N, others_NK])
    count_NK = np.column_stack([count_N, generator.integers(ANSWERS, size=others_NK.shape)])
    # As many cells of each class as there are objects of it, the rest empty, in a random order.
    upto_NK = count_NK.cumsum(1)
    kind_NS = (np.arange(SIDE**2)[None, :, None] >= upto_NK[:, None, :]).sum(2)
    class_NS = np.take_along_axis(np.column_stack([class_NK, np.full(len(labels_N), EMPTY)]), kind_NS, axis=1)
    class_NS = generator.permuted(class_NS, axis=1)
    labels = objects.targets.numpy()
    ordered, found_C = labels.argsort(kind="stable"), np.bincount(labels, minlength=classes)
    first_C = found_C.cumsum() - found_C
    drawn_NS = (generator.random(class_NS.shape) * found_C[class_NS]).astype(np.int64)
    pixels = objects.values.numpy()
    blank = np.zeros((1, *pixels.shape[1:]), dtype=np.uint8)
    rows_NS = np.where(class_NS == EMPTY, len(pixels), ordered[first_C[class_NS] + drawn_NS])
    channels, height, width = pixels.shape[1:]
    cells = np.concatenate([pixels, blank])[rows_NS].reshape(-1, SIDE, SIDE, channels, height, width)
    images = cells.transpose(0, 3, 1, 4, 2, 5).reshape(-1, channels, SIDE * height, SIDE * width)
    return Examples(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels_N), objects.scale)


def _shrunk(images: Examples, shrink: int) -> Examples:
    """Images smaller by a factor, each pixel the rounded mean of a square."""
    count, channels, height, width = images.values.shape
    if shrink < 1 or height % shrink or width % shrink:
        raise ValueError(f"shrink is {shrink}; allowed: divisors of the images' {height} x {width} pixels")
    if shrink == 1:
        return images
    squares = images.values.view(count, channels, height // shrink, shrink, width // shrink, shrink)
    smaller = [part.float().mean((3, 5)).round().to(torch.uint8) for part in squares.split(4096)]
    return Examples(torch.cat(smaller), images.targets, images.scale)


def _generator(purpose: str) -> np.random.Generator:
    key = int.from_bytes(hashlib.sha256(f"scenes {purpose}".encode()).digest()[:8], "little")
    return np.random.Generator(np.random.Philox(key=key))
