"""Cuts of CIFAR as data sets of one's own, for recorded runs: ``benchmarks.cifar_cuts:cifar100`` and others.

The environment variable ``CIFAR_CUTS`` names the folder that holds them: ``cifar-100-cut`` with arrays of images and
labels, ``cifar-10-batches-py`` with the first of the five published training batches and the test batch.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np

from zoo.data.examples import Dataset, split_examples
from zoo.data.scenes import compose
from zoo.data.task import Task


def cifar100() -> Dataset:
    """200 training and 60 test images of each class; a fifth of the training images is for validation."""
    folder = Path(os.environ["CIFAR_CUTS"]) / "cifar-100-cut"
    parts = {
        name: np.load(folder / f"{name}.npy") for name in ("train-images", "train-labels", "test-images", "test-labels")
    }
    return split_examples(
        "cifar100-cut",
        parts["train-images"],
        parts["train-labels"],
        task=Task("softmax", 100),
        scale=1 / 255,
        validation=4000,
        test_values=parts["test-images"],
        test_targets=parts["test-labels"],
    )


def cifar100_scenes() -> Dataset:
    """Scenes of these images at half their size: 80, 5 and 10 of each class and number."""
    return compose("cifar100-cut-scenes", cifar100(), (80, 5, 10), shrink=2)


def cifar10() -> Dataset:
    """The first training batch, 2 000 of its 10 000 images for validation, and the test batch."""
    pixels, labels = zip(*(_batch(name) for name in ("data_batch_1", "test_batch")), strict=True)
    return split_examples(
        "cifar10-cut",
        pixels[0],
        labels[0],
        task=Task("softmax", 10),
        scale=1 / 255,
        validation=2000,
        test_values=pixels[1],
        test_targets=labels[1],
    )


def _batch(name: str) -> tuple[np.ndarray, np.ndarray]:
    file = Path(os.environ["CIFAR_CUTS"]) / "cifar-10-batches-py" / name
    content = pickle.loads(file.read_bytes(), encoding="bytes")  # torchvision's own files, which the user put there
    return content[b"data"].reshape(-1, 3, 32, 32), np.array(content[b"labels"])
