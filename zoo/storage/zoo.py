"""The reader: a zoo's members as a table, chosen snapshots as populations, splits, a torch data set.

Shape letters: M snapshots, P parameters.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from zoo.architecture import Architecture, TensorSpec
from zoo.data import Dataset
from zoo.population import Population
from zoo.recipes import Imported, RecipeLike, recipe_from_json
from zoo.storage.catalog import locate, require_manifest
from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.manifest import ZOOS, Manifest
from zoo.storage.rows import integers, measured_among, members_of, partly_known, rows_at
from zoo.storage.selection import CHOSEN_BY, Epochs, Selection
from zoo.storage.shard_reader import ShardReader
from zoo.storage.shards import ShardHeader
from zoo.storage.staging import find_dataset
from zoo.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from zoo.storage.torch_dataset import SnapshotDataset

logger = logging.getLogger(__name__)

# Below this share of all members (one in so many), rows are read of those members alone.
FEW = 8


class Zoo:
    """A finished zoo in a store. Opening reads its manifest only.

    Attributes:
        store: Where it lies.
        name: ``<recipe>-<digest8>``.
        manifest: What it consists of.
        recipe: What generated it or where it was imported from, with the number of members it has.
        architectures: Its distinct architectures.
        architecture_of_shard: For each shard, the index of its architecture.
    """

    def __init__(self, store: Store, name: str, manifest: Manifest) -> None:
        self.store = store
        self.name = name
        self.manifest = manifest
        self.recipe: RecipeLike = recipe_from_json(manifest.recipe)
        architectures, numbers = manifest.architectures()
        self.architectures = tuple(Architecture.from_json(value) for value in architectures)
        self.architecture_of_shard = tuple(numbers)

    @classmethod
    def open(cls, zoo: str | os.PathLike[str], store: Store | str | None = None) -> Zoo:
        """Opens a zoo by its URI (``s3://bucket/store/zoos/name``), or by its name in a store.

        Args:
            zoo: URI or path of the zoo; or its name, or the beginning of it if no other zoo's begins so.
            store: The store to look for a name in; ``./store`` by default.

        Raises:
            ZooError: There is no such zoo, it is unfinished or damaged, or its manifest is of another recipe.
        """
        store, name = locate(zoo, store)
        manifest = require_manifest(store, name)
        where = store.join(ZOOS, name)
        try:
            recipe = recipe_from_json(manifest.recipe)
        except (TypeError, ValueError) as error:
            raise ZooError(f"the manifest of {where} holds a recipe that this release cannot read: {error}") from error
        if recipe.digest(manifest.dataset_sha256) != manifest.digest or not name.endswith("-" + manifest.digest[:8]):
            raise ZooError(
                f"the manifest of {where} is of another recipe: it says digest {manifest.digest[:8]}, its recipe and "
                f"data set have {recipe.digest(manifest.dataset_sha256)[:8]}. Restore the manifest of this zoo, or "
                f"delete it and {REMAKE}"
            )
        return cls(store, name, manifest)

    def __repr__(self) -> str:
        return f"Zoo({self.uri!r}, {len(self)} members)"

    def __len__(self) -> int:
        """Number of members."""
        return self.manifest.members

    @property
    def uri(self) -> str:
        """Full address."""
        return self.store.join(ZOOS, self.name)

    @property
    def digest(self) -> str:
        """Digest of the recipe on its data set: the identity, whatever the number of members."""
        return self.manifest.digest

    @property
    def content_sha256(self) -> str:
        """Hash over ids, specs and weights of all snapshots."""
        return self.manifest.content_sha256

    @cached_property
    def layouts(self) -> tuple[tuple[TensorSpec, ...], ...]:
        """The distinct parameter layouts, in the order in which they occur."""
        return tuple(dict.fromkeys(architecture.layout for architecture in self.architectures))

    @property
    def parameter_counts(self) -> tuple[int, ...]:
        """P of each layout."""
        return tuple(sum(spec.size for spec in layout) for layout in self.layouts)

    @property
    def layout(self) -> tuple[TensorSpec, ...]:
        """The parameter layout.

        Raises:
            ZooError: There are several.
        """
        if len(self.layouts) > 1:
            raise self._several_layouts(range(len(self.layouts)))
        return self.layouts[0]

    @property
    def parameters(self) -> int:
        """P.

        Raises:
            ZooError: There are several layouts.
        """
        return sum(spec.size for spec in self.layout)

    @cached_property
    def snapshots(self) -> pa.Table:
        """One row per snapshot, sorted by member and epoch, with every column but the weights.

        Raises:
            ZooError: A shard is missing or damaged.
        """
        return self._reader.read_all([name for name in self._reader.columns() if name != "weights"])

    @property
    def members(self) -> pd.DataFrame:
        """:attr:`snapshots` as a DataFrame of the caller's own."""
        return self.snapshots.to_pandas()

    def population(
        self,
        split: str | None = None,
        *,
        members: Collection[int] | None = None,
        epochs: Epochs = None,
        limit: int | None = None,
        include_diverged: bool = False,
        architecture: Architecture | None = None,
    ) -> Population:
        """Reads chosen snapshots of one parameter layout, sorted by member and epoch.

        Args:
            split: "train", "validation" or "test" members; all by default.
            members: Only these.
            epochs: "last": the last snapshot of each member. "one": one snapshot of each member, its epoch chosen
                by a hash of the member's number. Epochs: those. By default all but the initialization.
            limit: At most so many members: the first ones.
            include_diverged: Whether to include snapshots whose weights or losses are not finite. They are left
                out by default, and how many is logged.
            architecture: Only members with its parameter layout, whatever their activation.

        Returns:
            The snapshots, their weights in memory.

        Raises:
            ValueError: An unknown split, member, epoch or layout.
            ZooError: Nothing is left, it is of several layouts, or a shard is missing or damaged.
        """
        wanted = self._wanted(split, members, epochs, limit, include_diverged)
        rows, table, places = self._choose(wanted, architecture)
        found = sorted(set(self._layout_of(rows).tolist()))
        if len(found) > 1:
            raise self._several_layouts(found)
        return self._read(rows, rows_at(table, places))

    def populations(
        self,
        split: str | None = None,
        *,
        members: Collection[int] | None = None,
        epochs: Epochs = None,
        limit: int | None = None,
        include_diverged: bool = False,
    ) -> Iterator[Population]:
        """Reads chosen snapshots, one population for each parameter layout that occurs among them.

        Only one of them is in memory at a time. For arguments and errors see :meth:`population`.
        """
        rows, table, places = self._choose(self._wanted(split, members, epochs, limit, include_diverged))
        layout_M = self._layout_of(rows)
        for layout in range(len(self.layouts)):
            if (layout_M == layout).any():
                yield self._read(rows[layout_M == layout], rows_at(table, places[layout_M == layout]))

    def rows(
        self,
        split: str | None = None,
        *,
        members: Collection[int] | None = None,
        epochs: Epochs = None,
        limit: int | None = None,
        include_diverged: bool = False,
        architecture: Architecture | None = None,
    ) -> np.ndarray:
        """The rows of :attr:`snapshots` that :meth:`population` reads: increasing, int64, of any layouts."""
        return self._choose(self._wanted(split, members, epochs, limit, include_diverged), architecture)[0]

    def dataset(self) -> Dataset:
        """The images that the members were trained on.

        Raises:
            ZooError: The data set found here has other content, or an imported zoo does not say which it is.
        """
        if isinstance(self.recipe, Imported) and not self.recipe.dataset:
            told = f" but as {self.recipe.source_dataset!r}" if self.recipe.source_dataset else ""
            raise ZooError(
                f"zoo {self.name} was imported ({self.recipe.source_format}) without its data set, which is not known "
                f"here{told}; import it again with --dataset NAME"
            )
        data = find_dataset(self.store, self.recipe.dataset, self.manifest.dataset_sha256)
        if data.sha256 != self.manifest.dataset_sha256:
            raise ZooError(
                f"data set {self.recipe.dataset!r} has content {data.sha256[:8]} here; zoo {self.name} was trained on "
                f"{self.manifest.dataset_sha256[:8]}. Use the same files and the same release"
            )
        return data

    def torch_dataset(
        self,
        split: str | None = None,
        epochs: Epochs = None,
        *,
        columns: Sequence[str] = ("member", "epoch"),
        include_diverged: bool = False,
        architecture: Architecture | None = None,
    ) -> SnapshotDataset:
        """A torch ``Dataset`` of snapshots that reads weights from the store when they are asked for.

        Args:
            split: As in :meth:`population`.
            epochs: As in :meth:`population`.
            columns: Columns of :attr:`members` that each item has beside its weights.
            include_diverged: As in :meth:`population`.
            architecture: As in :meth:`population`. Without it, items of a zoo with several layouts have weights of
                several lengths.
        """
        from zoo.storage.torch_dataset import SnapshotDataset

        rows = self.rows(split, epochs=epochs, include_diverged=include_diverged, architecture=architecture)
        return SnapshotDataset(self._reader, rows, self.snapshots.select(list(columns)).take(pa.array(rows)))

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Weights of some rows of :attr:`snapshots`, all of one layout, in the given order: ``[M, P]`` float32.

        Raises:
            ValueError: They have several layouts.
            ZooError: A shard is missing or damaged.
        """
        return self._reader.weights(rows)

    def header(self, shard: int) -> ShardHeader:
        """What a shard, by its number in the manifest, says about itself: what it was trained with, among others.

        Raises:
            ZooError: It is missing or damaged.
        """
        return self._reader.header(shard)

    @cached_property
    def _reader(self) -> ShardReader:
        return ShardReader(self.store, self.name, self.manifest.shards)

    @cached_property
    def _layout_of_shard(self) -> np.ndarray:
        """For each shard, which layout it has."""
        of_architecture = [self.layouts.index(architecture.layout) for architecture in self.architectures]
        return np.array(of_architecture)[list(self.architecture_of_shard)]

    def _wanted(
        self,
        split: str | None,
        members: Collection[int] | None,
        epochs: Epochs,
        limit: int | None,
        include_diverged: bool,
    ) -> Selection:
        """What is asked for, checked."""
        return Selection(
            zoo=self.name,
            recipe=self.recipe,
            split=split,
            members=members,
            epochs=epochs,
            limit=limit,
            include_diverged=include_diverged,
        )

    def _choose(
        self, wanted: Selection, architecture: Architecture | None = None
    ) -> tuple[np.ndarray, pa.Table, np.ndarray]:
        """The rows that are wanted; a table that holds them, among others; and where in it they are."""
        table, number_M = self._table(wanted.members)
        possible_M = np.ones(len(table), dtype=bool)
        if architecture is not None:
            if architecture.layout not in self.layouts:
                raise ValueError(
                    f"no member of zoo {self.name} has the layout of that architecture with {architecture.parameters} "
                    f"parameters; {self._layout_summary(range(len(self.layouts)))}"
                )
            possible_M = self._layout_of(number_M) == self.layouts.index(architecture.layout)
        places = wanted.choose(table, possible_M)
        return number_M[places], table, places

    def _table(self, members: Collection[int] | None) -> tuple[pa.Table, np.ndarray]:
        """What rows are chosen from, and for each of its rows, which of :attr:`snapshots` it is.

        The rows of a few members are read alone, where the whole table has not been read yet.
        """
        if members is None or "snapshots" in self.__dict__ or len(members) * FEW > len(self):
            return self.snapshots, np.arange(len(self.snapshots))
        ends = np.array([entry.end for entry in self.manifest.shards])
        starts = np.cumsum([0, *(entry.rows for entry in self.manifest.shards)])
        ids = np.array(sorted(set(members)), dtype=np.int64)
        numbers = []
        for member, shard in zip(ids, np.searchsorted(ends, ids, side="right"), strict=True):
            entry = self.manifest.shards[shard]
            snapshots = entry.rows // (entry.end - entry.first)
            numbers.append(starts[shard] + (member - entry.first) * snapshots + np.arange(snapshots))
        rows = np.concatenate([np.empty(0, dtype=np.int64), *numbers])
        shard = int(self._reader.shard_of(rows[:1])[0]) if len(rows) else 0
        names = self._reader.columns(shard)
        chosen_by = [name for name in CHOSEN_BY if name in names]
        return self._reader.table(rows, [*chosen_by, *measured_among(names)]), rows

    def _layout_of(self, rows: np.ndarray) -> np.ndarray:
        """For each row, which layout it has."""
        found: np.ndarray = self._layout_of_shard[self._reader.shard_of(rows)]
        return found

    def _read(self, rows: np.ndarray, table: pa.Table) -> Population:
        """The population of rows of one layout, of which the table tells."""
        layout = self.layouts[self._layout_of(rows[:1])[0]]
        alike = [index for index, architecture in enumerate(self.architectures) if architecture.layout == layout]
        place = np.zeros(len(self.architectures), dtype=np.int64)
        place[alike] = np.arange(len(alike))
        of_shard = np.array(self.architecture_of_shard)
        return Population(
            weights_MP=torch.from_numpy(self._reader.weights(rows)),
            architectures=tuple(self.architectures[index] for index in alike),
            architecture_M=torch.from_numpy(place[of_shard[self._reader.shard_of(rows)]]),
            members=tuple(members_of(table)),
            epochs=tuple(integers(table["epoch"]).tolist()),
            columns={
                "split": np.array(table["split"].to_pylist()),
                "dataset": np.full(len(rows), self.recipe.dataset),
            }
            | {
                name: np.concatenate([np.from_dlpack(chunk) for chunk in table[name].chunks])
                for name in measured_among(table.column_names)
            }
            | partly_known(table),
        )

    def _several_layouts(self, layouts: Sequence[int]) -> ZooError:
        return ZooError(
            f"zoo {self.name}: {self._layout_summary(layouts)}. What was asked for needs one: choose one with "
            "population(architecture=zoo.architectures[i]), or go through them with populations()"
        )

    def _layout_summary(self, layouts: Sequence[int]) -> str:
        """Says in a few words which layouts there are, each as its tensors' shapes."""
        listed = [
            " ".join("x".join(map(str, spec.shape)) for spec in self.layouts[index] if len(spec.shape) > 1)
            for index in layouts
        ]
        more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
        return f"there are {len(listed)} parameter layouts ({', '.join(listed[:4])}{more})"
