"""Making fits: in this process for as long as that is sooner than starting Ray, else on Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from cluster.display import human_bytes, say
from cluster.distributed.fits import Fits
from cluster.distributed.memory import fit_memory
from cluster.distributed.runtime import quieten, ray_is_asked_for, runtime
from cluster.estimates import ray_start_s, worth_ray
from trainables.study_files import StudyFolder
from trainables.trainable import FitData
from trainables.trials import epochs
from zoo.threads import one_thread


def make_fits(
    fits: Fits,
    count: int,
    data: FitData,
    folder: StudyFolder,
    states: Path,
    *,
    workers: int | None = None,
    each_s: float | None = None,
) -> None:
    """Makes fits; what a fit gives is the same wherever it is made.

    Without a number of workers and without a running cluster, they are made here, one by one, until the rest is worth
    the start of Ray.

    Args:
        fits: Where they come from.
        count: How many.
        data: What they see.
        folder: The study that they belong to.
        states: For states of unfinished fits; see :func:`trainables.trials.epochs`.
        workers: How many at the same time; by default as many as there are CPUs.
        each_s: How long one takes, where that is known; else it is told from the first epochs.

    Raises:
        ClusterError: There is no cluster to run on.
    """
    made = 0 if ray_is_asked_for(workers) else _make_here(fits, count, data, folder, states, each_s)
    if made < count:
        _make_on_ray(fits, count - made, data, folder, states, workers)


def _make_on_ray(fits: Fits, count: int, data: FitData, folder: StudyFolder, states: Path, workers: int | None) -> None:
    """Makes fits on a running cluster, or on one started for this."""
    quieten()
    from cluster.distributed.tuning import Shared, make_on_ray

    weights = sum(4 * population.weights_MP.numel() for population in (*data.training, *data.validation))
    each_bytes = fit_memory(weights)
    with runtime(folder.store, workers=workers, shared_bytes=weights) as cluster:
        wanted, places = min(workers or max(cluster.cpus, 1), count), cluster.places(each_bytes)
        if places < wanted:
            say(f"memory is for {places} at a time: each fit takes about {human_bytes(each_bytes)}")
        # The disk of the driver is that of all workers where there is one node.
        shared = Shared(data, folder, states if cluster.nodes == 1 else None)
        make_on_ray(fits, count, shared, workers=min(wanted, places), memory=min(each_bytes, max(cluster.memory)))


def _make_here(fits: Fits, count: int, data: FitData, folder: StudyFolder, states: Path, each_s: float | None) -> int:
    """Makes fits in this process; returns how many have ended when the rest is worth Ray."""
    start_s, started, cpus = ray_start_s(), time.perf_counter(), os.cpu_count() or 1

    def leave(done: float) -> bool:
        seconds = (time.perf_counter() - started) / done if done else each_s
        left = count - done
        # Of a fit that is under way nothing is lost but what follows its last state.
        return seconds is not None and worth_ray(left * seconds, min(cpus, count - int(done)), start_s)

    return make_serially(fits, count, data, folder, states, leave)


def make_serially(
    fits: Fits,
    count: int,
    data: FitData,
    folder: StudyFolder,
    states: Path | None = None,
    leave: Callable[[float], bool] = lambda done: False,  # noqa: ARG005
) -> int:
    """Makes fits one after the other.

    Args:
        fits: Where they come from.
        count: How many.
        data: What they see.
        folder: The study that they belong to.
        states: For states of unfinished fits.
        leave: ``(how many are done, with the share of the one under way) -> bool``: whether to stop.

    Returns:
        How many have ended.
    """
    for done in range(count):
        if leave(done):
            return done
        one = fits.next()
        with one_thread():  # as on Ray
            for epoch in epochs(one, data, folder, states):
                fits.see(one, epoch)
                if epoch.outcome is None and leave(done + epoch.epoch / epoch.epochs):
                    fits.put_back(one)
                    return done
    return count
