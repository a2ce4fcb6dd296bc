"""Processes of Ray that measure rows of an analysis and keep each in the store.

Imported when there are rows to measure, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from analysis.kept_rows import KeptRows
from analysis.plan import Plan
from cluster.display import say
from zoo.storage.store import Store

# Between two looks at who is done, in seconds: an interrupt waits no longer.
PATIENCE_S = 0.5


class RowWorker:
    """Measures rows of a plan, one block after the other.

    Args:
        plan: The plan; of its networks and codecs nothing is changed, they lie in memory once a node.
        store: Where rows are kept.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        torch.set_num_threads(1)  # rows are measured side by side, one CPU each
        self._rows, self._kept = plan.rows, KeptRows(store, plan.zoo.name)

    def measure(self, block: Sequence[int]) -> dict[int, float]:
        """For each place in the plan's rows the CPU seconds that its row took."""
        took = {}
        for place in block:
            started = time.process_time()
            self._kept.measured(self._rows[place])
            took[place] = time.process_time() - started
        return took


def measure_blocks(
    blocks: Sequence[Sequence[int]],
    plan: Plan,
    store: Store,
    workers: int,
    progress: Callable[[int, str], None],
) -> dict[int, float]:
    """Measures blocks of rows side by side on a running Ray; what fails is left to who asked for it.

    Args:
        blocks: Places in the plan's rows; those of a block share work and are measured by one process.
        plan: The plan.
        store: Where rows are kept.
        workers: How many processes.
        progress: Called with rows measured and the name of a row that is being measured.

    Returns:
        For each row that was measured the CPU seconds that it took.
    """
    rows, shared = plan.rows, ray.put(plan)
    idle: list[Any] = [ray.remote(RowWorker).options(num_cpus=1).remote(shared, store) for _ in range(workers)]
    waiting, running, took = list(reversed(blocks)), dict[Any, Any](), dict[int, float]()
    while running or (waiting and idle):
        while waiting and idle:
            worker, block = idle.pop(), waiting.pop()
            running[worker.measure.remote(block)] = worker
            progress(len(took), f"{rows[block[0]].name} {rows[block[0]].setting}".strip())
        done, _ = ray.wait(list(running), num_returns=1, timeout=PATIENCE_S)
        for reference in done:
            worker = running.pop(reference)
            try:
                took |= ray.get(reference)
                idle.append(worker)
                progress(len(took), "")
            except RayActorError:
                say("a process that measured rows died; they are measured when the others are done")
            except RayTaskError:  # raised again, and told, where the row is measured in this process
                waiting.clear()
    return took
