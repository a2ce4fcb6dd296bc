"""Labelled images in three fixed splits, with a content hash.

Shape letters: N examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """Labelled images of one split.

    Attributes:
        pixels: ``[N, channels, height, width]`` uint8.
        labels: ``[N]`` int64.
        scale: What one step of a pixel is worth: inputs to a network are ``pixels * scale``.
    """

    pixels: Tensor
    labels: Tensor
    scale: float

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4:
            raise ValueError(f"pixels are {self.pixels.dtype} {tuple(self.pixels.shape)}; expected uint8 [N, C, H, W]")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.pixels.shape[:1]:
            raise ValueError(
                f"labels are {self.labels.dtype} {tuple(self.labels.shape)}; expected int64 [{len(self.pixels)}]"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def inputs(self) -> Tensor:
        """All images as network inputs: float32 ``[N, channels, height, width]``."""
        return self.pixels.float() * self.scale

    def first(self, count: int | None) -> Examples:
        """The first ``count`` images (all, where ``None`` or more than there are)."""
        return Examples(self.pixels[:count], self.labels[:count], self.scale)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (inputs float32, labels) for ``size`` images at a time, without converting all at once."""
        for start in range(0, len(self), size):
            yield self.pixels[start : start + size].float() * self.scale, self.labels[start : start + size]


@dataclass(frozen=True)
class Dataset:
    """A data set: train for fitting, validation for objectives, test for analysis alone.

    Attributes:
        name: Name of the data set.
        classes: Number of classes; labels are 0 to classes - 1.
        train: Training images.
        validation: Validation images.
        test: Test images.
    """

    name: str
    classes: int
    train: Examples
    validation: Examples
    test: Examples

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            images: Examples = getattr(self, split)
            if not len(images):
                raise ValueError(f"data set {self.name!r} has no {split} images")
            if int(images.labels.min()) < 0 or int(images.labels.max()) >= self.classes:
                raise ValueError(f"data set {self.name!r}: {split} labels leave 0..{self.classes - 1}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.train.pixels.shape
        return channels, height, width

    @cached_property
    def sha256(self) -> str:
        """Content hash over pixels, labels, scale and splits."""
        state = hashlib.sha256()
        for images in (self.train, self.validation, self.test):
            state.update(repr((tuple(images.pixels.shape), float(images.scale))).encode())
            state.update(images.pixels.numpy().tobytes())
            state.update(images.labels.numpy().astype("<i8").tobytes())
        return state.hexdigest()


def split_examples(
    name: str,
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
    scale: float,
    validation: int,
    test: int | None = None,
    test_pixels: np.ndarray | None = None,
    test_labels: np.ndarray | None = None,
) -> Dataset:
    """Splits images by a fixed shuffle into train and validation (and test, where there is none of its own).

    Args:
        name: Name of the data set; also the seed of the shuffle.
        pixels: ``[N, channels, height, width]`` uint8.
        labels: ``[N]`` integers.
        classes: Number of classes.
        scale: What one step of a pixel is worth.
        validation: Number of validation images.
        test: Number of test images to take from ``pixels``, if the data set brings no test images.
        test_pixels: The data set's own test images.
        test_labels: Their labels.

    Raises:
        ValueError: Not exactly one of ``test`` and the data set's own test images is given, or no image is left to
            train on.
    """
    if (test_pixels is None) != (test_labels is None):
        lacking = "test_pixels" if test_pixels is None else "test_labels"
        raise ValueError(f"data set {name!r}: {lacking} is None; give test_pixels and test_labels together")
    if (test is None) == (test_pixels is None):
        raise ValueError(
            f"data set {name!r}: test is {test} and test_pixels are {'not ' * (test_pixels is None)}given; give one "
            "of the two: the number of test images to take from pixels, or the data set's own"
        )
    held_out_count = validation + (test or 0)
    if min(validation, test or 0) < 0 or not 0 < held_out_count < len(labels):
        raise ValueError(
            f"data set {name!r}: validation {validation} and test {test or 0} of {len(labels)} images; allowed: "
            f"together 1 to {len(labels) - 1}, so that some are left to train on"
        )
    seed = int.from_bytes(hashlib.sha256(f"split {name}".encode()).digest()[:8], "little")
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(labels))

    def images(part: np.ndarray, part_labels: np.ndarray) -> Examples:
        return Examples(
            torch.from_numpy(np.ascontiguousarray(part)),
            torch.from_numpy(part_labels.astype(np.int64)),
            scale,
        )

    if test_pixels is not None and test_labels is not None:
        held_out, rest = images(test_pixels, test_labels), order
    else:
        chosen, rest = order[:test], order[test:]
        held_out = images(pixels[chosen], labels[chosen])
    return Dataset(
        name,
        classes,
        train=images(pixels[rest[validation:]], labels[rest[validation:]]),
        validation=images(pixels[rest[:validation]], labels[rest[:validation]]),
        test=held_out,
    )
