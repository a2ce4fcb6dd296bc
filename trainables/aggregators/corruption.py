"""Sets of examples of which some are corrupted: wrong labels, and inputs that are noise.

Shape letters: T sets, N examples of each, B examples of a minibatch, C classes, X the shape of one example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.config import require
from zoo.data.examples import Examples

# Inputs that are noise are so many times as large as those of the data set.
OUTLIER_SCALE = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Corruption:
    """What is wrong with a set.

    Attributes:
        label_noise: Share of examples whose label is another class, drawn alike from all others.
        outliers: Share of examples whose input is Gaussian noise, three times as large as inputs of the data set; they
            keep their label.
    """

    label_noise: float = 0.0
    outliers: float = 0.0

    def __post_init__(self) -> None:
        for name in ("label_noise", "outliers"):
            require(0 <= getattr(self, name) < 1, self, name, "a share, 0 or more and below 1")


@dataclass(frozen=True)
class CorruptedSets:
    """Several sets of one size.

    Attributes:
        inputs: float32 ``[T, N, *X]``.
        labels_TN: int64, some of them wrong.
        wrong_TN: Which labels are wrong.
        outlier_TN: Which inputs are noise.
        rows_TN: The examples that they were drawn from.
    """

    inputs: Tensor
    labels_TN: Tensor
    wrong_TN: Tensor
    outlier_TN: Tensor
    rows_TN: Tensor

    def __len__(self) -> int:
        return len(self.labels_TN)

    def drawn(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A minibatch of each set, drawn with replacement: inputs ``[T, B, *X]``, labels and places in the set."""
        chosen_TB = torch.randint(self.labels_TN.shape[1], (len(self), count), generator=generator)
        rows_T1 = torch.arange(len(self)).unsqueeze(1)
        return self.inputs[rows_T1, chosen_TB], self.labels_TN[rows_T1, chosen_TB], chosen_TB

    def replaced(self, which: Tensor, by: CorruptedSets) -> CorruptedSets:
        """The same with some sets replaced, by numbers."""
        parts = []
        for old, new in zip(vars(self).values(), vars(by).values(), strict=True):
            part = old.clone()
            part[which] = new
            parts.append(part)
        return CorruptedSets(*parts)


def corrupted_sets(
    examples: Examples, classes: int, corruptions: Sequence[Corruption], size: int, generator: torch.Generator
) -> CorruptedSets:
    """Draws a set for each corruption; in a set no example occurs twice.

    Args:
        examples: With class labels.
        classes: C.
        corruptions: What is wrong with each set. Counts are rounded.
        size: Examples of each set.
        generator: For all that is drawn.

    Raises:
        ValueError: There are fewer examples than that.
    """
    if not 0 < size <= len(examples):
        raise ValueError(f"sets of {size} examples; allowed: 1 to {len(examples)}, as many as there are")
    scale = float(examples.values.float().square().mean().sqrt()) * examples.scale
    rows_TN = torch.stack([torch.randperm(len(examples), generator=generator)[:size] for _ in corruptions])
    labels_TN, inputs = examples.targets[rows_TN], _inputs(examples, rows_TN)
    # Rows are in a random order already: the first ones are corrupted, outliers from the other end.
    place_N = torch.arange(size)
    wrong_TN = place_N < torch.tensor([[round(one.label_noise * size)] for one in corruptions])
    outlier_TN = place_N >= size - torch.tensor([[round(one.outliers * size)] for one in corruptions])
    other_TN = torch.randint(1, max(classes, 2), labels_TN.shape, generator=generator)
    noise = torch.randn(int(outlier_TN.sum()), *inputs.shape[2:], generator=generator)
    inputs[outlier_TN] = OUTLIER_SCALE * scale * noise
    return CorruptedSets(
        inputs, torch.where(wrong_TN, (labels_TN + other_TN) % classes, labels_TN), wrong_TN, outlier_TN, rows_TN
    )


def _inputs(examples: Examples, rows_TN: Tensor) -> Tensor:
    return examples.select(rows_TN.flatten()).inputs.unflatten(0, rows_TN.shape).clone()
