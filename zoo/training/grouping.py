"""Which members are trained together, and which examples each step of theirs sees.

Shape letters: N examples, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.architecture import Architecture
from zoo.population import Member
from zoo.training.streams import Purpose, stream

# Parameters, gradient and two moments of a group should stay in a core's share of the cache.
GROUP_FLOATS = 160_000


@dataclass(frozen=True, slots=True)
class Group:
    """Members trained together: equal optimizer, batch size and number of examples, in blocks of one order.

    Attributes:
        rows: Indices of the members in the caller's sequence, block by block.
        block: How many members share one minibatch order.
    """

    rows: tuple[int, ...]
    block: int


def group_members(architecture: Architecture, members: Sequence[Member], examples: int) -> list[Group]:
    """Splits members into groups; a function of its arguments alone, so that results have the same bits anywhere.

    Args:
        architecture: The architecture of all members.
        members: Who is trained.
        examples: Number of training images.
    """
    blocks: dict[tuple[object, ...], list[int]] = {}
    for row, member in enumerate(members):
        order = (member.order_seed, member.subset_seed, member.training_fraction)
        blocks.setdefault((member.optimizer, member.batch_size, order), []).append(row)
    alike: dict[tuple[object, ...], list[list[int]]] = {}
    for rows in blocks.values():
        first = members[rows[0]]
        key = (first.optimizer, first.batch_size, subset_size(first, examples), len(rows))
        alike.setdefault(key, []).append(rows)
    groups = []
    for many in alike.values():
        block = len(many[0])
        together = max(1, GROUP_FLOATS // (architecture.parameters * block))
        for start in range(0, len(many), together):
            chosen = many[start : start + together]
            groups.append(Group(tuple(row for rows in chosen for row in rows), block))
    return groups


def subset_size(member: Member, examples: int) -> int:
    """How many of the training images the member sees."""
    return max(1, round(member.training_fraction * examples))


def minibatches(member: Member, examples: int, epoch: int) -> np.ndarray:
    """The examples of each step of one epoch (epochs count from 1): int64 ``[steps, B]``.

    A member that sees fewer examples than one batch gets them all in one step.
    """
    seen = subset_size(member, examples)
    chosen = stream(Purpose.SUBSET, member.subset_seed).permutation(examples)[:seen]
    batch = min(member.batch_size, seen)
    steps = seen // batch
    order = stream(Purpose.ORDER, member.order_seed, epoch).permutation(seen)[: steps * batch]
    return chosen[order].reshape(steps, batch)


def dropout_masks(member: Member, epoch: int, steps: int, units: int, batch: int) -> np.ndarray:
    """What dropout multiplies hidden units by in one epoch: float32 ``[steps, units, B]``, 0 or 1/(1-p).

    ``units`` counts all hidden units, first layer first. The probability is rounded to 1/65536.
    """
    draws = stream(Purpose.DROPOUT, member.seed, epoch).integers(
        0, 1 << 16, size=(steps, units, batch), dtype=np.uint16
    )
    kept = draws >= round(member.dropout * (1 << 16))
    return kept * np.float32(1 / (1 - member.dropout))
