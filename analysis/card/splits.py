"""How members are divided: splits, what is held together in them, tasks, subsets.

Shape letters: M members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.card.distributions import Distribution, distribution
from zoo.storage.rows import SPLITS

# Columns that members may share, and that would leak from one split into another.
SHARED = {
    "seed": ("seed",),
    "minibatch order": ("order_seed",),
    "training subset": ("subset_seed", "subset_size", "subset_index", "training_fraction"),
    "task": ("task",),
}
# A network that has learned its subset by heart classifies this share of it.
MEMORISED = 0.99


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFacts:
    """The members of one split.

    Attributes:
        split: "train", "validation" or "test".
        members: How many.
        share: Of all members.
        test_accuracy: Of their last snapshots, on test images.
    """

    split: str
    members: int
    share: float
    test_accuracy: Distribution


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedFacts:
    """Something that several members have in common.

    Attributes:
        what: What they share.
        groups: How many different ones there are.
        largest: Members of the largest group.
        across: Groups with members in more than one split.
    """

    what: str
    groups: int
    largest: int
    across: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFacts:
    """The members of one task: accuracy of last snapshots on training and test images of the task."""

    task: str
    members: int
    split: str
    train_accuracy: Distribution
    test_accuracy: Distribution


@dataclass(frozen=True, kw_only=True, slots=True)
class MemorisationFacts:
    """Members that are trained on small subsets.

    Attributes:
        members: How many.
        sizes: Numbers of examples that occur.
        subsets: Different subsets.
        memorised: Accuracy of last snapshots on the examples trained on.
        held_out: The same on test images.
        complete: Share of members that classify at least ``MEMORISED`` of their examples.
    """

    members: int
    sizes: tuple[int, ...]
    subsets: int
    memorised: Distribution
    held_out: Distribution
    complete: float


def split_facts(members: pd.DataFrame) -> tuple[SplitFacts, ...]:
    """Describes the splits; one row of ``members`` for each member, its last snapshot."""
    found = []
    for split in SPLITS:
        chosen = members[members["split"] == split]
        found.append(
            SplitFacts(
                split=split,
                members=len(chosen),
                share=len(chosen) / len(members),
                test_accuracy=distribution(chosen["test_accuracy"].to_numpy(dtype=np.float64)),
            )
        )
    return tuple(found)


def shared_facts(members: pd.DataFrame) -> tuple[SharedFacts, ...]:
    """What several members have in common, and whether it keeps to one split."""
    found = []
    for what, columns in SHARED.items():
        names = [name for name in columns if name in members]
        if not names or members[names].isna().to_numpy().any():
            continue
        groups = members.groupby(names)["split"].agg(["size", "nunique"])
        if what == "task" and (members["task"] == "").all():
            continue
        if what == "training subset" and _everything(members):
            continue
        found.append(
            SharedFacts(
                what=what,
                groups=len(groups),
                largest=int(groups["size"].max()),
                across=int((groups["nunique"] > 1).sum()),
            )
        )
    return tuple(found)


def task_facts(members: pd.DataFrame) -> tuple[TaskFacts, ...]:
    """Describes each task, in the order of their classes; none where all members have the whole data set."""
    if "task" not in members or (members["task"].fillna("") == "").all():
        return ()
    found = []
    for task, chosen in members.groupby("task"):
        found.append(
            TaskFacts(
                task=str(task),
                members=len(chosen),
                split=", ".join(split for split in SPLITS if (chosen["split"] == split).any()),
                train_accuracy=distribution(chosen["train_accuracy"].to_numpy(dtype=np.float64)),
                test_accuracy=distribution(chosen["test_accuracy"].to_numpy(dtype=np.float64)),
            )
        )
    return tuple(sorted(found, key=lambda facts: _by_classes(facts.task)))


def memorisation_facts(members: pd.DataFrame) -> MemorisationFacts | None:
    """Describes members trained on small subsets; ``None`` where there are none."""
    if "subset_size" not in members:
        return None
    chosen = members[members["subset_size"].fillna(0) > 0]
    if not len(chosen):
        return None
    accuracy_M = chosen["train_accuracy"].to_numpy(dtype=np.float64)
    return MemorisationFacts(
        members=len(chosen),
        sizes=tuple(sorted(int(size) for size in chosen["subset_size"].unique())),
        subsets=int(chosen.groupby(["subset_seed", "subset_size", "subset_index"]).ngroups),
        memorised=distribution(accuracy_M),
        held_out=distribution(chosen["test_accuracy"].to_numpy(dtype=np.float64)),
        complete=float((accuracy_M >= MEMORISED).mean()),
    )


def _everything(members: pd.DataFrame) -> bool:
    """Whether all members see all training images."""
    sizes = members["subset_size"] if "subset_size" in members else pd.Series(0, index=members.index)
    return bool((members["training_fraction"] == 1).all() and (sizes == 0).all())


def _by_classes(task: str) -> tuple[int, ...]:
    return tuple(int(part) for part in task.split("-") if part.isdigit())
