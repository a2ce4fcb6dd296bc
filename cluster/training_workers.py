"""Ray Train workers that train the missing shards of a zoo.

Imported when there is something to train, after :func:`cluster.runtime.quieten`.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer

from cluster.runtime import Cluster, ClusterError
from cluster.shard_queue import Progress, ShardQueue
from zoo.storage.build import GenerationPlan, store_shard
from zoo.storage.store import Store

# Every restart of the group is one failure; a zoo of thousands of shards on spot machines sees a few.
MAX_FAILURES = 20
POLL_S = 0.25


class Independent(TorchConfig):
    """Torch workers that do not talk to each other: no process group."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Ray's backend that sets nothing up."""
        return Backend


def work(settings: dict[str, Any]) -> None:
    """What each worker does: take a shard, train it, put it on storage, until none is left.

    Progress goes to the queue: ``ray.train.report`` would wait for all workers at every call.
    """
    plan: GenerationPlan = ray.get(settings["plan"])
    store: Store = settings["store"]
    queue = settings["queue"]
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    while (shard := ray.get(queue.take.remote(rank, world_size, os.getpid()))) is not None:
        store_shard(plan, store, shard)
        ray.get(queue.finish.remote(rank, shard))


def train_shards(
    plan: GenerationPlan, store: Store, *, workers: int, cluster: Cluster, watch: Callable[[Progress], None]
) -> None:
    """Trains the missing shards of a zoo on a running Ray cluster.

    Args:
        plan: What to train; it goes to the workers through Ray's object store, images and all.
        store: Where shards go.
        workers: How many processes.
        cluster: The cluster; on several nodes the number of workers follows that of nodes that are alive.
        watch: Called several times a second.

    Raises:
        ClusterError: Workers died again and again, or an exception in one of them.
    """
    queue: Any = ray.remote(ShardQueue).options(num_cpus=0).remote(plan.missing)
    # With a range, Ray Train goes on with fewer workers when a node is lost.
    number: Any = (1, workers) if cluster.nodes > 1 and workers > 1 else workers
    with tempfile.TemporaryDirectory(prefix="zooscale-train-") as scratch:
        trainer = TorchTrainer(
            work,
            train_loop_config={"plan": ray.put(plan), "store": store, "queue": queue},
            torch_config=Independent(),
            scaling_config=ScalingConfig(num_workers=number, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name="generate",
                storage_path=scratch,  # holds nothing but a marker file: shards go to the store
                failure_config=FailureConfig(max_failures=MAX_FAILURES),
            ),
        )
        # Outside the main thread, where Ray would take over Ctrl-C.
        errors: list[BaseException] = []
        thread = threading.Thread(target=_fit, args=(trainer, errors), daemon=True)
        thread.start()
        while thread.is_alive():
            watch(ray.get(queue.progress.remote()))
            thread.join(POLL_S)
        watch(ray.get(queue.progress.remote()))
    if errors:
        raise ClusterError(f"training stopped: {_cause(errors[0])}") from errors[0]


def _fit(trainer: TorchTrainer, errors: list[BaseException]) -> None:
    try:
        trainer.fit()
    except Exception as error:
        errors.append(error)


def _cause(error: BaseException) -> str:
    """The last line of what a worker raised, which Ray wraps in its traceback."""
    failures = getattr(error, "worker_failures", None) or {0: error}
    lines = [line.strip() for line in str(next(iter(failures.values()))).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
