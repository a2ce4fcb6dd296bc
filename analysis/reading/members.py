"""Networks of a zoo as predictions see them: read once, and any choice of them without another copy.

Shape letters: M members.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import torch

from analysis.statistics.groups import ORDER, TASK, group_numbers, orders_differ, task_groups
from trainables.encoders.encoder import MEASURED, differing
from trainables.fit_data import as_fits_see
from trainables.large_weights import largest_weights, limit_of
from trainables.readouts.columns import strata_of, target_of
from zoo.data.examples import Dataset
from zoo.population import Population
from zoo.recipes import Imported
from zoo.storage.zoo import Zoo

# Epochs of a member are told apart by less than this.
EPOCHS = 10**9
Wanted = Literal["one", "last"] | tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Members:
    """Snapshots of several layouts, one population each, in one order; or a choice of them.

    Attributes:
        populations: One for each layout.
        rows: Which of their snapshots, one population after the other; all where ``None``.
    """

    populations: tuple[Population, ...]
    rows: np.ndarray | None = None
    # Columns of all snapshots by their names, which every choice of them shares.
    _known: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return sum(map(len, self.populations)) if self.rows is None else len(self.rows)

    def column(self, name: str) -> np.ndarray:
        """What is known of each snapshot under a name: ``[M]``.

        Raises:
            ValueError: Nothing is.
        """
        return self._cached(f"column {name}", lambda population: population.column(name))

    def target(self, name: str) -> np.ndarray:
        """A column as it is predicted: numbers, or categories as text: ``[M]``."""
        return self._cached(f"target {name}", lambda population: target_of(population, name))

    @property
    def strata(self) -> np.ndarray:
        """Equal for snapshots of equal hyper-parameters, epoch and size: ``[M]``."""
        return self._cached("strata", strata_of)

    @property
    def trained(self) -> np.ndarray:
        """How each network was trained, as text: its activation and all of its member but the number: ``[M]``."""
        return self._cached("trained", trained_by)

    @property
    def parameters(self) -> np.ndarray:
        """How many parameters each network has: ``[M]``."""
        return self._cached("parameters", lambda population: np.full(len(population), population.parameters))

    @property
    def fingerprints(self) -> np.ndarray:
        """The same for the same weights, and else not but by a chance of 2^-64: uint64 ``[M]``."""
        return self._cached("fingerprints", fingerprints_of)

    def over(self, of_population: Callable[[Population], np.ndarray]) -> np.ndarray:
        """What a function gives for each population, one after the other; then the chosen rows."""
        values = np.concatenate([of_population(population) for population in self.populations])
        return values if self.rows is None else values[self.rows]

    def chosen(self, kept_M: np.ndarray) -> Members:
        """Those of these snapshots that are kept; bool ``[M]``."""
        places = np.flatnonzero(kept_M)
        return dataclasses.replace(self, rows=places if self.rows is None else self.rows[places])

    def without_large(self) -> Members:
        """These without networks of very large weights; see ``trainables.large_weights``."""
        largest_M = torch.from_numpy(self._cached("largest weights", lambda each: largest_weights(each).numpy()))
        small_M = largest_M <= limit_of(largest_M)
        return self if bool(small_M.all()) else self.chosen(small_M.numpy())

    @classmethod
    def joined(cls, parts: Sequence[Members]) -> Members:
        """Snapshots of several zoos, those of one after those of the other."""
        rows, first = [], 0
        for part in parts:
            rows.append(first + (np.arange(len(part)) if part.rows is None else part.rows))
            first += sum(map(len, part.populations))
        return cls(populations=tuple(each for part in parts for each in part.populations), rows=np.concatenate(rows))

    def _cached(self, key: str, of_population: Callable[[Population], np.ndarray]) -> np.ndarray:
        if key not in self._known:
            self._known[key] = dataclasses.replace(self, rows=None).over(of_population)
        values = self._known[key]
        return values if self.rows is None else values[self.rows]


@dataclass(frozen=True, kw_only=True)
class ZooMembers:
    """The networks of a zoo by their split, with all snapshots; read when first needed.

    Networks are as fits see them: weights on inputs that never occur are zero.

    Attributes:
        zoo: The zoo, of any layouts.
        members: Numbers of the test members.
        seen_as: Whose they are seen as: weights are zero on inputs that never occur in the data set of these, not in
            their own, by which they could be told apart; ``None`` for their own.
        epochs: Which snapshots are read: the "last" of each member, those of some epochs, or all but untrained networks
            (``None``). Those that are chosen must be among them.
    """

    zoo: Zoo
    members: tuple[int, ...]
    seen_as: ZooMembers | None = None
    epochs: Literal["last"] | tuple[int, ...] | None = None

    @cached_property
    def dataset(self) -> Dataset | None:
        """What the networks were trained on, or are seen on; ``None`` where that is not known."""
        if self.seen_as is not None:
            return self.seen_as.dataset
        known = not isinstance(self.zoo.recipe, Imported) or self.zoo.recipe.dataset
        return self.zoo.dataset() if known else None

    @cached_property
    def training(self) -> Members:
        """Training members."""
        return self._read(self.zoo.populations("train", epochs=self.epochs))

    @cached_property
    def validation(self) -> Members:
        """Validation members."""
        return self._read(self.zoo.populations("validation", epochs=self.epochs))

    @cached_property
    def test(self) -> Members:
        """The test members."""
        return self._read(self.zoo.populations("test", members=self.members, epochs=self.epochs))

    @cached_property
    def shared(self) -> str:
        """What members of a group have in common, which are resampled together; empty where each is its own group.

        It is the classes that they tell apart, by which splits go where members have tasks, else a minibatch order.
        """
        if any(self.zoo.snapshots["task"].unique().to_pylist()):
            return TASK
        return ORDER if orders_differ(self.zoo) else ""

    def groups(self, members: Members) -> np.ndarray:
        """For each snapshot the number of its group, ``[M]``; a member's snapshots are one group."""
        if self.shared == TASK:
            return task_groups(members.column("task").tolist())
        return group_numbers(members.column("order_seed" if self.shared else "id").tolist(), True)

    def rows(self, split: str, epochs: Wanted, layouts: Collection[int] | None = None) -> np.ndarray:
        """Rows of ``zoo.snapshots``; for arguments see :meth:`choose`."""
        found = self.zoo.rows(split, members=self.members if split == "test" else None, epochs=epochs)
        if layouts is None:
            return found
        return found[
            np.isin(layout_of_members(self.zoo)[self.zoo.snapshots["member"].to_numpy()[found]], list(layouts))
        ]

    def choose(self, split: str, epochs: Wanted, layouts: Collection[int] | None = None) -> Members:
        """Snapshots of a split.

        Args:
            split: "train", "validation" or "test": of the test members those in ``members``.
            epochs: "one" or the "last" of each member, those of some epochs, or all but untrained networks (``None``).
            layouts: Only networks of these of the zoo's layouts.
        """
        found = self.training if split == "train" else self.validation if split == "validation" else self.test
        if epochs == self.epochs and layouts is None:
            return found
        table = self.zoo.snapshots.take(self.rows(split, epochs, layouts))
        wanted = table["member"].to_numpy() * EPOCHS + table["epoch"].to_numpy()
        return found.chosen(np.isin(found.column("id") * EPOCHS + found.column("epoch"), wanted))

    def known_among(self, others: Members) -> int:
        """How many snapshots of another zoo are of this one's training or validation networks, to the last bit.

        Untrained ones are not counted: many zoos begin at the same weights.
        """
        own = np.concatenate([self.training.fingerprints, self.validation.fingerprints])
        return int((np.isin(others.fingerprints, own) & (others.column("epoch") != 0)).sum())

    def untrained(self) -> tuple[int, int]:
        """How many untrained test networks there are, and how many of them are one of another split to the last bit."""
        parts = (self.training, self.validation, self.test)
        training_M, validation_M, test_M = (each.fingerprints[each.column("epoch") == 0] for each in parts)
        return len(test_M), int(np.isin(test_M, np.concatenate([training_M, validation_M])).sum())

    def _read(self, populations: Iterable[Population]) -> Members:
        return Members(populations=tuple(map(self._as_fits_see, populations)))

    def _as_fits_see(self, population: Population) -> Population:
        """Networks without weights on inputs that never occur, as far as these are known and networks take them."""
        return population if self.dataset is None else as_fits_see(population, self.dataset)


def fingerprints_of(population: Population) -> np.ndarray:
    """A hash of each network's weights: uint64 ``[M]``."""
    rows = (hashlib.blake2b(weights_P.tobytes(), digest_size=8) for weights_P in population.weights_MP.numpy())
    return np.frombuffer(b"".join(row.digest() for row in rows), dtype=np.uint64)


def trained_by(population: Population) -> np.ndarray:
    """How each network was trained, seeds included, as text: ``[M]``."""
    ways = zip(population.column("activation"), population.members, strict=True)
    return np.array([repr((str(activation), dataclasses.replace(member, id=0))) for activation, member in ways])


def rows_told_apart(population: Population) -> pd.DataFrame:
    """A table of a population's rows: how each was trained, as far as rows differ in it, and how large its weights are.

    Columns are ``member``, ``epoch``, ``order_seed`` and ``weight_norm``, and every hyper-parameter and the activation
    where known values differ: one that is not known, as NaN, is no value of its own.
    """
    columns = {
        "member": population.column("id"),
        "epoch": population.column("epoch"),
        "order_seed": population.column("order_seed"),
        "weight_norm": population.weights_MP.double().norm(dim=1).numpy(),
    }
    chosen = [name for name in differing(population.column) if name not in MEASURED]
    return pd.DataFrame(columns | {name: population.column(name) for name in chosen})


def layout_of_members(zoo: Zoo) -> np.ndarray:
    """For each member of a zoo, by its number, the number of its layout: int64 ``[members]``."""
    numbers = [zoo.layouts.index(architecture.layout) for architecture in zoo.architectures]
    of_shard = np.array(numbers)[list(zoo.architecture_of_shard)]
    found: np.ndarray = np.repeat(of_shard, [entry.end - entry.first for entry in zoo.manifest.shards])
    return found
