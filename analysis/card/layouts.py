"""Reads sampled members, layout by layout, and describes each layout.

Shape letters: M members, R rows (snapshots).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from analysis.card.distributions import evenly_spaced
from analysis.card.table import ZooTable
from analysis.card.weights import LayoutFacts, distance_facts, in_words, tensor_facts
from zoo.population import Population
from zoo.storage.zoo import Zoo

# Layouts with a section of their own: those with the most members.
SECTIONS = 8
# Weights of one layout held at once; of more, fewer members are read.
WEIGHT_BYTES = 512_000_000


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The layouts of a zoo and what was read of them.

    Attributes:
        members: How many members of the sample were read.
        layouts: That with the most members first.
        last: The sample's last snapshots, a population for each layout that has any.
        one: One snapshot of each member, likewise; empty where these are the last ones.
    """

    members: int
    layouts: tuple[LayoutFacts, ...]
    last: tuple[Population, ...]
    one: tuple[Population, ...]


def sampled_layouts(zoo: Zoo, table: ZooTable, sample: np.ndarray) -> Sampled:
    """Reads the sample and describes each layout.

    Args:
        zoo: The zoo.
        table: Its table.
        sample: Increasing numbers of members.
    """
    of_member = np.concatenate([np.full(entry.end - entry.first, entry.architecture) for entry in zoo.manifest.shards])
    by_layout: dict[Any, list[int]] = {}
    for index, architecture in enumerate(zoo.architectures):
        by_layout.setdefault(architecture.layout, []).append(index)
    order = sorted(by_layout.values(), key=lambda indices: -int(np.isin(of_member, indices).sum()))
    facts, lasts, ones, read = [], [], [], 0
    epochs = zoo.recipe.snapshot_epochs
    for place, indices in enumerate(order):
        architecture = zoo.architectures[indices[0]]
        members = np.flatnonzero(np.isin(of_member, indices))
        most = max(2, WEIGHT_BYTES // (4 * architecture.parameters * len(epochs)))
        drawn = sample[np.isin(sample, members)]
        drawn = drawn[evenly_spaced(len(drawn), most)]
        read += len(drawn)
        described = LayoutFacts(
            label=in_words(architecture),
            architectures=tuple(zoo.architectures[index].to_json() for index in indices),
            parameters=architecture.parameters,
            members=len(members),
            measured=0,
            tensors=(),
            distances=None,
        )
        rows = np.flatnonzero(np.isin(table.member_R, drawn) & ~table.diverged_R)
        if len(rows):
            # Diverged ones are read as well and then left out, as each time they are left out in reading is logged.
            population = zoo.population(members=drawn.tolist(), epochs=epochs, include_diverged=True)
            population = _chosen(population, ~table.diverged_R[np.isin(table.member_R, drawn)])
            last_M = np.isin(rows, table.last_M)
            lasts.append(_chosen(population, last_M))
            one = zoo.rows(members=drawn.tolist(), epochs="one", include_diverged=True)
            ones.append(_chosen(population, np.isin(rows, one)))
            if place < SECTIONS and last_M.any():
                described = replace(
                    described,
                    measured=int(last_M.sum()),
                    tensors=tensor_facts(population, last_M),
                    distances=distance_facts(lasts[-1]),
                )
        facts.append(described)
    kept = [population for population in lasts if len(population)]
    differ = any(list(a.epochs) != list(b.epochs) for a, b in zip(lasts, ones, strict=True))
    return Sampled(
        members=read,
        layouts=tuple(facts),
        last=tuple(kept),
        one=tuple(population for population in ones if len(population)) if differ else (),
    )


def _chosen(population: Population, chosen_M: np.ndarray) -> Population:
    return population.select(torch.from_numpy(np.flatnonzero(chosen_M)))
