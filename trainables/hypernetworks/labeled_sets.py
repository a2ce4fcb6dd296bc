"""Sets of labeled examples: tasks of their own, each with other examples to be judged on.

Shape letters: T sets, B examples of each, Q queries of each, X the shape of one example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.data import load_dataset
from zoo.data.examples import Dataset, Examples


@dataclass(frozen=True)
class LabeledSets:
    """Several sets of one size with their queries.

    Attributes:
        inputs: float32 ``[T, B, *X]``.
        labels_TB: int64.
        queries: float32 ``[T, Q, *X]``: other examples of the same task.
        query_labels_TQ: int64.
    """

    inputs: Tensor
    labels_TB: Tensor
    queries: Tensor
    query_labels_TQ: Tensor

    def __len__(self) -> int:
        return len(self.labels_TB)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the sets, for messages."""
        return tuple(f"set {number}" for number in range(len(self)))

    @property
    def rows(self) -> list[Tensor]:
        """Of each set, its examples' places in it."""
        return [torch.arange(self.labels_TB.shape[1])] * len(self)

    def drawn(self, tasks: Sequence[int], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """So many examples of each of some sets, drawn with replacement; see ``TaskExamples.drawn``."""
        chosen_TB = torch.randint(self.labels_TB.shape[1], (len(tasks), count), generator=generator)
        rows_T1 = torch.as_tensor(tasks).unsqueeze(1)
        return self.inputs[rows_T1, chosen_TB], self.labels_TB[rows_T1, chosen_TB]


def drawn_sets(
    examples: Examples,
    outputs: int,
    *,
    count: int,
    size: int,
    queries: int,
    generator: torch.Generator,
    permute: bool = False,
    classes: int = 0,
) -> LabeledSets:
    """Random sets; no example is in a set and among its queries.

    Args:
        examples: Of the data set, with labels 0 to ``outputs - 1``.
        outputs: Labels that there are.
        count: T.
        size: B.
        queries: Q.
        generator: For all that is drawn.
        permute: Whether the labels of each set are permuted.
        classes: So many classes occur in each set; 0 for all.

    Raises:
        ValueError: There are too few examples, or fewer classes than asked for.
    """
    if classes > outputs:
        raise ValueError(f"sets of {classes} classes are asked for; the data set has {outputs}")
    shuffled_N = torch.randperm(len(examples), generator=generator)
    apart = count * (size + queries) <= len(examples)
    rows, labels = [], []
    for number in range(count):
        chosen = torch.randperm(outputs, generator=generator)[: classes or outputs]
        label_C = torch.full((outputs,), -1)
        permuted = torch.randperm(outputs, generator=generator)
        label_C[chosen] = permuted[chosen] if permute else chosen
        # Of many examples, sets are places of one shuffle: a shuffle for each would cost more than a step.
        order_N = (
            shuffled_N.roll(-number * (size + queries)) if apart else torch.randperm(len(examples), generator=generator)
        )
        known_N = label_C[examples.targets[order_N]]
        own = (known_N >= 0).nonzero().flatten()[: size + queries]
        if len(own) < size + queries:
            raise ValueError(
                f"sets of {size} examples with {queries} others need {size + queries}; there are {len(own)}"
                f"{f' of the {classes} classes of a set' if classes else ''}: take a smaller set_size or fewer queries"
            )
        rows.append(order_N[own])
        labels.append(known_N[own])
    return sets_of(examples, torch.stack(rows), torch.stack(labels), size)


def scrambled(sets: LabeledSets, share: float, generator: torch.Generator) -> LabeledSets:
    """Sets of which a share has its inputs' numbers in another order, the same for all examples of a set."""
    shape = sets.inputs.shape[2:]
    order_TX = torch.rand(len(sets), shape.numel(), generator=generator).argsort(1)
    kept_T = torch.rand(len(sets), generator=generator) >= share
    order_TX[kept_T] = torch.arange(shape.numel())

    def ordered(inputs: Tensor) -> Tensor:
        flat = inputs.flatten(2)
        return flat.gather(2, order_TX[:, None].expand_as(flat)).unflatten(2, shape)

    return replace(sets, inputs=ordered(sets.inputs), queries=ordered(sets.queries))


def load_alike(name: str, own: Dataset) -> Dataset:
    """Another data set of which sets can be drawn for networks that were made for one.

    Raises:
        ValueError: Its examples have another shape, or it has more classes.
    """
    other = load_dataset(name)
    if other.input_shape != own.input_shape or not other.task.has_classes or other.classes > own.classes:
        raise ValueError(
            f"data set {name!r} has examples of shape {other.input_shape}; networks for {own.name} read "
            f"{own.input_shape} and tell {own.classes} classes apart: choose a data set that is alike"
        )
    return other


def few_of_each(examples: Examples, labels: int, count: int, generator: torch.Generator) -> list[Examples]:
    """So many sets of so many examples of each class.

    Raises:
        ValueError: A class has fewer.
    """
    rows_of = [(examples.targets == label).nonzero().flatten() for label in range(int(examples.targets.max()) + 1)]
    for label, rows in enumerate(rows_of):
        if len(rows) < labels:
            raise ValueError(f"{labels} examples of each class are asked for; of class {label} there are {len(rows)}")
    return [
        examples.select(torch.cat([rows[torch.randperm(len(rows), generator=generator)[:labels]] for rows in rows_of]))
        for _ in range(count)
    ]


def sets_of(examples: Examples, rows_TN: Tensor, labels_TN: Tensor, size: int) -> LabeledSets:
    """The sets of the first ``size`` of the given rows each; the others are their queries."""
    inputs = examples.select(rows_TN.flatten()).inputs.unflatten(0, rows_TN.shape)
    return LabeledSets(inputs[:, :size], labels_TN[:, :size], inputs[:, size:], labels_TN[:, size:])
