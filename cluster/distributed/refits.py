"""Further fits of a study's best trials on Ray, side by side.

Imported when there are fits to make, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ray
import torch

from cluster.distributed.runtime import runtime
from trainables.study_files import StudyFolder
from trainables.trainable import FitData
from trainables.trials import Refit, refit


def _on_one_cpu(one: Refit, data: FitData, folder: StudyFolder) -> str | None:
    """Makes a fit in a worker; returns why there is none, or ``None``."""
    torch.set_num_threads(1)
    return refit(one, data, folder)


def refit_on_ray(
    refits: Sequence[Refit],
    folder: StudyFolder,
    data: FitData,
    progress: Callable[[int], None],
    *,
    workers: int | None = None,
) -> list[tuple[Refit, str | None]]:
    """Makes fits on a Ray cluster.

    Args:
        refits: Which.
        folder: Where the study lies.
        data: What they see.
        progress: Called with how many have ended.
        workers: How many at the same time; by default as many as there are CPUs.

    Returns:
        For each, why it failed; ``None`` where it did not.
    """
    failures: list[tuple[Refit, str | None]] = []
    with runtime(folder.store, workers=workers) as cluster:
        shared, task = ray.put(data), ray.remote(num_cpus=1)(_on_one_cpu)
        waiting = list(reversed(refits))
        running: dict[ray.ObjectRef[str | None], Refit] = {}
        at_once = workers or max(cluster.cpus, 1)
        while waiting or running:
            while waiting and len(running) < at_once:
                one = waiting.pop()
                running[task.remote(one, shared, folder)] = one
            (ended,), _ = ray.wait(list(running), num_returns=1)
            failures.append((running.pop(ended), ray.get(ended)))
            progress(len(failures))
    return failures
