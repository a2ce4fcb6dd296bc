"""Reads sampled members, layout by layout, and describes each layout.

Shape letters: M members, R rows (snapshots).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from analysis.card.table import ZooTable
from analysis.card.weights import LayoutFacts, distance_facts, in_words, tensor_facts
from zoo.population import Population
from zoo.storage.zoo import Zoo

# Layouts with a section of their own: those with the most members.
SECTIONS = 8
# Weights of one layout held at once.
WEIGHT_BYTES = 512_000_000


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The layouts of a zoo and what was read of them.

    Attributes:
        layouts: That with the most members first.
        last: The sample's last snapshots, a population for each layout that has any.
        one: One snapshot of each member, likewise; empty where these are the last ones.
    """

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
    facts, lasts, ones = [], [], []
    for place, indices in enumerate(order):
        architecture = zoo.architectures[indices[0]]
        members = np.flatnonzero(np.isin(of_member, indices))
        epochs = len(np.unique(table.epoch_R))
        most = max(2, WEIGHT_BYTES // (4 * architecture.parameters * epochs))
        drawn = sample[np.isin(sample, members)]
        drawn = drawn[np.unique(np.linspace(0, len(drawn) - 1, min(most, len(drawn))).round().astype(int))]
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
            population = _read(zoo, rows)
            last_M = np.isin(rows, table.last_M)
            lasts.append(population.select(torch.from_numpy(np.flatnonzero(last_M))))
            ones.append(population.select(_single_rows(table, rows)))
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
    return Sampled(layouts=tuple(facts), last=tuple(kept), one=tuple(p for p in ones if len(p)) if differ else ())


def _single_rows(table: ZooTable, rows: np.ndarray) -> list[int]:
    """For each member, the place among ``rows`` of the one snapshot that stands for it; none where it diverged."""
    member_R = table.member_R[rows]
    chosen = []
    for member in np.unique(member_R):
        chosen += np.flatnonzero(rows == table.single_row(int(member))).tolist()
    return chosen


def _read(zoo: Zoo, rows: np.ndarray) -> Population:
    """The snapshots in these rows of the zoo's table, all of one layout."""
    members = np.unique(zoo.snapshots["member"].to_numpy()[rows])
    epochs = np.unique(zoo.snapshots["epoch"].to_numpy()).tolist()
    population = zoo.population(members=members.tolist(), epochs=epochs, include_diverged=True)
    finite = ~zoo.snapshots["diverged"].to_numpy()[
        zoo.rows(members=members.tolist(), epochs=epochs, include_diverged=True)
    ]
    return population.select(torch.from_numpy(np.flatnonzero(finite)))
