"""A file of which some parts have been fetched from object storage.

As ``fsspec.caching.KnownPartsOfAFile``, which copies what is read and goes through all parts for every read: scans and
tables of zoos on S3 then take twice as long (``benchmarks/README.md``).
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Mapping
from typing import Any


class FetchedFile(io.RawIOBase):
    """Seekable; reading what has not been fetched is an error.

    Args:
        size: Size of the whole file.
        parts: Content by first byte; parts do not overlap.
    """

    def __init__(self, size: int, parts: Mapping[int, bytes]) -> None:
        self._size, self._at = size, 0
        self._starts = sorted(parts)
        self._contents = [memoryview(parts[start]) for start in self._starts]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> Any:
        """As ``io.RawIOBase.read``; a view of what is at hand, not a copy.

        Raises:
            OSError: That part is not at hand.
        """
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        place = bisect.bisect_right(self._starts, self._at) - 1
        if place >= 0 and end <= self._starts[place] + len(self._contents[place]):
            first = self._starts[place]
            data = self._contents[place][self._at - first : max(end, self._at) - first]
            self._at += len(data)
            return data
        raise OSError(f"bytes {self._at} to {end} of {self._size} have not been fetched")
