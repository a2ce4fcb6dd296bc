"""Which bytes of a Parquet file some columns of some row groups are, and a file that consists of just those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow.parquet as pq

from zoo.storage.remote_file import SeekableFile

Range = tuple[int, int]
# Ranges so close together are fetched as one: a request costs more than some bytes too many.
GAP_BYTES = 1 << 15


def column_ranges(footer: pq.FileMetaData, row_groups: Iterable[int], columns: Sequence[str]) -> list[Range]:
    """First byte and end of what has to be read; sorted, neighbors joined.

    Args:
        footer: The file's footer.
        row_groups: Indices of row groups.
        columns: Names of columns at the top level; one may consist of several below.
    """
    wanted = set(columns)
    places = [
        place for place in range(footer.num_columns) if footer.schema.column(place).path.partition(".")[0] in wanted
    ]
    ranges = []
    for index in row_groups:
        group = footer.row_group(index)
        for place in places:
            chunk = group.column(place)
            first = chunk.data_page_offset
            if chunk.dictionary_page_offset is not None:
                first = min(first, chunk.dictionary_page_offset)
            ranges.append((first, first + chunk.total_compressed_size))
    return joined(ranges)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, those that overlap or nearly touch made one."""
    found: list[Range] = []
    for first, end in sorted(ranges):
        if found and first - found[-1][1] <= GAP_BYTES:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((first, end))
    return found


class PartialFile(SeekableFile):
    """A file of which some parts are at hand; reading outside of them is an error.

    Args:
        size: Size of the whole file.
        parts: Content by first byte.
    """

    def __init__(self, size: int, parts: dict[int, bytes]) -> None:
        super().__init__(size)
        self._parts = sorted(parts.items())

    def read(self, size: int | None = -1) -> Any:
        """As ``io.RawIOBase.read``; a view of what is at hand, not a copy.

        Raises:
            OSError: That part is not at hand.
        """
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        for first, content in self._parts:
            if first <= self._at and end <= first + len(content):
                data = memoryview(content)[self._at - first : max(end, self._at) - first]
                self._at += len(data)
                return data
        raise OSError(f"bytes {self._at} to {end} of {self._size} have not been fetched")
