"""An object on object storage as a seekable file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.storage.store import Store


class SeekableFile(io.RawIOBase):
    """What files of a known size have in common, however they are read."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at


class RemoteFile(SeekableFile):
    """An object on object storage as a file: every read is one request for just those bytes, repeated if need be."""

    def __init__(self, store: Store, path: str, size: int) -> None:
        super().__init__(size)
        self._store, self._path = store, path

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        (data,) = self._store.read_ranges(self._path, [(self._at, end)])
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
