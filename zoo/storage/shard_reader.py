"""Reads rows of many shards as if they were one table, no more of each file than needed.

Shape letters: M rows, P parameters.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zoo.storage.errors import ZooError
from zoo.storage.rows import weights_of
from zoo.storage.shards import damage_of, open_shard, read_header
from zoo.storage.store import Store

# Footers kept: parsing one costs about as much as reading a row group.
CACHED_FOOTERS = 256
REMEDY = "`zooscale verify` lists all damage of a zoo; delete the file and run `zooscale generate` again"


@dataclass(frozen=True, slots=True)
class ShardSource:
    """A shard as its manifest describes it.

    Attributes:
        path: Where it is in its store.
        rows: Number of rows.
        size_bytes: Size of the file.
        first: First member.
        end: One past the last member.
    """

    path: str
    rows: int
    size_bytes: int
    first: int
    end: int


class ShardReader:
    """Reads shards of one zoo; holds no file open, and can be sent to another process.

    Attributes:
        store: Where the shards are.
        digest: Identity of the zoo that they must belong to.
        sources: The shards; rows are numbered through all of them in this order.
    """

    def __init__(self, store: Store, digest: str, sources: Sequence[ShardSource]) -> None:
        self.store = store
        self.digest = digest
        self.sources = tuple(sources)
        self._ends = np.cumsum([source.rows for source in self.sources])
        self._footers: OrderedDict[int, pq.FileMetaData] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_footers": OrderedDict()}

    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(self.footer(0).schema.to_arrow_schema().names)

    def read(self, shard: int, columns: Sequence[str], row_groups: Sequence[int] | None = None) -> pa.Table:
        """Some columns of some row groups (all by default) of a shard, without its metadata.

        Raises:
            ZooError: The shard is missing, damaged or of another zoo.
        """
        footer = self.footer(shard)
        groups = range(footer.num_row_groups) if row_groups is None else row_groups
        with self._open(shard, footer) as file, damage_of(self._where(shard)):
            # Arrow's threads gain nothing on one wide column, and one that lets go of a Python file while the
            # interpreter exits aborts the process.
            table = file.read_row_groups(list(groups), columns=list(columns), use_threads=False)
            return table.replace_schema_metadata()

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Weights of the given rows, in the given order: a new array ``[M, P]`` float32."""
        shard_M, group_M, within_M = self.locate(rows)
        weights_MP = np.empty((len(rows), 0), dtype=np.float32)
        for shard in np.unique(shard_M):
            places = np.flatnonzero(shard_M == shard)
            groups, group_of_place = np.unique(group_M[places], return_inverse=True)
            read = weights_of(self.read(int(shard), ["weights"], groups.tolist())["weights"])
            sizes = self._group_rows(int(shard))[groups]
            starts = np.cumsum(sizes) - sizes
            if not weights_MP.size:
                weights_MP = np.empty((len(rows), read.shape[1]), dtype=np.float32)
            weights_MP[places] = read[starts[group_of_place] + within_M[places]]
        return weights_MP

    def shard_of(self, rows: np.ndarray) -> np.ndarray:
        """For each row, the index of its shard."""
        return np.searchsorted(self._ends, rows, side="right")

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each row: its shard, its row group there, and its place in the row group."""
        shard_M = self.shard_of(rows)
        group_M, within_M = np.empty_like(shard_M), np.empty_like(shard_M)
        for shard in np.unique(shard_M):
            places = np.flatnonzero(shard_M == shard)
            local = rows[places] - (self._ends[shard] - self.sources[shard].rows)
            sizes = self._group_rows(int(shard))
            ends = np.cumsum(sizes)
            group_M[places] = np.searchsorted(ends, local, side="right")
            within_M[places] = local - (ends - sizes)[group_M[places]]
        return shard_M, group_M, within_M

    def footer(self, shard: int) -> pq.FileMetaData:
        """The footer of a shard, checked against what its manifest says of it.

        Raises:
            ZooError: The shard is missing, damaged or of another zoo.
        """
        if shard in self._footers:
            self._footers.move_to_end(shard)
            return self._footers[shard]
        source, where = self.sources[shard], self._where(shard)
        with self._open(shard) as file:
            header = read_header(file.schema_arrow, where)
            footer = file.metadata
        if header.digest != self.digest or (header.members.first, header.members.end) != (source.first, source.end):
            raise ZooError(
                f"{where} is of another zoo: it holds members {header.members.first} to {header.members.end - 1} of "
                f"digest {header.digest[:8]}; {REMEDY}"
            )
        self._footers[shard] = footer
        while len(self._footers) > CACHED_FOOTERS:
            self._footers.popitem(last=False)
        return footer

    @contextlib.contextmanager
    def _open(self, shard: int, footer: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
        """A shard, open while in the context; with its footer, only what is read of it is fetched."""
        source, where = self.sources[shard], self._where(shard)
        try:
            size = self.store.size(source.path) if footer is None else source.size_bytes
            raw = self.store.open(source.path)
        except FileNotFoundError as error:
            raise ZooError(f"{where} is missing; run `zooscale generate` again to make it anew") from error
        with raw:
            if size != source.size_bytes:
                raise ZooError(
                    f"{where} is corrupted or truncated: it has {size} bytes, not {source.size_bytes}; {REMEDY}"
                )
            with open_shard(raw, where, footer) as file:
                yield file

    def _group_rows(self, shard: int) -> np.ndarray:
        """Number of rows of each row group of a shard."""
        footer = self.footer(shard)
        return np.array([footer.row_group(group).num_rows for group in range(footer.num_row_groups)])

    def _where(self, shard: int) -> str:
        return self.store.join(self.sources[shard].path)
