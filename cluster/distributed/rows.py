"""Measuring rows of an analysis: in this process, or side by side on Ray where that is sooner or was asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from itertools import groupby

from analysis.kept_rows import KeptRows
from analysis.measuring.rows import Row
from analysis.plan import Plan
from cluster.distributed.runtime import quieten, ray_is_asked_for, runtime
from cluster.estimates import ray_start_s, worth_ray
from cluster.row_estimates import remembered_rows_s
from zoo.population.population import BLOCK
from zoo.storage.store import Store


def measure_on_ray(
    plan: Plan,
    missing: Sequence[int],
    store: Store,
    *,
    workers: int | None,
    progress: Callable[[int, int, str], None],
) -> dict[int, float]:
    """Measures rows that are not kept yet on Ray, if Ray was asked for or is worth its start.

    What is measured is kept in the store, where an analysis finds it; it measures itself what is still missing.

    Args:
        plan: The analysis.
        missing: Their places in its rows.
        store: Where rows are kept.
        workers: How many processes were asked for.
        progress: Called with rows measured, rows in all, and the name of one that is being measured.

    Returns:
        For each row that was measured, by its place, the CPU seconds that it took.

    Raises:
        ClusterError: There is no cluster to run on.
    """
    rows, kept = plan.rows, KeptRows(store, plan.zoo.name)
    kept_later = [place for place in missing if kept.keeps(rows[place])]
    sharing = [list(places) for _, places in groupby(kept_later, key=lambda place: _shares_fits(rows[place]))]
    side_by_side = sum(max(_blocks(plan, rows[place]) for place in places) for places in sharing)
    if not sharing or not (
        ray_is_asked_for(workers) or _worth_ray(plan, [rows[place] for place in kept_later], side_by_side)
    ):
        return {}
    quieten()
    from cluster.distributed.row_workers import measure_rows

    before = len(rows) - len(kept_later)
    with runtime(store, workers=workers) as cluster:
        return measure_rows(
            sharing,
            plan,
            store,
            min(workers or max(cluster.cpus, 1), side_by_side),
            lambda done, name: progress(before + done, len(rows), name),
        )


def _shares_fits(row: Row) -> tuple[object, ...]:
    """The same for rows that are measured with the same fits and embeddings."""
    fitted_on = None if row.question is None else row.question.fitted_on
    return (row.family, "" if row.family == "control" else row.name, row.trial, fitted_on)


def _blocks(plan: Plan, row: Row) -> int:
    """Into how many blocks of members a row's work is divided; each is done by one process after another."""
    return 1 if row.cut is None else math.ceil(len(plan.members) / BLOCK)


def _worth_ray(plan: Plan, rows: list[Row], side_by_side: int) -> bool:
    """Whether rows are known to take longer here than on a Ray that has to be started."""
    seconds = remembered_rows_s(plan, rows)
    return seconds is not None and worth_ray(seconds, min(os.cpu_count() or 1, side_by_side), ray_start_s())
