"""Processes of Ray that measure rows of an analysis: one unit of work after the other, of whichever row.

A row that evaluators measure is begun by one process, which makes its networks. Then any process does its units, an
evaluator on a block of members each; and once all of them are done, one puts them together and keeps the row.

Imported when there are rows to measure, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from analysis.kept_rows import KeptRows
from analysis.measuring.evaluated import KeptParts, Made
from analysis.measuring.evaluating import BlockValues, Evaluating, Unit
from analysis.plan import Plan
from cluster.display import say
from zoo.storage.store import Store

# Between two looks at who is done, in seconds: an interrupt waits no longer.
PATIENCE_S = 0.5


class RowWorker:
    """Does what rows of a plan consist of.

    Args:
        plan: The plan; of its networks and codecs nothing is changed, they lie in memory once a node.
        store: Where rows and what is finished of them are kept.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        torch.set_num_threads(1)  # rows are measured side by side, one CPU each
        self._rows, self._kept = plan.rows, KeptRows(store, plan.zoo.name)
        self._at: tuple[int, Made, KeptParts, Evaluating] | None = None

    def begin(self, place: int) -> tuple[tuple[list[Unit] | None, float], Made | None]:
        """Makes a row's networks; a row that no evaluator measures is measured at once.

        Returns:
            The row's units of work, ``None`` where it is whole, with the CPU seconds that this took; and the networks.
        """
        started, row = time.process_time(), self._rows[place]
        if row.cut is None:
            self._kept.measured(row)
            return (None, time.process_time() - started), None
        parts = self._kept.parts(row)
        made = parts.made(row.cut)
        self._at = (place, made, parts, row.cut.evaluating(made))
        return (self._at[3].units, time.process_time() - started), made

    def do(self, place: int, made: Sequence[Any], unit: Unit) -> tuple[tuple[None, float], BlockValues]:
        """One unit of work of a row, whose networks are referred to: CPU seconds that it took, and what it gives."""
        started = time.process_time()
        _, parts, evaluating = self._turned_to(place, made)
        values = parts.values(unit, evaluating)
        return (None, time.process_time() - started), values

    def end(self, place: int, made: Sequence[Any], found: Mapping[Unit, Any]) -> tuple[tuple[None, float], None]:
        """Keeps a row all of whose units are done, and are referred to; the CPU seconds that this took."""
        started, row = time.process_time(), self._rows[place]
        networks, parts, evaluating = self._turned_to(place, made)
        values = dict(zip(found, ray.get(list(found.values())), strict=True))
        if row.cut is not None:
            self._kept.put(row, row.cut.finished(networks, evaluating, values), parts)
        return (None, time.process_time() - started), None

    def _turned_to(self, place: int, made: Sequence[Any]) -> tuple[Made, KeptParts, Evaluating]:
        """What a row is worked on with; that of the row before is let go of."""
        if self._at is None or self._at[0] != place:
            row, networks = self._rows[place], ray.get(made[0])
            self._at = (place, networks, self._kept.parts(row), row.cut.evaluating(networks))  # type: ignore[union-attr]
        return self._at[1:]


class Job(NamedTuple):
    """What one process does next: a unit of a row, or where there is none the row's beginning or end."""

    kind: Literal["begin", "do", "end"]
    place: int
    unit: Unit | None = None


@dataclass
class _Begun:
    """A row that is being measured: references to its networks and to what is found, and the CPU seconds so far."""

    made: Any
    waiting: list[Unit] = field(default_factory=list)
    found: dict[Unit, Any] = field(default_factory=dict)
    running: int = 0
    took: float = 0.0


@dataclass(eq=False)
class _Process:
    """A worker: the rows that share fits and are its to begin, and what it did last."""

    number: int
    actor: Any
    places: list[int] = field(default_factory=list)
    last: Job | None = None

    def nearness(self, place: int, unit: Unit, processes: int) -> int:
        """0 where it has what these networks answer at hand, 1 where it may know the originals of the block, else 2."""
        if self.last is not None and self.last.place == place and self.last.unit and self.last.unit[:3] == unit[:3]:
            return 0
        return 1 + (unit.block % processes != self.number)


class _Queue:
    """What is still to do.

    Args:
        sharing: Places of rows; those of a list share fits and are begun by one process.
        processes: How many there are.
    """

    def __init__(self, sharing: Sequence[Sequence[int]], processes: int) -> None:
        self._sharing, self._processes = [list(places) for places in sharing], processes
        self._begun: dict[int, _Begun] = {}
        self._stopped = False
        self.took: dict[int, float] = {}

    def start(self, process: _Process) -> tuple[Any, Job] | None:
        """Gives a process what it does best; a reference to what is told of it. Nothing where others must be done."""
        job = None if self._stopped else self._next(process)
        if job is None:
            return None
        process.last = job
        if job.kind == "begin":
            told, made = process.actor.begin.options(num_returns=2).remote(job.place)
            self._begun[job.place] = _Begun(made)
        else:
            row, do = self._begun[job.place], getattr(process.actor, job.kind).options(num_returns=2)
            # In a list references stay references: what they are of is fetched where it is not at hand.
            told, found = do.remote(job.place, [row.made], row.found if job.unit is None else job.unit)
            if job.unit is not None:
                row.found[job.unit] = found
        self._begun[job.place].running += 1
        return told, job

    def done(self, job: Job, units: list[Unit] | None, seconds: float) -> None:
        """Notes that a job is done."""
        row = self._begun.get(job.place)
        if row is None:  # another process that had a part in it has died
            return
        row.running -= 1
        row.took += seconds
        if job.kind == "begin" and units is not None:
            row.waiting = units
        elif job.kind != "do":
            self.took[job.place] = self._begun.pop(job.place).took

    def lost(self, job: Job, process: _Process) -> None:
        """Leaves the row to who asked for it, since a process has died, and what else that had to begin to others."""
        self._begun.pop(job.place, None)
        if process.places:
            self._sharing.append(process.places)

    def stop(self) -> None:
        """Leaves all that is not being done to who asked for it."""
        self._stopped = True

    def _next(self, process: _Process) -> Job | None:
        """The end of a row, else a unit of one that is near, else the beginning of another row."""
        for place, row in self._begun.items():
            if not (row.waiting or row.running):
                return Job("end", place)
        units = [(place, unit) for place, row in self._begun.items() for unit in row.waiting]
        if units:
            place, unit = min(units, key=lambda each: process.nearness(each[0], each[1], self._processes))
            self._begun[place].waiting.remove(unit)
            return Job("do", place, unit)
        if not process.places and self._sharing:
            process.places = self._sharing.pop(0)
        return Job("begin", process.places.pop(0)) if process.places else None


def measure_rows(
    sharing: Sequence[Sequence[int]],
    plan: Plan,
    store: Store,
    workers: int,
    progress: Callable[[int, str], None],
) -> dict[int, float]:
    """Measures rows side by side on a running Ray; what fails is left to who asked for it.

    Args:
        sharing: Places in the plan's rows; those of a list share fits, and are begun by one process.
        plan: The plan.
        store: Where rows are kept.
        workers: How many processes.
        progress: Called with rows measured and the name of a row that is being measured.

    Returns:
        For each row that was measured the CPU seconds that it took.
    """
    rows, shared, actor = plan.rows, ray.put(plan), ray.remote(RowWorker).options(num_cpus=1)
    idle = [_Process(number, actor.remote(shared, store)) for number in range(workers)]
    queue, running = _Queue(sharing, workers), dict[Any, tuple[_Process, Job]]()
    while True:
        for process in list(idle):
            if (started := queue.start(process)) is not None:
                idle.remove(process)
                reference, job = started
                running[reference] = (process, job)
                progress(len(queue.took), f"{rows[job.place].name} {rows[job.place].setting}".strip())
        if not running:
            return queue.took
        done, _ = ray.wait(list(running), num_returns=1, timeout=PATIENCE_S)
        for reference in done:
            process, job = running.pop(reference)
            try:
                queue.done(job, *ray.get(reference))
                idle.append(process)
            except RayActorError:
                queue.lost(job, process)
                say("a process that measured rows died; they are measured when the others are done")
            except RayTaskError:  # raised again, and told, where the row is measured in this process
                queue.stop()
        progress(len(queue.took), "")
