"""Which snapshots of a zoo are wanted.

Shape letters: M snapshots.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from zoo.recipes import RecipeLike
from zoo.storage.errors import ZooError
from zoo.storage.rows import MEMBER_COLUMNS, SPLITS, booleans, hash_number, integers
from zoo.words import counted

logger = logging.getLogger(__name__)

Epochs = Literal["last", "one"] | Collection[int] | None
# What of a table snapshots are chosen by, and what a population says of them.
CHOSEN_BY = tuple(dict.fromkeys(["member", "epoch", "split", "diverged", *MEMBER_COLUMNS]))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is asked for, checked against what a zoo has; see ``Zoo.population`` for the words.

    Attributes:
        zoo: Name of the zoo, for errors.
        recipe: Its recipe.
        split: "train", "validation" or "test" members; all where ``None``.
        members: Only these; all where ``None``.
        epochs: Which epochs.
        limit: At most so many members; all where ``None``.
        include_diverged: Whether also snapshots whose weights or losses are not finite.
    """

    zoo: str
    recipe: RecipeLike
    split: str | None
    members: Collection[int] | None
    epochs: Epochs
    limit: int | None
    include_diverged: bool

    def __post_init__(self) -> None:
        if self.split is not None and self.split not in SPLITS:
            raise ValueError(f"split is {self.split!r}; allowed: {', '.join(SPLITS)}, or None for all")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; allowed: 1 or more, or None for all")
        for member in () if self.members is None else self.members:
            if not 0 <= member < self.recipe.members:
                raise ValueError(f"zoo {self.zoo} has no member {member}; it has 0 to {self.recipe.members - 1}")
        if self.epochs is None or (isinstance(self.epochs, str) and self.epochs in ("last", "one")):
            return
        named = isinstance(self.epochs, Collection) and not isinstance(self.epochs, str)
        if not named or any(epoch not in self.recipe.snapshot_epochs for epoch in self.epochs):
            raise ValueError(
                f"epochs is {self.epochs!r}; allowed: 'last', 'one', or a list of those that zoo {self.zoo} has: "
                f"{', '.join(map(str, self.recipe.snapshot_epochs))}"
            )

    def choose(self, table: pa.Table, possible_M: np.ndarray) -> np.ndarray:
        """Which rows of a table are wanted: their places, increasing.

        Args:
            table: Snapshots, with the columns in ``CHOSEN_BY``.
            possible_M: Which of them may be taken.

        Raises:
            ZooError: None is wanted.
        """
        chosen_M = self._of_split(table)
        if not chosen_M.any() and self.members is None:
            tasks = [task for task in table["task"].unique().to_pylist() if task]
            raise ZooError(
                f"zoo {self.zoo} has no {self.split} members: "
                + (
                    f"splits go by the classes of tasks, and {counted(len(tasks), 'task')} of other splits are all it "
                    "has; take further tasks, or set held_out otherwise"
                    if tasks
                    else f"with {counted(self.recipe.members, 'member')} in blocks of {self.recipe.block_members}, "
                    f"make it larger{' or set block_members lower' if self.recipe.block_members > 1 else ''}"
                )
            )
        chosen_M &= possible_M & self._of_members(table) & self._of_epochs(table)
        if not self.include_diverged:
            finite_M = ~booleans(table["diverged"])
            if left_out := int((chosen_M & ~finite_M).sum()):
                logger.warning(
                    "zoo %s: %d of %d chosen snapshots diverged and are left out", self.zoo, left_out, chosen_M.sum()
                )
            chosen_M &= finite_M
        places = np.flatnonzero(self._within_limit(table, chosen_M))
        if not len(places):
            raise ZooError(
                f"zoo {self.zoo} with {self.recipe.members} members has no snapshots with split {self.split!r}, "
                f"epochs {self.epochs!r}"
                f"{'' if self.members is None else ' among the members named'}"
                f"{'' if possible_M.all() else ' in this parameter layout'}"
                f"{'' if self.include_diverged else ' that did not diverge'}"
            )
        return places

    def _of_split(self, table: pa.Table) -> np.ndarray:
        """Which rows are of the split, bool ``[M]``."""
        if self.split is None:
            return np.ones(len(table), dtype=bool)
        return np.asarray(table["split"].to_pylist()) == self.split

    def _of_members(self, table: pa.Table) -> np.ndarray:
        """Which rows are of the members, bool ``[M]``."""
        if self.members is None:
            return np.ones(len(table), dtype=bool)
        return np.isin(integers(table["member"]), list(self.members))

    def _of_epochs(self, table: pa.Table) -> np.ndarray:
        """Which rows are of the epochs, bool ``[M]``."""
        member_M, epoch_M = integers(table["member"]), integers(table["epoch"])
        trained = [epoch for epoch in self.recipe.snapshot_epochs if epoch > 0]
        if self.epochs is None:
            return np.asarray(epoch_M > 0)
        if isinstance(self.epochs, str) and self.epochs == "last":
            return np.asarray(epoch_M == trained[-1])
        if isinstance(self.epochs, str):
            ids, place_M = np.unique(member_M, return_inverse=True)
            epoch_of_id = np.array([trained[hash_number("epoch", int(i)) % len(trained)] for i in ids])
            return np.asarray(epoch_M == epoch_of_id[place_M])
        return np.isin(epoch_M, list(self.epochs))

    def _within_limit(self, table: pa.Table, chosen_M: np.ndarray) -> np.ndarray:
        """Which of the chosen rows are of the first members among them, bool ``[M]``."""
        if self.limit is None:
            return chosen_M
        member_M = integers(table["member"])
        return chosen_M & np.isin(member_M, np.unique(member_M[chosen_M])[: self.limit])
