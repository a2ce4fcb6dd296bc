"""Torchvision's data sets through its own loaders."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets

from zoo.data.examples import Dataset, split_examples
from zoo.data.task import Task

ROOT_VARIABLE = "ZOOSCALE_DATA"


@dataclass(frozen=True, slots=True)
class VisionDataset:
    """How torchvision loads one data set.

    Attributes:
        factory: The torchvision class.
        classes: Number of classes.
        validation: How many training images are set aside for validation.
        splits: Keyword arguments of the training part and of the test part.
        gray: Whether to reduce colors to shades of gray.
    """

    factory: Callable[..., Any]
    classes: int
    validation: int
    splits: tuple[dict[str, Any], dict[str, Any]] = ({"train": True}, {"train": False})
    gray: bool = False


SVHN_SPLITS: tuple[dict[str, Any], dict[str, Any]] = ({"split": "train"}, {"split": "test"})
VISION: dict[str, VisionDataset] = {
    "mnist": VisionDataset(datasets.MNIST, 10, 5000),
    "fashion_mnist": VisionDataset(datasets.FashionMNIST, 10, 5000),
    "kmnist": VisionDataset(datasets.KMNIST, 10, 5000),
    "usps": VisionDataset(datasets.USPS, 10, 1000),
    "cifar10": VisionDataset(datasets.CIFAR10, 10, 5000),
    "cifar100": VisionDataset(datasets.CIFAR100, 100, 5000),
    "svhn": VisionDataset(datasets.SVHN, 10, 5000, SVHN_SPLITS),
    "cifar10_gray": VisionDataset(datasets.CIFAR10, 10, 5000, gray=True),
    "svhn_gray": VisionDataset(datasets.SVHN, 10, 5000, SVHN_SPLITS, gray=True),
}


def data_root() -> Path:
    """Where data sets are kept: ``ZOOSCALE_DATA``, else ``~/.cache/zooscale/data``."""
    given = os.environ.get(ROOT_VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "zooscale" / "data"


def load_vision(name: str, root: Path | None = None, *, download: bool = True) -> Dataset:
    """Loads a torchvision data set from ``root``; downloads it there if it is missing.

    The training images are split by a fixed shuffle into train and validation; test images are the published
    ones. A small data set (fewer than five times the usual validation images) gives a fifth to validation.

    Raises:
        FileNotFoundError: The files are not there and cannot be downloaded or written, or ``download`` is false.
        ValueError: The files are there and cannot be read.
    """
    known = VISION[name]
    root = data_root() if root is None else root
    parts = (_part(name, partial(known.factory, root=str(root), **options), root, download) for options in known.splits)
    (pixels, labels), (test_pixels, test_labels) = parts
    if known.gray:
        pixels, test_pixels = gray(pixels), gray(test_pixels)
    return split_examples(
        name,
        pixels,
        labels,
        task=Task("softmax", known.classes),
        scale=1 / 255,
        validation=min(known.validation, len(labels) // 5),
        test_values=test_pixels,
        test_targets=test_labels,
    )


def _part(name: str, load: Callable[..., Any], root: Path, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of one part, downloaded where it is missing; raises as :func:`load_vision` does."""
    try:
        return _arrays(load(download=False))
    except Exception as error:  # of what torchvision's readers raise on a damaged file, nothing is promised
        if not isinstance(error, FileNotFoundError) and "download=True" not in str(error):
            raise ValueError(
                f"data set {name!r}: its files under {root} cannot be read ({type(error).__name__}: "
                f"{' '.join(str(error).split()) or 'no message'}); delete what is damaged, and it is downloaded anew"
            ) from error
        if not download:
            raise FileNotFoundError(f"data set {name!r} is not under {root}") from error
    try:
        root.mkdir(parents=True, exist_ok=True)
        return _arrays(load(download=True))
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"data set {name!r} is not under {root} and could not be downloaded ({' '.join(str(error).split())}). "
            f"Put torchvision's files there, or set {ROOT_VARIABLE} to the folder that holds them"
        ) from error


def gray(pixels: np.ndarray) -> np.ndarray:
    """Shades of gray of color images ``[N, 3, height, width]``: the mean of the colors, rounded.

    As in the published zoos on gray images (Unterthiner et al., 2020, ``train_network.py`` there).
    """
    mean = np.empty((len(pixels), 1, *pixels.shape[2:]), dtype=np.uint8)
    for start in range(0, len(pixels), 4096):  # in pieces: floating point takes eight times the memory
        mean[start : start + 4096, 0] = np.rint(pixels[start : start + 4096].mean(axis=1))
    return mean


def _arrays(part: Any) -> tuple[np.ndarray, np.ndarray]:
    """The images as ``[N, channels, height, width]`` and the labels of a torchvision data set."""
    pixels = np.asarray(part.data)
    labels = np.asarray(part.labels if hasattr(part, "labels") else part.targets)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[1] != 3:  # CIFAR is stored channels last
        pixels = pixels.transpose(0, 3, 1, 2)
    return pixels, labels
