"""Reads rows of many shards as if they were one table, no more of each file than needed.

Shape letters: M rows, P parameters.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.ranges import PartialFile, Range, column_ranges
from zoo.storage.rows import weights_of
from zoo.storage.shards import damage_of, open_shard, read_header
from zoo.storage.store import Store

# Footers kept: parsing one costs about as much as reading a row group.
CACHED_FOOTERS = 256
# Pyarrow reads the last 64 KB first. A footer has about 11 KB, and 3 KB more for each row group of half a megabyte; the
# last eight bytes of a file say how long it is.
FOOTER_BYTES, FOOTER_SHARE, FOOTER_END = 1 << 16, 128, 8
# Shards of object storage that are waited for at the same time.
REMOTE_SHARDS = 8
REMEDY = f"`zooscale verify` lists all damage of a zoo; delete the file and {REMAKE}"


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
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardReader, (self.store, self.digest, self.sources)

    def columns(self) -> list[str]:
        """Names of all columns."""
        return list(self.footer(0).schema.to_arrow_schema().names)

    def read(self, shard: int, columns: Sequence[str], row_groups: Sequence[int] | None = None) -> pa.Table:
        """Some columns of some row groups (all by default) of a shard, without its metadata.

        Raises:
            ZooError: The shard is missing, damaged or of another zoo.
        """
        footer = self.footer(shard)
        groups = list(range(footer.num_row_groups) if row_groups is None else row_groups)
        with self._open(shard, footer, column_ranges(footer, groups, columns)) as file, damage_of(self._where(shard)):
            # Arrow's threads gain nothing on one wide column, and one that lets go of a Python file while the
            # interpreter exits aborts the process.
            table = file.read_row_groups(groups, columns=list(columns), use_threads=False)
            return table.replace_schema_metadata()

    def read_all(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all shards; several shards at a time on object storage, where each has to be waited for.

        Raises:
            ZooError: A shard is missing, damaged or of another zoo.
        """
        shards = range(len(self.sources))
        if self.store.is_local or len(shards) == 1:
            return pa.concat_tables([self.read(shard, columns) for shard in shards])
        with ThreadPoolExecutor(REMOTE_SHARDS) as pool:
            return pa.concat_tables(list(pool.map(lambda shard: self.read(shard, columns), shards)))

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Weights of the given rows, in the given order: a new array ``[M, P]`` float32."""
        weights_MP = np.empty((len(rows), 0), dtype=np.float32)
        for places, read_M, table in self._tables(rows, ["weights"]):
            column = table["weights"]
            if not weights_MP.size:
                weights_MP = np.empty((len(rows), column.type.list_size), dtype=np.float32)
            if len(table) == len(places) and _is_run(read_M) and _is_run(places):  # whole row groups, in order
                at = int(places[0])
                for chunk in column.chunks:
                    part_MP = chunk.flatten().to_numpy(zero_copy_only=True).reshape(len(chunk), -1)
                    weights_MP[at : at + len(chunk)] = part_MP
                    at += len(chunk)
            else:
                weights_MP[places] = weights_of(column)[read_M]
        return weights_MP

    def table(self, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Some columns of the given rows, which are increasing."""
        parts = [table.take(pa.array(read_M)) for _, read_M, table in self._tables(rows, columns)]
        return pa.concat_tables(parts) if parts else self.read(0, columns, [])

    def _tables(self, rows: np.ndarray, columns: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray, pa.Table]]:
        """Reads the row groups that hold some rows, shard by shard.

        Yields:
            Which of the rows are of this shard; for each of them, its place in the table; the table.
        """
        shard_M, group_M, within_M = self.locate(rows)
        for shard in np.unique(shard_M):
            places = np.flatnonzero(shard_M == shard)
            groups, group_of_place = np.unique(group_M[places], return_inverse=True)
            sizes = self._group_rows(int(shard))[groups]
            starts = np.cumsum(sizes) - sizes
            yield places, starts[group_of_place] + within_M[places], self.read(int(shard), columns, groups.tolist())

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
        with self._lock:
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
        with self._lock:
            self._footers[shard] = footer
            while len(self._footers) > CACHED_FOOTERS:
                self._footers.popitem(last=False)
        return footer

    @contextlib.contextmanager
    def _open(
        self, shard: int, footer: pq.FileMetaData | None = None, ranges: Sequence[Range] | None = None
    ) -> Iterator[pq.ParquetFile]:
        """A shard, open while in the context.

        Args:
            shard: Which one.
            footer: Its footer, where that is known.
            ranges: The bytes that are going to be read; those of the footer by default.
        """
        source, where = self.sources[shard], self._where(shard)
        try:
            raw = self._local_file(source) if self.store.is_local else self._fetched(source, ranges)
        except FileNotFoundError as error:
            raise ZooError(f"{where} is missing; {REMAKE}") from error
        with raw, open_shard(raw, where, footer) as file:
            yield file

    def _local_file(self, source: ShardSource) -> BinaryIO:
        """A shard on local disk, mapped into memory: what is read is not copied first."""
        size = self.store.size(source.path)
        if size != source.size_bytes:
            raise self._truncated(source, f"it has {size} bytes, not {source.size_bytes}")
        return cast(BinaryIO, pa.memory_map(self.store.join(source.path)))

    def _fetched(self, source: ShardSource, ranges: Sequence[Range] | None) -> BinaryIO:
        """A shard on object storage of which some parts are at hand, all asked for at once; by default its footer."""
        size = source.size_bytes
        if ranges is not None:
            return cast(BinaryIO, PartialFile(size, self._parts(source, ranges)))
        guess = FOOTER_BYTES + size // FOOTER_SHARE
        # A byte beyond what the manifest says tells whether the object is longer.
        parts = self._parts(source, [(max(0, size - guess), size + 1)])
        (tail,) = parts.values()
        needed = FOOTER_END + int.from_bytes(tail[-FOOTER_END:][:4], "little")
        if guess < needed <= size:
            parts = self._parts(source, [(size - needed, size + 1)])
        return cast(BinaryIO, PartialFile(size, parts))

    def _parts(self, source: ShardSource, ranges: Sequence[Range]) -> dict[int, bytes]:
        """Content of some ranges of a shard by first byte."""
        contents = self.store.read_ranges(source.path, ranges)
        for (first, end), content in zip(ranges, contents, strict=True):
            if first + len(content) != min(end, source.size_bytes):
                raise self._truncated(source, f"it does not have {source.size_bytes} bytes")
        return {first: content for (first, _), content in zip(ranges, contents, strict=True)}

    def _truncated(self, source: ShardSource, how: str) -> ZooError:
        return ZooError(f"{self.store.join(source.path)} is corrupted or truncated: {how}; {REMEDY}")

    def _group_rows(self, shard: int) -> np.ndarray:
        """Number of rows of each row group of a shard."""
        footer = self.footer(shard)
        return np.array([footer.row_group(group).num_rows for group in range(footer.num_row_groups)])

    def _where(self, shard: int) -> str:
        return self.store.join(self.sources[shard].path)


def _is_run(numbers: np.ndarray) -> bool:
    """Whether numbers go up by one each."""
    return len(numbers) > 0 and bool((np.diff(numbers) == 1).all())
