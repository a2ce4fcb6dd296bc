"""Reads rows of many shards as if they were one table, no more of each file than needed.

Parquet has checksums of its pages alone: a damaged footer or page header can name sizes and codecs that do not exist,
which ends or stalls the process. So footers and weights are compared with the checksums that the manifest has of them
before Arrow sees them. Shape letters: M rows, P parameters.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.manifest import ShardEntry, shard_path
from zoo.storage.rows import rows_at, weights_of
from zoo.storage.shards import ShardHeader, damage_of, read_header, weights_chunk
from zoo.storage.store import Store

Range = tuple[int, int]
# Footers kept: parsing one costs about as much as reading a row group.
CACHED_FOOTERS = 256
# Ranges so close together are fetched as one: a request costs more than some bytes too many.
GAP_BYTES = 1 << 15
# Shards of object storage that are waited for at the same time.
REMOTE_SHARDS = 8


class ShardReader:
    """Reads shards of one zoo; holds no file open, and can be sent to another process.

    Attributes:
        store: Where the shards are.
        zoo: Name of the zoo.
        shards: The shards; rows are numbered through all of them in this order.
    """

    def __init__(self, store: Store, zoo: str, shards: Sequence[ShardEntry]) -> None:
        self.store = store
        self.zoo = zoo
        self.shards = tuple(shards)
        self._ends = np.cumsum([entry.rows for entry in self.shards])
        self._footers: OrderedDict[int, pq.FileMetaData] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardReader, (self.store, self.zoo, self.shards)

    def columns(self, shard: int = 0) -> list[str]:
        """Names of all columns, which every shard has; asked of one of them."""
        return list(self.footer(shard).schema.to_arrow_schema().names)

    def read(self, shard: int, columns: Sequence[str], row_groups: Sequence[int] | None = None) -> pa.Table:
        """Some columns of some row groups (all by default) of a shard, without its metadata.

        Raises:
            ZooError: The shard is missing, damaged or not the one that the manifest lists.
        """
        footer = self.footer(shard)
        groups = list(range(footer.num_row_groups) if row_groups is None else row_groups)
        with self._open(shard, _column_ranges(footer, groups, columns)) as raw:
            file = pq.ParquetFile(raw, metadata=footer, page_checksum_verification=True)
            # Arrow's threads gain nothing on small columns, and one that lets go of a Python file while the
            # interpreter exits aborts the process.
            table = file.read_row_groups(groups, columns=list(columns), use_threads=False)
            return table.replace_schema_metadata()

    def read_all(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all shards; several shards at a time on object storage, where each has to be waited for.

        Raises:
            ZooError: A shard is missing, damaged or not the one that the manifest lists.
        """
        shards = range(len(self.shards))
        if self.store.is_local or len(shards) == 1:
            return pa.concat_tables([self.read(shard, columns) for shard in shards])
        with ThreadPoolExecutor(REMOTE_SHARDS) as pool:
            return pa.concat_tables(list(pool.map(lambda shard: self.read(shard, columns), shards)))

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Weights of the given rows, in the given order: a new array ``[M, P]`` float32.

        Raises:
            ValueError: The rows have several P.
            ZooError: A shard is missing, damaged or not the one that the manifest lists.
        """
        shard_M, group_M, within_M = self.locate(rows)
        weights_MP: np.ndarray | None = None
        for shard, of_shard in _places(shard_M).items():
            groups = _places(group_M[of_shard])
            for group, group_MP in zip(groups, self._weights(shard, list(groups)), strict=True):
                if weights_MP is None:
                    weights_MP = np.empty((len(rows), group_MP.shape[1]), dtype=np.float32)
                if group_MP.shape[1] != weights_MP.shape[1]:
                    raise ValueError(f"rows have {weights_MP.shape[1]} and {group_MP.shape[1]} parameters")
                places = of_shard[groups[group]]
                weights_MP[_as_slice(places)] = group_MP[_as_slice(within_M[places])]
        return np.empty((0, 0), dtype=np.float32) if weights_MP is None else weights_MP

    def row_group(self, shard: int, group: int) -> np.ndarray:
        """Weights of all rows of a row group: ``[M, P]`` float32, read-only."""
        (weights_MP,) = self._weights(shard, [group])
        return weights_MP

    def table(self, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Some columns of the given rows, which are increasing."""
        shard_M, group_M, within_M = self.locate(rows)
        parts = []
        for shard, of_shard in _places(shard_M).items():
            groups = _places(group_M[of_shard])
            found, start = self.read(shard, columns, list(groups)), 0
            for group, of_group in groups.items():
                parts.append(rows_at(found, start + within_M[of_shard[of_group]]))
                start += self.footer(shard).row_group(group).num_rows
        return pa.concat_tables(parts) if parts else self.read(0, columns, [])

    def shard_of(self, rows: np.ndarray) -> np.ndarray:
        """For each row, the index of its shard."""
        return np.searchsorted(self._ends, rows, side="right")

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each row: its shard, its row group there, and its place in the row group.

        Raises:
            IndexError: There is no such row.
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < self._ends[-1]):
            raise IndexError(f"rows go from {rows.min()} to {rows.max()}; allowed: 0 to {self._ends[-1] - 1}")
        shard_M = self.shard_of(rows)
        group_M, within_M = np.empty_like(shard_M), np.empty_like(shard_M)
        for shard, places in _places(shard_M).items():
            footer = self.footer(shard)
            sizes = np.array([footer.row_group(group).num_rows for group in range(footer.num_row_groups)])
            local, ends = rows[places] - (self._ends[shard] - self.shards[shard].rows), np.cumsum(sizes)
            group_M[places] = np.searchsorted(ends, local, side="right")
            within_M[places] = local - (ends - sizes)[group_M[places]]
        return shard_M, group_M, within_M

    def header(self, shard: int) -> ShardHeader:
        """What a shard says about itself.

        Raises:
            ZooError: The shard is missing, damaged or not the one that the manifest lists.
        """
        return read_header(self.footer(shard).schema.to_arrow_schema(), self._where(shard))

    def footer(self, shard: int) -> pq.FileMetaData:
        """The footer of a shard.

        Raises:
            ZooError: The shard is missing, damaged or not the one that the manifest lists.
        """
        with self._lock:
            if shard in self._footers:
                self._footers.move_to_end(shard)
                return self._footers[shard]
        entry = self.shards[shard]
        place = (entry.size_bytes - entry.footer_bytes, entry.size_bytes)
        with self._open(shard, [place]) as raw:
            content = _content(raw, place)
            self._require(content, entry.footer_crc32, shard, "its footer")
            footer = pq.read_metadata(pa.BufferReader(content))
        with self._lock:
            self._footers[shard] = footer
            while len(self._footers) > CACHED_FOOTERS:
                self._footers.popitem(last=False)
        return footer

    def _weights(self, shard: int, groups: Sequence[int]) -> Iterator[np.ndarray]:
        """Weights of all rows of some row groups of a shard, one after the other: ``[M, P]`` float32, read-only."""
        footer = self.footer(shard)
        places = {group: _chunk_range(weights_chunk(footer, group)) for group in groups}
        with self._open(shard, list(places.values())) as raw:
            file = pq.ParquetFile(raw, metadata=footer)
            for group, place in places.items():
                self._require(_content(raw, place), self.shards[shard].weights_crc32[group], shard, "the weights")
                yield weights_of(file.read_row_group(group, columns=["weights"], use_threads=False)["weights"])

    @contextlib.contextmanager
    def _open(self, shard: int, ranges: Sequence[Range]) -> Iterator[pa.NativeFile]:
        """A shard, open while in the context.

        Args:
            shard: Which one.
            ranges: The bytes that are going to be read. On object storage they are fetched at once.

        Raises:
            ZooError: It is missing, has another size, or cannot be read.
        """
        entry, where = self.shards[shard], self._where(shard)
        path = shard_path(self.zoo, entry.name)
        with damage_of(where):
            try:
                if self.store.is_local:
                    file = pa.memory_map(self.store.join(path))
                else:
                    file = pa.BufferReader(self._fetched(path, entry.size_bytes, ranges))
            except FileNotFoundError as error:
                raise ZooError(f"{where} is missing; {REMAKE}") from error
            with file:
                if file.size() != entry.size_bytes:
                    raise self._damaged(shard, f"it does not have {entry.size_bytes} bytes")
                yield file

    def _fetched(self, path: str, size: int, ranges: Sequence[Range]) -> np.ndarray:
        """The bytes of a file, of which those in some ranges are fetched; fewer where the file ends before they do."""
        from fsspec.utils import merge_offset_ranges

        starts, ends = ([place[side] for place in ranges] for side in (0, 1))
        _, starts, ends = merge_offset_ranges([path] * len(starts), starts, ends, max_gap=GAP_BYTES)
        # Where the last byte is wanted, one beyond it tells whether the object is longer.
        asked = [(start, end + (end == size)) for start, end in zip(starts, ends, strict=True)]
        contents = self.store.read_ranges(path, asked)
        file = np.empty(size, dtype=np.uint8)  # memory that is never touched, as between the ranges, is never taken
        for start, end, content in zip(starts, ends, contents, strict=True):
            if len(content) != end - start:
                return file[:0]
            file[start:end] = np.frombuffer(content, np.uint8)
        return file

    def _require(self, content: pa.Buffer, crc32: int, shard: int, what: str) -> None:
        """Raises a ``ZooError`` where a part of a shard does not have its checksum."""
        if zlib.crc32(content) != crc32:
            raise self._damaged(shard, f"{what} are not those that the manifest lists")

    def _damaged(self, shard: int, how: str) -> ZooError:
        return ZooError(
            f"{self._where(shard)} is corrupted or truncated, or of another zoo: {how}; `zooscale verify` lists all "
            f"damage of a zoo; delete the file and {REMAKE}"
        )

    def _where(self, shard: int) -> str:
        return self.store.join(shard_path(self.zoo, self.shards[shard].name))


def _column_ranges(footer: pq.FileMetaData, row_groups: Sequence[int], columns: Sequence[str]) -> list[Range]:
    """First byte and end of every chunk of some columns; of a list the chunks of all that it consists of."""
    wanted = set(columns)
    places = [
        place for place in range(footer.num_columns) if footer.schema.column(place).path.partition(".")[0] in wanted
    ]
    return [_chunk_range(footer.row_group(group).column(place)) for group in row_groups for place in places]


def _chunk_range(chunk: pq.ColumnChunkMetaData) -> Range:
    first = chunk.data_page_offset
    if chunk.dictionary_page_offset is not None:
        first = min(first, chunk.dictionary_page_offset)
    return first, first + chunk.total_compressed_size


def _content(raw: pa.NativeFile, place: Range) -> pa.Buffer:
    raw.seek(place[0])
    return raw.read_buffer(place[1] - place[0])


def _places(numbers_M: np.ndarray) -> dict[int, np.ndarray]:
    """For each number that occurs, in order, where it does (``np.unique`` imports ``numpy.ma``, for 10 ms)."""
    order_M = np.argsort(numbers_M, kind="stable")
    changes = np.flatnonzero(np.diff(numbers_M[order_M])) + 1
    return {int(numbers_M[places[0]]): places for places in np.split(order_M, changes) if len(places)}


def _as_slice(numbers: np.ndarray) -> slice | np.ndarray:
    """Numbers that go up by one each as a slice, with which nothing is copied twice."""
    is_run = len(numbers) > 0 and bool((np.diff(numbers) == 1).all())
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if is_run else numbers
