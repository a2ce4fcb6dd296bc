"""Stores a foreign zoo: checked as a whole first, then shard by shard, the manifest last.

Shape letters: M networks, E epochs, P parameters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from zoo.architecture import Architecture
from zoo.config import canonical_json
from zoo.data.class_tasks import parse_task, select
from zoo.data.examples import Dataset
from zoo.evaluation import evaluate
from zoo.exchange.foreign.source import ForeignNetwork, ForeignSnapshots, ForeignZoo
from zoo.generation.build import Progress, write_zoo
from zoo.generation.commit import plan_zoo
from zoo.generation.shard_training import measure
from zoo.population import Member, Population, single_architecture
from zoo.recipes.imported import Imported
from zoo.storage.rows import MEMBER_COLUMNS, metric_columns
from zoo.storage.shards import ShardContents
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

SHARD_BYTES = 32 << 20
MOST_MEMBERS = 4096
EVALUATION_EXAMPLES = 10_000
# A data set with other images or another scale than the source's gives accuracies that are off by far more.
TOLERATED_DIFFERENCE = 0.02
COMPARED_NETWORKS = 64
MEMBER_FIELDS = tuple(field.name for column, field in MEMBER_COLUMNS.items() if column != "member")


@dataclass(frozen=True, slots=True)
class _Part:
    """A shard to be: which members, and the indices of their networks in the source."""

    members: range
    networks: tuple[int, ...]


def check_zoo(
    source: ForeignZoo,
    store: Store,
    *,
    dataset: str = "",
    data: Dataset | None = None,
    include_diverged: bool = False,
    progress: Progress | None = None,
) -> Callable[[Progress | None], Zoo]:
    """Reads every snapshot of a source, makes sure that a zoo can be made of it, and finds its identity.

    Args:
        source: What to store.
        store: Where.
        dataset: Name of the networks' data set as it is known here, empty where it is not.
        data: That data set: metrics that the source lacks are computed on it.
        include_diverged: Whether to accept weights that are not finite; they are marked as diverged.
        progress: Called with (members checked, of how many).

    Returns:
        What makes the zoo; called with what is told of (members stored, of how many). It reads the source once more,
        and where the same was imported before it finds the zoo that is there.

    Raises:
        ValueError: A file cannot be read or does not fit, weights are not finite, the data set is clearly another
            one; the message names the file and what to do.
        ZooError: The store cannot be read.
    """
    parts = list(_plan(source))
    content = hashlib.sha256()
    for part in parts:
        snapshots = source.read(part.networks)
        networks = [source.networks[index] for index in part.networks]
        _check(networks, source.epochs, snapshots, include_diverged)
        if data is not None:
            _check_data(networks, source.epochs, snapshots, data)
        _digest(content, networks, snapshots)
        if progress is not None:
            progress(part.members.stop, len(source.networks))
    recipe = Imported(
        name=source.name,
        members=len(source.networks),
        source_format=source.format,
        source_sha256=content.hexdigest(),
        dataset=dataset,
        source_dataset=source.dataset,
        snapshot_epochs=source.epochs,
        shard_members=max(len(part.networks) for part in parts),
    )
    plan = plan_zoo(recipe, data.sha256 if data else "", store, [part.members for part in parts])
    part_of = {part.members: part for part in parts}
    return partial(write_zoo, plan, store, lambda members: _contents(source, part_of[members], recipe, data))


def _plan(source: ForeignZoo) -> Iterator[_Part]:
    """Divides the networks into shards: one architecture each, architectures in order of appearance."""
    groups: dict[Architecture, list[int]] = {}
    for index, network in enumerate(source.networks):
        groups.setdefault(network.architecture, []).append(index)
    first = 0
    for architecture, indices in groups.items():
        size = SHARD_BYTES // (4 * architecture.parameters * len(source.epochs))
        size = max(1, min(size, MOST_MEMBERS))
        for start in range(0, len(indices), size):
            part = tuple(indices[start : start + size])
            yield _Part(range(first, first + len(part)), part)
            first += len(part)


def _check(
    networks: Sequence[ForeignNetwork], epochs: Sequence[int], snapshots: ForeignSnapshots, include_diverged: bool
) -> None:
    """Raises where weights are not finite, unless that is wanted."""
    bad = np.argwhere(~np.isfinite(snapshots.weights_MEP).all(axis=2))
    if len(bad) and not include_diverged:
        row, epoch = bad[0]
        raise ValueError(
            f"network {networks[row].origin} has weights that are not finite at epoch {epochs[epoch]}. Give "
            "--include-diverged to store such snapshots, marked as diverged, or remove the network from the source"
        )


def _check_data(
    networks: Sequence[ForeignNetwork], epochs: Sequence[int], snapshots: ForeignSnapshots, data: Dataset
) -> None:
    """Raises where the data set does not fit the networks, or gives other test accuracies than the source says."""
    architecture = networks[0].architecture
    tasks = [str(network.known.get("task", "")) for network in networks]
    needed = max((data.task.of_classes(parse_task(task)) for task in tasks), key=lambda task: task.outputs)
    if data.input_shape != tuple(architecture.input_shape) or not needed.allows(architecture.classes):
        raise ValueError(
            f"data set {data.name!r} has examples {data.input_shape} for {needed.outputs} outputs; the networks take "
            f"{tuple(architecture.input_shape)} and have {architecture.classes} outputs. Give the data set that they "
            "were trained on, or none"
        )
    if not data.task.has_classes:  # the source tells of accuracies alone
        return
    stated = snapshots.metrics["test_accuracy"][:COMPARED_NETWORKS, -1]
    population = _population(networks[:COMPARED_NETWORKS], [epochs[-1]], snapshots.weights_MEP[:COMPARED_NETWORKS, -1:])
    measured = np.empty(len(population))
    for task in dict.fromkeys(tasks[:COMPARED_NETWORKS]):
        rows = [row for row, member in enumerate(population.members) if member.task == task]
        found = evaluate(population.select(rows), select(task, data.test), data.task.of_classes(parse_task(task)))
        measured[rows] = found["accuracy"].numpy()
    both = np.isfinite(stated) & np.isfinite(measured)
    difference = float(np.abs(stated[both] - measured[both]).mean()) if both.any() else 0.0
    if difference > TOLERATED_DIFFERENCE:
        raise ValueError(
            f"on data set {data.name!r} the networks have a test accuracy of {measured[both].mean():.3f}, the source "
            f"says {stated[both].mean():.3f}: its images are others or were prepared otherwise, or the activation is "
            "another one. Leave --dataset away, or give an architecture whose first layer prepares them: "
            '{"kind": "rescale", "scale": 2, "offset": -1}'
        )


def _digest(content: hashlib._Hash, networks: Sequence[ForeignNetwork], snapshots: ForeignSnapshots) -> None:
    """Adds what is imported to a hash."""
    for row, network in enumerate(networks):
        told = {
            "origin": network.origin,
            "architecture": network.architecture,
            "known": network.known,
            "original": _original(network, snapshots, row),
        }
        content.update(canonical_json(told).encode())
    for name in sorted(snapshots.metrics):
        content.update(np.ascontiguousarray(snapshots.metrics[name], dtype="<f8").tobytes())
    content.update(np.ascontiguousarray(snapshots.weights_MEP, dtype="<f4").tobytes())


def _original(network: ForeignNetwork, snapshots: ForeignSnapshots, row: int) -> list[dict[str, object]]:
    """What the source says of each snapshot of a network."""
    of_network = {"origin": network.origin, **network.original}
    epochs = snapshots.weights_MEP.shape[1]
    if snapshots.original_ME is None:
        return [of_network] * epochs
    return [{**of_network, "snapshot": dict(snapshots.original_ME[row][epoch])} for epoch in range(epochs)]


def _contents(source: ForeignZoo, part: _Part, recipe: Imported, data: Dataset | None) -> ShardContents:
    """The rows of one shard."""
    networks = [source.networks[index] for index in part.networks]
    snapshots = source.read(part.networks)
    population = _population(networks, source.epochs, snapshots.weights_MEP, part.members.start)
    epochs = len(source.epochs)
    metrics = {name: values.reshape(-1).copy() for name, values in snapshots.metrics.items()}
    if data is not None:
        unknown = np.full(len(population), math.nan)
        metrics = {name: metrics.get(name, unknown.copy()) for name in metric_columns(data.task)}
        _complete(metrics, population, data)
    return ShardContents(
        recipe=recipe,
        dataset_sha256=data.sha256 if data else "",
        members=part.members,
        population=population,
        steps=[None] * len(population) if snapshots.steps_ME is None else snapshots.steps_ME.reshape(-1).tolist(),
        metrics=metrics,
        imported=[
            canonical_json(told) for row, network in enumerate(networks) for told in _original(network, snapshots, row)
        ],
        unknown=[
            frozenset(name for name in MEMBER_FIELDS if name not in network.known)
            for network in networks
            for _ in range(epochs)
        ],
    )


def _population(
    networks: Sequence[ForeignNetwork], epochs: Sequence[int], weights_MEP: np.ndarray, first: int = 0
) -> Population:
    members = [Member(**{"seed": 0, **network.known, "id": first + row}) for row, network in enumerate(networks)]
    return single_architecture(
        networks[0].architecture,
        torch.from_numpy(np.ascontiguousarray(weights_MEP, dtype=np.float32)).flatten(0, 1),
        [member for member in members for _ in epochs],
        list(epochs) * len(members),
    )


def _complete(metrics: dict[str, np.ndarray], population: Population, data: Dataset) -> None:
    """Computes the metrics that the source does not tell."""
    rows = np.flatnonzero(np.any([np.isnan(column) for column in metrics.values()], axis=0))
    if len(rows):
        measured = measure(population.select(torch.from_numpy(rows)), data, EVALUATION_EXAMPLES)
        for name, column in metrics.items():
            column[rows] = np.where(np.isnan(column[rows]), measured[name], column[rows])
