"""Generates a zoo: in this process for as long as that is sooner than starting Ray, else by Ray Train workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from cluster.display import live, say
from cluster.distributed.runtime import quieten, ray_is_asked_for, runtime
from cluster.distributed.shard_queue import Progress
from cluster.estimates import count_members, member_s, ray_start_s, remember_ray_start, worth_ray
from zoo.generation.build import GenerationPlan
from zoo.generation.commit import commit
from zoo.generation.shard_training import train_shard
from zoo.generation.writer import ShardWriter
from zoo.storage.manifest import ShardEntry
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.words import counted


def generate(plan: GenerationPlan, store: Store, *, workers: int | None = None) -> Zoo:
    """Trains what is missing and commits the zoo.

    Without a number of workers and without a running cluster, shards are trained here, one by one, until those that
    are left are worth the start of Ray. The zoo is the same, bit by bit, wherever its shards were trained.

    Args:
        plan: From ``plan_generation``.
        store: Where the zoo goes.
        workers: How many Ray Train workers. Each takes as much memory as ``zoo.generation.build.generate_zoo``.

    Raises:
        ClusterError: There is no cluster to run on, or workers kept failing.
        ZooError: The store cannot be written, or a shard is damaged.
    """
    written: list[ShardEntry] = []
    if plan.missing:
        # Found out now rather than by a worker.
        store.check_writable(f"zoos/{plan.name}")
        total = plan.recipe.members
        present = total - count_members(plan.missing)
        say(f"generate {plan.name}: {total - present:,} of {counted(total, 'member')} to train")
        with live("generate", total, "members", present) as task:
            left = plan.missing
            if not ray_is_asked_for(workers):
                left = _train_here(
                    plan, store, written, lambda stored, training: task.update(present + stored, under_way=training)
                )
            if left:
                before = total - count_members(left)
                written += _train_on_ray(
                    replace(plan, missing=left),
                    store,
                    workers,
                    lambda stored, training: task.update(before + stored, under_way=training),
                )
    return commit(plan, store, written)


def _train_here(
    plan: GenerationPlan, store: Store, written: list[ShardEntry], watch: Callable[[int, float], None]
) -> tuple[range, ...]:
    """Trains shards one by one until Ray is worth its start; returns those that are left to it."""
    done = 0

    def stored(shard: range, file: ShardEntry | None) -> None:
        nonlocal done
        written.extend([file] if file else [])
        done += len(shard)
        watch(done, 0.0)

    each_s, start_s, spent_s = member_s(plan), ray_start_s(), 0.0
    with ShardWriter(store, plan.name, stored) as writer:
        for place, shard in enumerate(plan.missing):
            left = plan.missing[place:]
            if worth_ray(each_s * count_members(left), min(os.cpu_count() or 1, len(left)), start_s):
                return left
            started = time.perf_counter()
            before = count_members(plan.missing[:place])

            def trained(share: float, before: int = before, size: int = len(shard)) -> None:
                watch(done, before + share * size - done)

            writer.write(train_shard(plan.recipe, plan.data, shard, trained))
            spent_s += time.perf_counter() - started
            each_s = spent_s / count_members(plan.missing[: place + 1])
    return ()


def _train_on_ray(
    plan: GenerationPlan, store: Store, workers: int | None, watch: Callable[[int, float], None]
) -> list[ShardEntry]:
    """Trains all missing shards on a cluster; remembers how long one that is started here takes for it."""
    quieten()
    from cluster.distributed.training_workers import train_shards

    started = time.perf_counter()
    first = last = 0.0  # when workers were seen first, and when they had stored the last shard
    members = 0

    def see(progress: Progress) -> None:
        nonlocal first, last, members
        first = first or (time.perf_counter() if progress.workers else 0.0)
        if progress.members > members:
            members, last = progress.members, time.perf_counter()
        watch(members, progress.training)

    with runtime(store, workers=workers) as cluster:
        at_once = min(workers or max(cluster.cpus, 1), len(plan.missing))
        written = train_shards(plan, store, workers=at_once, cluster=cluster, watch=see)
    if cluster.local and members:
        remember_ray_start(time.perf_counter() - started - (last - first))
    return written
