"""Ray Train workers that train the missing shards of a zoo.

Imported when there is something to train, after :func:`cluster.distributed.runtime.quieten`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.distributed.runtime import Cluster, ClusterError
from cluster.distributed.shard_queue import Progress, ShardQueue
from zoo.config import own_line
from zoo.data.examples import Dataset
from zoo.generation.build import GenerationPlan
from zoo.generation.shard_training import train_shard
from zoo.generation.writer import ShardWriter
from zoo.recipes import Recipe
from zoo.storage.errors import ZooError
from zoo.storage.manifest import ShardEntry
from zoo.storage.staging import load_staged, stage
from zoo.storage.store import Store

# Every restart of the group is one failure; a zoo of thousands of shards on spot machines sees a few.
MAX_FAILURES = 20
POLL_S = 0.25
# Between two words of a worker on how far its shard is: small zoos take thousands of snapshots a second.
TELLING_S = 1.0
# How long workers have to end the shards that they are at when the driver is stopped.
ENDING_S = 20.0


class Independent(TorchConfig):
    """Torch workers that do not talk to each other: no process group."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Ray's backend that sets nothing up."""
        return Backend


def work(settings: dict[str, Any]) -> None:
    """What each worker does: take a shard and train it, until none is left, while the last one goes to storage.

    An exception, such as that of a store that stays away, goes to the queue: Ray would take it for a death, and start
    the workers again and again.
    Progress goes to the queue: ``ray.train.report`` would wait for all workers at every call.
    """
    recipe: Recipe = settings["recipe"]
    store: Store = settings["store"]
    images, queue = settings["images"], settings["queue"]
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    worker, process = secrets.token_hex(8), os.getpid()

    def stored(shard: range, file: ShardEntry | None) -> None:
        ray.get(queue.finish.remote(rank, worker, shard, file))

    def telling(shard: range) -> Callable[[float], None]:
        last = time.monotonic()

        def tell(share: float) -> None:
            nonlocal last
            if time.monotonic() - last >= TELLING_S:
                last = time.monotonic()
                queue.train.remote(rank, worker, shard, share)

        return tell

    try:
        data: Dataset = load_staged(store, images) if isinstance(images, str) else ray.get(images)
        with ShardWriter(store, settings["zoo"], stored) as writer:
            while (shard := ray.get(queue.take.remote(rank, world_size, worker, process))) is not None:
                writer.write(train_shard(recipe, data, shard, telling(shard)))
    except ray.exceptions.RayError:
        raise
    except Exception as error:
        words = str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}{own_line(error)}"
        ray.get(queue.fail.remote(words))


def train_shards(
    plan: GenerationPlan, store: Store, *, workers: int, cluster: Cluster, watch: Callable[[Progress], None]
) -> list[ShardEntry]:
    """Trains the missing shards of a zoo on a running Ray cluster.

    Args:
        plan: What to train.
        store: Where shards go. The images are staged there for the workers; from a local store, whose workers are
            on this machine, they get them through Ray's shared memory.
        workers: How many processes.
        cluster: The cluster; on several nodes the number of workers follows that of nodes that are alive.
        watch: Called several times a second.

    Returns:
        The shards that the workers created, as far as they could tell of them before they died.

    Raises:
        ClusterError: Workers died again and again, or one of them could not go on.
    """
    images: Any = ray.put(plan.data) if store.is_local else stage(store, plan.recipe.dataset, plan.data)[0]
    # With the driver: it must not be lost with another node.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    queue: Any = ray.remote(ShardQueue).options(num_cpus=0, scheduling_strategy=here).remote(plan.missing)
    # With a range, Ray Train goes on with fewer workers when a node is lost.
    number: Any = (1, workers) if cluster.nodes > 1 and workers > 1 else workers
    with tempfile.TemporaryDirectory(prefix="zooscale-train-") as scratch:
        trainer = TorchTrainer(
            work,
            train_loop_config={
                "recipe": plan.recipe,
                "zoo": plan.name,
                "images": images,
                "store": store,
                "queue": queue,
            },
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
        # An event: Python 3.11 takes a thread whose join Ctrl-C interrupts to have ended.
        ended = threading.Event()
        threading.Thread(target=_fit, args=(trainer, errors, ended), daemon=True).start()
        try:
            while not ended.is_set():
                watch(ray.get(queue.progress.remote()))
                ended.wait(POLL_S)
        except BaseException:
            # Ray ends the whole process, without a word, where a thread still calls it after its shutdown.
            with contextlib.suppress(Exception):
                queue.fail.remote("it was stopped")
            ended.wait(ENDING_S)
            raise
        last: Progress = ray.get(queue.progress.remote())
        watch(last)
    if last.failure is not None:
        raise ClusterError(f"training stopped: {last.failure}")
    if errors:
        raise ClusterError(f"training stopped: {_cause(errors[0])}") from errors[0]
    written: list[ShardEntry] = ray.get(queue.written.remote())
    return written


def _fit(trainer: TorchTrainer, errors: list[BaseException], ended: threading.Event) -> None:
    try:
        trainer.fit()
    except Exception as error:
        errors.append(error)
    finally:
        ended.set()


def _cause(error: BaseException) -> str:
    """The last line of what a worker raised, which Ray wraps in its traceback."""
    failures = getattr(error, "worker_failures", None) or {0: error}
    lines = [line.strip() for line in str(next(iter(failures.values()))).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
