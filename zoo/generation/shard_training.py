"""Trains the members of one shard and measures each one on what it was made for.

Shape letters: M members, E snapshot epochs, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from zoo.data.class_tasks import parse_task, select
from zoo.data.examples import Dataset, Examples
from zoo.evaluation import evaluate
from zoo.population import Member, Population, single_architecture
from zoo.recipes import Recipe
from zoo.storage.environment import environment
from zoo.storage.rows import SPLITS, metric_columns
from zoo.storage.shards import ShardContents
from zoo.threads import one_thread
from zoo.training.backend import choose_backend
from zoo.training.grouping import example_count, training_examples
from zoo.training.train import train_population


def train_shard(
    recipe: Recipe, data: Dataset, members: range, watch: Callable[[float], None] | None = None
) -> ShardContents:
    """Trains and evaluates the members of one shard.

    The same bits for the same arguments on one kind of machine. A member's weights do not depend on where its
    shard begins or ends: members that are trained in one group are always trained together, also where only some
    of them are wanted.

    Args:
        recipe: What the members are drawn from.
        data: Its data set.
        members: Which members.
        watch: Called with the share of the training that is done, 0 to 1, whenever snapshots are taken.

    Raises:
        ValueError: The members are not of one shard, or the recipe does not fit the data.
    """
    shard = recipe.shard(members.start)
    if not members.start < members.stop <= shard.end:
        raise ValueError(
            f"members {members.start} to {members.stop - 1} are not of one shard; "
            f"allowed: at least one, and none beyond member {shard.end - 1}"
        )
    architecture = recipe.member_architecture(members.start, data)
    start, end = shard.first, shard.end
    everyone = [recipe.member(index) for index in range(start, end)]
    within = range(members.start - start, members.stop - start)
    wanted = [everyone[row] for row in within]
    epochs = recipe.snapshot_epochs
    weights_MEP = torch.empty(len(wanted), len(epochs), architecture.parameters)
    steps_ME = np.zeros((len(wanted), len(epochs)), dtype=np.int64)
    examples_M, trained_M = _examples_seen(wanted, data.train), np.zeros(len(wanted))
    with one_thread():
        for snapshot in train_population(
            architecture,
            everyone,
            data.train,
            task=data.task,
            epochs=recipe.epochs,
            snapshot_epochs=epochs,
            only=within,
        ):
            epoch = epochs.index(snapshot.epoch)
            chosen = [place for place, row in enumerate(snapshot.rows) if row in within]
            places = [snapshot.rows[place] - within.start for place in chosen]
            weights_MEP[places, epoch] = snapshot.weights_MP[chosen]
            steps_ME[places, epoch] = snapshot.steps
            trained_M[places] = snapshot.epoch
            if watch is not None:
                watch(float(examples_M @ trained_M / examples_M.sum() / max(1, epochs[-1])))
        population = single_architecture(
            architecture,
            weights_MEP.flatten(0, 1),
            [member for member in wanted for _ in epochs],
            list(epochs) * len(wanted),
        )
        metrics = measure(population, data, recipe.evaluation_examples)
    kinds = {member.optimizer: member for member in everyone}.values()
    cpu = torch.device("cpu")
    used = {choose_backend(architecture, [member], data.task, data.train, cpu)[0] for member in kinds}
    return ShardContents(
        recipe=recipe,
        dataset_sha256=data.sha256,
        members=members,
        population=population,
        steps=steps_ME.flatten().tolist(),
        metrics=metrics,
        subsets=_subsets(population.members, data.train),
        environment=environment(",".join(sorted(used))),
    )


def measure(population: Population, data: Dataset, evaluation_examples: int) -> dict[str, np.ndarray]:
    """What judges each row on each split, on the examples of its task.

    Training metrics are those on the first ``evaluation_examples`` of the training examples that the member saw.

    Returns:
        The columns of ``zoo.storage.rows.metric_columns``, float64.
    """
    metrics = {name: np.empty(len(population)) for name in metric_columns(data.task)}
    for split in SPLITS:
        everything: Examples = getattr(data, split)
        alike: dict[tuple[object, ...], list[int]] = {}
        for row, member in enumerate(population.members):
            seen = _seen(member) if split == "train" else ()
            alike.setdefault((member.task, *seen), []).append(row)
        for rows in alike.values():
            member = population.members[rows[0]]
            examples = everything
            if split == "train":
                chosen = np.sort(training_examples(member, everything))[:evaluation_examples]
                examples = everything.select(torch.from_numpy(chosen))
            examples = select(member.task, examples)
            task = data.task.of_classes(parse_task(member.task))
            alike_rows = population if len(rows) == len(population) else population.select(rows)
            for name, values_M in evaluate(alike_rows, examples, task).items():
                metrics[f"{split}_{name}"][rows] = values_M.numpy()
    return metrics


def _examples_seen(members: Sequence[Member], images: Examples) -> np.ndarray:
    """How many examples an epoch of each member has: what it takes, next to that of others."""
    alike = [(member.task, member.subset_size, member.subset_index, member.training_fraction) for member in members]
    counts = {key: example_count(member, images) for key, member in zip(alike, members, strict=True)}
    return np.array([counts[key] for key in alike])


def _seen(member: Member) -> tuple[object, ...]:
    """What decides which of its task's training examples a member sees; empty where it sees them all."""
    if not member.subset_size and member.training_fraction == 1:
        return ()
    return member.subset_seed, member.subset_size, member.subset_index, member.training_fraction


def _subsets(members: Sequence[Member], images: Examples) -> Sequence[np.ndarray]:
    """For each row, the training images of its subset; empty where no row has one."""
    if not any(member.subset_size for member in members):
        return ()
    nothing = np.empty(0, dtype=np.int32)
    of_member = {
        member.id: np.sort(training_examples(member, images)).astype(np.int32) if member.subset_size else nothing
        for member in dict.fromkeys(members)
    }
    return [of_member[member.id] for member in members]
