"""Hands out shards to workers that may die; plain Python, an actor only where it is made one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.storage.manifest import ShardEntry


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a generation is.

    Attributes:
        members: Members whose shards are on storage.
        shards: Shards on storage.
        training: What is trained of the shards that workers hold, in members.
        handed_out: Shards handed out so far, those of dead workers counted again.
        workers: Process numbers of the workers that have asked for a shard.
        failure: What stopped a worker that was not killed, where there was such a thing.
    """

    members: int
    shards: int
    training: float
    handed_out: int
    workers: tuple[int, ...]
    failure: str | None = None


class ShardQueue:
    """The missing shards of a zoo.

    A worker holds the shard that it trains and the one that it is storing meanwhile. What the worker before it of
    the same rank still held belonged to one that died, and is handed out anew. The same goes for ranks that no longer
    exist, after Ray Train went on with fewer workers.
    """

    def __init__(self, ranges: Sequence[range]) -> None:
        self._pending = deque(ranges)
        self._held: dict[int, tuple[str, list[range]]] = {}
        self._trained: dict[range, float] = {}
        self._finished: dict[range, ShardEntry | None] = {}
        self._handed_out = 0
        self._workers: dict[int, None] = {}
        self._failure: str | None = None

    def take(self, rank: int, world_size: int, worker: str, process: int) -> range | None:
        """The next shard for a worker, or ``None`` when all are handed out or a worker has failed.

        Args:
            rank: The worker's rank.
            world_size: Number of workers now.
            worker: A word that no other worker has, neither now nor before.
            process: The worker's process number, for those who watch.
        """
        self._workers[process] = None
        lost = [
            held for held, (name, _) in self._held.items() if held >= world_size or (held == rank and name != worker)
        ]
        for held in lost:
            shards = self._held.pop(held)[1]
            self._pending.extendleft(reversed(shards))
            for shard in shards:
                self._trained.pop(shard, None)
        if not self._pending or self._failure is not None:
            return None
        taken = self._pending.popleft()
        self._held.setdefault(rank, (worker, []))[1].append(taken)
        self._handed_out += 1
        return taken

    def train(self, rank: int, worker: str, shard: range, share: float) -> None:
        """How much of a shard's training is done, 0 to 1; ignored from a worker that does not hold it."""
        name, shards = self._held.get(rank, ("", []))
        if name == worker and shard in shards:
            self._trained[shard] = share

    def finish(self, rank: int, worker: str, shard: range, file: ShardEntry | None = None) -> None:
        """A shard is on storage; ignored from a worker that does not hold it, such as one of a group that is gone.

        Args:
            rank: The worker's rank.
            worker: As in :meth:`take`.
            shard: Which one.
            file: What it is, where the worker created it.
        """
        name, shards = self._held.get(rank, ("", []))
        if name == worker and shard in shards:
            shards.remove(shard)
            self._trained.pop(shard, None)
            self._finished[shard] = file

    def fail(self, failure: str) -> None:
        """A worker cannot go on for a reason that another would meet as well: nothing more is handed out."""
        self._failure = self._failure or failure

    def written(self) -> list[ShardEntry]:
        """The finished shards that workers created and told of."""
        return [file for file in self._finished.values() if file is not None]

    def progress(self) -> Progress:
        """How far the workers are."""
        return Progress(
            members=sum(map(len, self._finished)),
            shards=len(self._finished),
            training=sum(len(shard) * share for shard, share in self._trained.items()),
            handed_out=self._handed_out,
            workers=tuple(self._workers),
            failure=self._failure,
        )
