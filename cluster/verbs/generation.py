"""``generate``: plan a zoo, train what is missing by Ray Train workers, commit it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from cluster.display import human_bytes, human_seconds, live, say
from cluster.distributed.runtime import quieten, runtime
from cluster.settings import changed, parse_assignments
from zoo.data.examples import Dataset
from zoo.generation.build import GenerationPlan, commit, plan_generation
from zoo.generation.shard_training import one_thread
from zoo.recipes import Recipe, find_recipe
from zoo.storage.shards import ShardFile, ShardRange
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.training.backend import choose_backend
from zoo.training.train import train_population

# Compressed weights take 0.85 of their size, and the other columns about 130 bytes a row.
WEIGHTS_SHARE, ROW_BYTES = 0.85, 130
# Starting Ray and its workers, and ending them; and what evaluation adds to training.
START_S, EVALUATION_SHARE = 20.0, 1.15
# Training is tried on so many images; those are divided among so many shards where layouts differ.
CALIBRATION_IMAGES, CALIBRATION_SHARDS = 6400, 4


def chosen_recipe(name: str, named: Mapping[str, Any], settings: Sequence[str]) -> Recipe:
    """A recipe with the user's changes.

    Args:
        name: A name in ``RECIPES`` or ``module:attribute``.
        named: Fields with an option of their own; ``None`` changes nothing. Another number of epochs also cuts the
            snapshots that lie beyond it and ends with one.
        settings: ``field=value`` for any field.

    Raises:
        ValueError: Unknown recipe or field, or a value that is not allowed.
    """
    recipe = find_recipe(name)
    (values,) = parse_assignments(settings, Recipe)
    epochs = values.get("epochs", named.get("epochs"))
    if epochs is not None and "snapshot_epochs" not in values:
        kept = (epoch for epoch in recipe.snapshot_epochs if epoch < epochs)
        values["snapshot_epochs"] = (*kept, epochs)
    return changed(recipe, named, values)


def run_generate(
    recipe_name: str,
    store_uri: str,
    *,
    named: Mapping[str, Any],
    settings: Sequence[str] = (),
    workers: int | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The verb ``generate``.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    recipe = chosen_recipe(recipe_name, named, settings)
    store = Store(store_uri)
    plan = plan_generation(recipe, store, named.get("members"))
    if dry_run:
        return estimate(plan, store, workers)
    started = time.monotonic()
    zoo = generate(plan, store, workers=workers)
    seconds = time.monotonic() - started
    trained = count_members(plan.missing)
    result = {**describe(zoo), "trained_members": trained, "seconds": round(seconds, 2)}
    counts = sorted(zoo.parameter_counts)
    several = f" to {counts[-1]:,} (in {len(counts)} layouts)" if len(counts) > 1 else ""
    did = f"{trained:,} members trained in {human_seconds(seconds)}" if trained else "nothing was missing"
    return {
        **result,
        "text": f"zoo {zoo.name}: {result['members']:,} members, {result['snapshots']:,} snapshots of "
        f"{counts[0]:,}{several} parameters; {did}\n{zoo.uri}\ncontent {zoo.content_sha256}",
    }


def describe(zoo: Zoo) -> dict[str, Any]:
    """The facts of a zoo that identify it, as JSON values; "parameters" is a list where there are several layouts."""
    return {
        "zoo": zoo.name,
        "uri": zoo.uri,
        "digest": zoo.digest,
        "content_sha256": zoo.content_sha256,
        "members": zoo.recipe.members,
        "snapshots": zoo.recipe.members * len(zoo.recipe.snapshot_epochs),
        "parameters": zoo.parameters if len(zoo.layouts) == 1 else list(zoo.parameter_counts),
    }


def generate(plan: GenerationPlan, store: Store, *, workers: int | None = None) -> Zoo:
    """Trains what is missing and commits the zoo; without anything missing, Ray is not started.

    The zoo is the same, bit by bit, as from ``zoo.generation.build.generate_zoo``, and each worker takes as much memory
    as that does.

    Args:
        plan: From ``plan_generation``.
        store: Where the zoo goes.
        workers: How many processes; by default as many as there are CPUs.

    Raises:
        ClusterError: There is no cluster to run on, or workers kept failing.
        ZooError: The store cannot be written, or a shard is damaged.
    """
    written: list[ShardFile] = []
    if plan.missing:
        # Found out before Ray starts rather than by a worker.
        store.check_writable(f"zoos/{plan.name}")
        quieten()
        from cluster.distributed.training_workers import train_shards

        total = plan.recipe.members
        present = total - count_members(plan.missing)
        say(f"generate {plan.name}: {total - present:,} of {total:,} members to train")
        with live("generate", total, "members", present) as task, runtime(store, workers=workers) as cluster:
            written = train_shards(
                plan,
                store,
                workers=min(workers or max(cluster.cpus, 1), len(plan.missing)),
                cluster=cluster,
                watch=lambda progress: task.update(present + progress.members),
            )
    return commit(plan, store, written)


def count_members(shards: Sequence[ShardRange]) -> int:
    """How many members some shards hold."""
    return sum(shard.end - shard.first for shard in shards)


def estimate(plan: GenerationPlan, store: Store, workers: int | None = None) -> dict[str, Any]:
    """What ``generate`` would do, how large and how long it is, from a few training steps made here and now."""
    recipe, data = plan.recipe, plan.data
    missing = count_members(plan.missing)
    snapshots = missing * len(recipe.snapshot_epochs)
    shards = plan.missing or plan.shards
    of_shard = [recipe.member_architecture(shard.first, data) for shard in shards]
    counts = list({architecture.layout: architecture.parameters for architecture in of_shard}.values())
    size, seconds = 0.0, 0.0
    processes = min(workers or os.cpu_count() or 1, max(len(plan.missing), 1))
    if missing:
        for shard, architecture in zip(shards, of_shard, strict=True):
            row = architecture.parameters * 4 * WEIGHTS_SHARE + ROW_BYTES
            size += (shard.end - shard.first) * len(recipe.snapshot_epochs) * row
        tried = min(CALIBRATION_SHARDS, len(counts))
        each = _seconds_a_member(recipe, data, shards[:: math.ceil(len(shards) / tried)])
        rounds = math.ceil(len(plan.missing) / processes) / len(plan.missing) * processes
        seconds = START_S + EVALUATION_SHARE * each * recipe.epochs * missing / processes * rounds
    return {
        "zoo": plan.name,
        "uri": store.join("zoos", plan.name),
        "members": recipe.members,
        "missing_members": missing,
        "missing_shards": len(plan.missing),
        "snapshots": snapshots,
        "parameters": counts[0] if len(counts) == 1 else counts,
        "bytes": int(size),
        "seconds": round(seconds, 1),
        "workers": processes,
        "recipe": {**recipe.identity(), "members": recipe.members},
        "shards": [asdict(shard) for shard in plan.missing],
        "text": f"would train {missing:,} of {recipe.members:,} members ({len(plan.missing)} shards) of {plan.name} "
        f"with {processes} workers: about {human_bytes(size)} in {store.uri}, about {human_seconds(seconds)}"
        if missing
        else f"zoo {plan.name} is complete; nothing would be trained",
    }


def _seconds_a_member(recipe: Recipe, data: Dataset, shards: Sequence[ShardRange]) -> float:
    """What an epoch of a member takes on one CPU: a mean over the members of some shards."""
    choose_backend(recipe.member_architecture(0, data), torch.device("cpu"))  # compiles where that was never done here
    images, share = data.train, 1.0
    if not recipe.subset_size:  # a member with a subset sees no more images than those, wherever they lie
        images = data.train.first(CALIBRATION_IMAGES // len(shards))
        share = len(images) / len(data.train)
    seconds, count = 0.0, 0
    with one_thread():  # as in a worker
        for shard in shards:
            architecture = recipe.member_architecture(shard.first, data)
            members = [recipe.member(index) for index in range(shard.first, shard.end)]
            started = time.perf_counter()
            for _ in train_population(architecture, members, images, epochs=1, snapshot_epochs=(1,)):
                pass
            seconds += time.perf_counter() - started
            count += len(members)
    return seconds / count / share
