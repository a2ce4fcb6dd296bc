"""Examples with their targets in three fixed splits, with a content hash.

Shape letters: N examples, K targets of one example.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from zoo.config import canonical_json
from zoo.data.task import Task

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Examples:
    """Examples of one split with their targets.

    Attributes:
        values: uint8 ``[N, channels, height, width]``, pixels of images; or float32 ``[N, ...]``, anything else.
        targets: int64 ``[N]``, class labels; or float32 ``[N, K]``.
        scale: What one step of a pixel is worth: inputs to a network are ``values * scale``. 1 for float32.
    """

    values: Tensor
    targets: Tensor
    scale: float = 1.0

    def __post_init__(self) -> None:
        values, targets = self.values, self.targets
        described = f"values are {values.dtype} {tuple(values.shape)}"
        if not (values.dtype == torch.uint8 and values.ndim == 4) and not (
            values.dtype == torch.float32 and values.ndim > 1
        ):
            raise ValueError(f"{described}; expected uint8 [N, C, H, W] or float32 [N, ...]")
        if values.dtype == torch.float32 and self.scale != 1:
            raise ValueError(f"scale is {self.scale}; allowed: 1 where values are float32")
        of_labels = targets.dtype == torch.int64 and targets.ndim == 1
        of_numbers = targets.dtype == torch.float32 and targets.ndim == 2
        if not (of_labels or of_numbers) or len(targets) != len(values):
            raise ValueError(
                f"targets are {targets.dtype} {tuple(targets.shape)}; expected labels, int64 [{len(values)}], or "
                f"numbers, float32 [{len(values)}, K]"
            )

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def inputs(self) -> Tensor:
        """All examples as network inputs: float32 ``[N, *input_shape]``."""
        return self.values if self.values.dtype == torch.float32 else self.values.float() * self.scale

    def select(self, rows: Sequence[int] | Tensor | slice) -> Examples:
        """The given examples in the given order; a mask or a slice will do too."""
        chosen = rows if isinstance(rows, slice | Tensor) else torch.as_tensor(rows, dtype=torch.int64)
        return Examples(self.values[chosen], self.targets[chosen], self.scale)

    def first(self, count: int | None) -> Examples:
        """The first ``count`` examples (all, where ``None`` or more than there are)."""
        return self.select(slice(count))


@dataclass(frozen=True)
class Dataset:
    """A data set: train for fitting, validation for objectives, test for analysis alone.

    Attributes:
        name: Name of the data set.
        task: What networks are trained for on it.
        train: Training examples.
        validation: Validation examples.
        test: Test examples.
        objects: What its classes are made known by beside the examples, where there is such: of scenes, the labeled
            images of which training scenes are composed.
    """

    name: str
    task: Task
    train: Examples
    validation: Examples
    test: Examples
    objects: Examples | None = None

    def __post_init__(self) -> None:
        for split in SPLITS:
            examples: Examples = getattr(self, split)
            if not len(examples):
                raise ValueError(f"data set {self.name!r} has no {split} examples")
            if examples.values.shape[1:] != self.train.values.shape[1:]:
                raise ValueError(
                    f"data set {self.name!r}: {split} examples have shape {tuple(examples.values.shape[1:])}; the "
                    f"training examples have {self.input_shape}"
                )
            for what, tensor in (("values", examples.values), ("targets", examples.targets)):
                if unusable := int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0:
                    raise ValueError(
                        f"data set {self.name!r}, {split}: {unusable:,} of {tensor.numel():,} {what} are not finite "
                        "(NaN, or beyond float32); fill them in, or leave their examples out"
                    )
            self.task.check(examples.targets, f"data set {self.name!r}, {split}")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example; of an image (channels, height, width)."""
        return tuple(self.train.values.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes; labels are 0 to classes - 1.

        Raises:
            ValueError: The task has no classes.
        """
        if not self.task.has_classes:
            raise ValueError(
                f"data set {self.name!r} has no classes: its task has loss {self.task.loss!r} and "
                f"{self.task.outputs} outputs; classes are those of loss 'softmax'"
            )
        return self.task.outputs

    @property
    def labels(self) -> int:
        """Number of labels that tasks can be about: its classes, or, where labels are counted, as many as there are.

        Raises:
            ValueError: Targets are no labels.
        """
        return int(self.train.targets.max()) + 1 if self.task.loss == "count" else self.classes

    @cached_property
    def sha256(self) -> str:
        """Content hash over the task and, of each split and objects, values, targets and scale."""
        state = hashlib.sha256(canonical_json(self.task).encode())
        parts: list[Examples | None] = [*(getattr(self, split) for split in SPLITS), self.objects]
        for examples in (part for part in parts if part is not None):
            state.update(repr(float(examples.scale)).encode())
            for tensor in (examples.values, examples.targets):
                array = np.ascontiguousarray(tensor.numpy())
                state.update(repr((array.dtype.str.lstrip("<>|="), array.shape)).encode())
                state.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return state.hexdigest()


def split_examples(
    name: str,
    values: np.ndarray,
    targets: np.ndarray,
    *,
    task: Task,
    scale: float = 1.0,
    validation: int,
    test: int | None = None,
    test_values: np.ndarray | None = None,
    test_targets: np.ndarray | None = None,
) -> Dataset:
    """Splits examples by a fixed shuffle into train and validation (and test, where there is none of its own).

    Args:
        name: Name of the data set; also the seed of the shuffle.
        values: ``[N, channels, height, width]`` uint8, or ``[N, ...]`` of a floating type.
        targets: ``[N]`` integers or ``[N, K]`` of a floating type.
        task: What networks are trained for on it.
        scale: What one step of a pixel is worth.
        validation: Number of validation examples.
        test: Number of test examples to take from ``values``, if the data set brings no test examples.
        test_values: The data set's own test examples.
        test_targets: Their targets.

    Raises:
        ValueError: There are not as many targets as examples, not exactly one of ``test`` and the data set's own test
            examples is given, or no example is left to train on.
    """
    for part, part_targets in ((values, targets), (test_values, test_targets)):
        if part is not None and part_targets is not None and len(part) != len(part_targets):
            raise ValueError(f"data set {name!r}: there are {len(part)} examples and {len(part_targets)} targets")
    if (test_values is None) != (test_targets is None):
        lacking = "test_values" if test_values is None else "test_targets"
        raise ValueError(f"data set {name!r}: {lacking} is None; give test_values and test_targets together")
    if (test is None) == (test_values is None):
        raise ValueError(
            f"data set {name!r}: test is {test} and test_values are {'not ' * (test_values is None)}given; give one "
            "of the two: the number of test examples to take from values, or the data set's own"
        )
    held_out_count = validation + (test or 0)
    if min(validation, test or 0) < 0 or not 0 < held_out_count < len(targets):
        raise ValueError(
            f"data set {name!r}: validation {validation} and test {test or 0} of {len(targets)} examples; allowed: "
            f"together 1 to {len(targets) - 1}, so that some are left to train on"
        )
    seed = int.from_bytes(hashlib.sha256(f"split {name}".encode()).digest()[:8], "little")
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(targets))

    def examples(part: np.ndarray, part_targets: np.ndarray) -> Examples:
        of_pixels = part.dtype == np.uint8
        of_labels = np.issubdtype(part_targets.dtype, np.integer)
        return Examples(
            torch.from_numpy(np.ascontiguousarray(part, dtype=np.uint8 if of_pixels else np.float32)),
            torch.from_numpy(np.ascontiguousarray(part_targets, dtype=np.int64 if of_labels else np.float32)),
            scale,
        )

    if test_values is not None and test_targets is not None:
        held_out, rest = examples(test_values, test_targets), order
    else:
        chosen, rest = order[:test], order[test:]
        held_out = examples(values[chosen], targets[chosen])
    return Dataset(
        name,
        task,
        train=examples(values[rest[validation:]], targets[rest[validation:]]),
        validation=examples(values[rest[:validation]], targets[rest[:validation]]),
        test=held_out,
    )
