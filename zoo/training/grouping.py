"""Which members are trained together, and which examples each step of theirs sees.

Shape letters: N examples, S steps, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.data.class_tasks import REST, REST_WORD, parse_task, task_labels
from zoo.data.examples import Examples
from zoo.population import Member
from zoo.streams import Purpose, stream


@dataclass(frozen=True, slots=True)
class Group:
    """Members trained together: see :class:`Alike`; in blocks of one order.

    Attributes:
        rows: Indices of the members in the caller's sequence, block by block.
        block: How many members share one minibatch order.
    """

    rows: tuple[int, ...]
    block: int


def group_members(
    members: Sequence[Member], examples: Examples, members_at_once: Callable[[Member], int]
) -> list[Group]:
    """Splits members into groups; a function of its arguments alone, so that results have the same bits anywhere.

    Args:
        members: Who is trained.
        examples: Training examples.
        members_at_once: How many members should be trained together at most, for members with the optimizer, batch
            size and number of examples of a given one.

    Raises:
        ValueError: A member's subset or task is not in the data.
    """
    blocks: dict[tuple[object, ...], list[int]] = {}
    for row, member in enumerate(members):
        data = (member.task, member.subset_seed, member.subset_size, member.subset_index, member.training_fraction)
        robust = (member.weight_noise > 0, member.attack_steps)
        blocks.setdefault((member.optimizer, member.batch_size, member.order_seed, *robust, *data), []).append(row)
    by_size: dict[tuple[Alike, int, int], list[list[int]]] = {}
    for rows in blocks.values():
        first = members[rows[0]]
        limit = members_at_once(first)
        pieces = -(-len(rows) // limit)
        size = -(-len(rows) // pieces)
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            by_size.setdefault((alike(first, examples), limit, len(piece)), []).append(piece)
    groups = []
    for (_, limit, block), many in by_size.items():
        together = max(1, limit // block)
        for start in range(0, len(many), together):
            chosen = many[start : start + together]
            groups.append(Group(tuple(row for rows in chosen for row in rows), block))
    return groups


def example_count(member: Member, examples: Examples) -> int:
    """How many of the training examples the member sees.

    Raises:
        ValueError: Its task has no examples, or there are not enough for its subset.
    """
    available = len(examples)
    if member.task:
        classes, labels = parse_task(member.task), task_labels(member.task, examples.targets)
        counts = np.bincount(labels[labels >= 0].numpy(), minlength=len(classes))
        lacking = [REST_WORD if name == REST else name for name, many in zip(classes, counts, strict=True) if not many]
        if lacking:
            raise ValueError(f"Member.task is {member.task!r}; there are no training examples of class {lacking[0]}")
        available = int(counts.sum())
    if not member.subset_size:
        return max(1, round(member.training_fraction * available))
    if (member.subset_index + 1) * member.subset_size > available:
        raise ValueError(
            f"Member.subset_index is {member.subset_index}; allowed: 0 to {available // member.subset_size - 1}, since "
            f"{available} training examples have {available // member.subset_size} disjoint subsets of "
            f"{member.subset_size}"
        )
    return member.subset_size


def training_examples(member: Member, examples: Examples) -> np.ndarray:
    """Rows of the training examples that the member sees, int64, in an order of no meaning.

    Raises:
        ValueError: Its task has no examples, or there are not enough for its subset.
    """
    count = example_count(member, examples)
    drawn = stream(Purpose.SUBSET, member.subset_seed)
    if member.task:
        available = np.flatnonzero(task_labels(member.task, examples.targets).numpy() >= 0)
        shuffled = available[drawn.permutation(len(available))]
    else:
        shuffled = drawn.permutation(len(examples))
    return shuffled[member.subset_index * count :][:count]


@dataclass(frozen=True, slots=True)
class Alike:
    """What members of one group have in common, and their backend is chosen by.

    Attributes:
        optimizer: Their optimizer.
        batch_size: Examples a step.
        examples: Number of examples that each sees.
        noisy: Whether they have noise on their weights, whatever its strength.
        attack_steps: Of the attacks on their examples; 0 where there are none.
    """

    optimizer: str
    batch_size: int
    examples: int
    noisy: bool
    attack_steps: int


def alike(member: Member, examples: Examples) -> Alike:
    """What a member has in common with those of its group."""
    return Alike(
        member.optimizer,
        member.batch_size,
        example_count(member, examples),
        member.weight_noise > 0,
        member.attack_steps,
    )


def robustness_obstacle(members: Sequence[Member]) -> str | None:
    """Why what trains only on examples and weights as they are cannot train these members; ``None`` where it can."""
    if any(member.weight_noise for member in members):
        return "it has no noise on weights (weight_noise)"
    if any(member.attack_steps for member in members):
        return "it makes no adversarial examples (adversarial_epsilon)"
    return None


def batch_examples(member: Member, examples: Examples) -> int:
    """Examples a step: its batch size, or all that the member sees where they are fewer."""
    return min(member.batch_size, example_count(member, examples))


def minibatches(member: Member, rows: np.ndarray, epoch: int) -> np.ndarray:
    """The examples of each step of one epoch (epochs count from 1): int64 ``[S, B]``.

    A member that sees fewer examples than one batch gets them all in one step.

    Args:
        member: Whose.
        rows: From :func:`training_examples`.
        epoch: Which.
    """
    batch = min(member.batch_size, len(rows))
    steps = len(rows) // batch
    order = stream(Purpose.ORDER, member.order_seed, epoch).permutation(len(rows))[: steps * batch]
    return rows[order].reshape(steps, batch)
