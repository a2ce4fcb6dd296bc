"""Hands out shards to workers that may die; plain Python, an actor only where it is made one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.storage.shards import ShardRange


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a generation is.

    Attributes:
        members: Members whose shards are on storage.
        shards: Shards on storage.
        handed_out: Shards handed out so far, those of dead workers counted again.
        workers: Process numbers of the workers that have asked for a shard.
    """

    members: int
    shards: int
    handed_out: int
    workers: tuple[int, ...]


class ShardQueue:
    """The missing shards of a zoo.

    A worker that asks for a shard holds none: what its rank still held belonged to a worker that died, and is
    handed out anew. The same goes for ranks that no longer exist, after Ray Train went on with fewer workers.
    """

    def __init__(self, ranges: Sequence[ShardRange]) -> None:
        self._pending = deque(ranges)
        self._held: dict[int, ShardRange] = {}
        self._finished: set[ShardRange] = set()
        self._handed_out = 0
        self._workers: dict[int, None] = {}

    def take(self, rank: int, world_size: int, process: int) -> ShardRange | None:
        """The next shard for a worker, or ``None`` when all are handed out.

        Args:
            rank: The worker's rank.
            world_size: Number of workers now.
            process: The worker's process number, for those who watch.
        """
        self._workers[process] = None
        lost = [held for held in self._held if held == rank or held >= world_size]
        self._pending.extendleft(self._held.pop(held) for held in lost)
        if not self._pending:
            return None
        self._held[rank] = self._pending.popleft()
        self._handed_out += 1
        return self._held[rank]

    def finish(self, rank: int, shard: ShardRange) -> None:
        """A shard is on storage; ignored from a worker that does not hold it, such as one of a group that is gone."""
        if self._held.get(rank) == shard:
            self._finished.add(self._held.pop(rank))

    def progress(self) -> Progress:
        """How far the workers are."""
        return Progress(
            members=sum(shard.end - shard.first for shard in self._finished),
            shards=len(self._finished),
            handed_out=self._handed_out,
            workers=tuple(self._workers),
        )
