"""Fits to be made, whoever makes them: the trials of a search are such, and further fits with other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cluster.display import Task, say
from trainables.trials import Epoch, TrialFit


class Fits(Protocol):
    """Where fits come from, and who is told of them."""

    def next(self) -> TrialFit:
        """The next one to be made; asked for no oftener than there are fits to make."""
        ...

    def see(self, one: TrialFit, epoch: Epoch) -> None:
        """An epoch of it is done; the last one has its outcome."""
        ...

    def put_back(self, one: TrialFit) -> None:
        """It was begun, has not ended, and is to be proposed again."""
        ...


class FurtherFits:
    """A list of fits with other seeds.

    Args:
        fits: Which.
        task: Where progress is shown.
    """

    def __init__(self, fits: Sequence[TrialFit], task: Task) -> None:
        self._waiting, self._task = list(reversed(fits)), task
        self.ended = self.failed = 0

    def next(self) -> TrialFit:
        """The next one of the list."""
        return self._waiting.pop()

    def see(self, one: TrialFit, epoch: Epoch) -> None:
        """Counts those that have ended."""
        if epoch.outcome is None:
            return
        self.ended += 1
        if epoch.outcome.failure is not None:
            self.failed += 1
            say(f"trial {one.trial}, fit {one.fit} failed: {epoch.outcome.failure}")
        self._task.update(self.ended)

    def put_back(self, one: TrialFit) -> None:
        """It is the next one again."""
        self._waiting.append(one)
