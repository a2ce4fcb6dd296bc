"""Reads rows of many shards as if they were one table, no more of each file than needed.

Shape letters: M rows, P parameters.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.ranges import PartialFile, Range, column_ranges
from zoo.storage.rows import rows_at, weights_of
from zoo.storage.shards import damage_of, open_shard, read_header
from zoo.storage.store import Store
from zoo.storage.weight_pages import decode, is_decodable, is_zstd

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

    def columns(self, shard: int = 0) -> list[str]:
        """Names of all columns, which every shard has; asked of one of them."""
        return list(self.footer(shard).schema.to_arrow_schema().names)

    def read(self, shard: int, columns: Sequence[str], row_groups: Sequence[int] | None = None) -> pa.Table:
        """Some columns of some row groups (all by default) of a shard, without its metadata.

        Raises:
            ZooError: The shard is missing, damaged or of another zoo.
        """
        footer = self.footer(shard)
        groups = list(range(footer.num_row_groups) if row_groups is None else row_groups)
        where = self._where(shard)
        with (
            self._open(shard, column_ranges(footer, groups, columns)) as raw,
            open_shard(raw, where, footer) as file,
            damage_of(where),
        ):
            # Arrow's threads gain nothing on small columns, and one that lets go of a Python file while the
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
        """Weights of the given rows, in the given order: a new array ``[M, P]`` float32.

        Raises:
            ValueError: The rows have several P.
            ZooError: A shard is missing, damaged or of another zoo.
        """
        shard_M, group_M, within_M = self.locate(rows)
        parameters = self._parameters(int(shard_M[0]), int(group_M[0])) if len(rows) else 0
        weights_MP = np.empty((len(rows), parameters), dtype=np.float32)
        for shard, of_shard in _places(shard_M).items():
            groups = _places(group_M[of_shard])
            with self._decoder(shard, list(groups)) as decode_rows:
                for group, of_group in groups.items():
                    if self._parameters(shard, group) != parameters:
                        raise ValueError(f"rows have {parameters} and {self._parameters(shard, group)} parameters")
                    places = of_shard[of_group]
                    within = within_M[places]
                    first, end = int(within.min()), int(within.max()) + 1
                    if _is_run(within) and _is_run(places):
                        decode_rows(group, first, weights_MP[places[0] : places[-1] + 1])
                    else:
                        some_MP = np.empty((end - first, parameters), dtype=np.float32)
                        decode_rows(group, first, some_MP)
                        weights_MP[places] = some_MP[within - first]
        return weights_MP

    def row_group(self, shard: int, group: int) -> np.ndarray:
        """Weights of all rows of a row group: a new array ``[M, P]`` float32."""
        rows = self.footer(shard).row_group(group).num_rows
        weights_MP = np.empty((rows, self._parameters(shard, group)), dtype=np.float32)
        with self._decoder(shard, [group]) as decode_rows:
            decode_rows(group, 0, weights_MP)
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
            local = rows[places] - (self._ends[shard] - self.sources[shard].rows)
            sizes = self._group_rows(shard)
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
        with self._open(shard) as raw, open_shard(raw, where) as file:
            header = read_header(file.schema_arrow, where)
            footer = file.metadata
        if header.digest != self.digest or (header.members.first, header.members.end) != (source.first, source.end):
            raise ZooError(
                f"{where} is of another zoo: it holds members {header.members.first} to {header.members.end - 1} of "
                f"digest {header.digest[:8]}; {REMEDY}"
            )
        self._require_whole(source, footer, header.architecture.parameters)
        with self._lock:
            self._footers[shard] = footer
            while len(self._footers) > CACHED_FOOTERS:
                self._footers.popitem(last=False)
        return footer

    @contextlib.contextmanager
    def _decoder(self, shard: int, groups: Sequence[int]) -> Iterator[Callable[[int, int, np.ndarray], None]]:
        """What decodes weights of some row groups of a shard: ``(row group, first row, where they go [M, P])``."""
        footer = self.footer(shard)

        def decode_rows(group: int, first: int, weights_MP: np.ndarray) -> None:
            chunk = _weights_chunk(footer, group)
            if is_decodable(chunk):
                file.seek(chunk.data_page_offset)
                content = file.read(chunk.total_compressed_size)
                if is_zstd(content):
                    decode(content, chunk.num_values, first * weights_MP.shape[1], weights_MP.reshape(-1))
                    return
            weights_MP[:] = weights_of(self.read(shard, ["weights"], [group])["weights"])[first:][: len(weights_MP)]

        with self._open(shard, column_ranges(footer, groups, ["weights"])) as file, damage_of(self._where(shard)):
            yield decode_rows

    def _parameters(self, shard: int, group: int) -> int:
        """P of a row group."""
        footer = self.footer(shard)
        values: int = _weights_chunk(footer, group).num_values
        return values // footer.row_group(group).num_rows

    @contextlib.contextmanager
    def _open(self, shard: int, ranges: Sequence[Range] | None = None) -> Iterator[BinaryIO]:
        """A shard, open while in the context.

        Args:
            shard: Which one.
            ranges: The bytes that are going to be read; those of the footer by default.
        """
        source = self.sources[shard]
        try:
            file = self._local_file(source) if self.store.is_local else self._fetched(source, ranges)
        except FileNotFoundError as error:
            raise ZooError(f"{self._where(shard)} is missing; {REMAKE}") from error
        with file:
            yield file

    def _local_file(self, source: ShardSource) -> BinaryIO:
        """A shard on local disk."""
        size = self.store.size(source.path)
        if size != source.size_bytes:
            raise self._truncated(source, f"it has {size} bytes, not {source.size_bytes}")
        return cast(BinaryIO, pa.OSFile(self.store.join(source.path)))

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

    def _require_whole(self, source: ShardSource, footer: pq.FileMetaData, parameters: int) -> None:
        """Raises a ``ZooError`` where a footer, which has no checksum, says of the weights what cannot be."""
        groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
        chunks = [_weights_chunk(footer, group) for group in range(footer.num_row_groups)]
        if sum(group.num_rows for group in groups) != source.rows or any(
            not 0 <= group.num_rows <= source.rows
            or chunk.num_values != group.num_rows * parameters
            or chunk.total_compressed_size < 0
            or not 0 <= chunk.data_page_offset <= source.size_bytes - chunk.total_compressed_size
            for group, chunk in zip(groups, chunks, strict=True)
        ):
            raise self._truncated(source, f"its footer does not tell of {source.rows} rows of {parameters} weights")

    def _truncated(self, source: ShardSource, how: str) -> ZooError:
        return ZooError(f"{self.store.join(source.path)} is corrupted or truncated: {how}; {REMEDY}")

    def _group_rows(self, shard: int) -> np.ndarray:
        """Number of rows of each row group of a shard."""
        footer = self.footer(shard)
        return np.array([footer.row_group(group).num_rows for group in range(footer.num_row_groups)])

    def _where(self, shard: int) -> str:
        return self.store.join(self.sources[shard].path)


def _places(numbers_M: np.ndarray) -> dict[int, np.ndarray]:
    """For each number that occurs, in order, where it does (``np.unique`` imports ``numpy.ma``, for 10 ms)."""
    order_M = np.argsort(numbers_M, kind="stable")
    changes = np.flatnonzero(np.diff(numbers_M[order_M])) + 1
    return {int(numbers_M[places[0]]): places for places in np.split(order_M, changes) if len(places)}


def _weights_chunk(footer: pq.FileMetaData, group: int) -> pq.ColumnChunkMetaData:
    """The weights of a row group: the last column."""
    return footer.row_group(group).column(footer.num_columns - 1)


def _is_run(numbers: np.ndarray) -> bool:
    """Whether numbers go up by one each."""
    return len(numbers) > 0 and bool((np.diff(numbers) == 1).all())
