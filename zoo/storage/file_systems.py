"""Where a store's objects lie: local disk, S3, or any other file system of fsspec. Objects are named by keys there."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import fsspec

from zoo.storage import s3
from zoo.storage.errors import ZooError
from zoo.storage.local import PARTIAL_SUFFIX, create_file, replace_file, try_to_write
from zoo.storage.s3 import Page

logger = logging.getLogger(__name__)


class FileSystem:
    """Any file system of fsspec.

    Attributes:
        fs: As fsspec knows it.
        root: The key that all others begin with.
        known_exclusive: What is known of :attr:`exclusive`; ``None`` where it is to be found out.
    """

    passing: ClassVar[tuple[type[Exception], ...]] = (ConnectionError, TimeoutError)
    known_exclusive: bool | None = True

    def __init__(self, fs: Any, root: str) -> None:
        self.fs, self.root = fs, root

    @property
    def exclusive(self) -> bool:
        """Whether an object that exists is never created once more."""
        return True

    @cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        """What is raised where it cannot be reached or refuses."""
        return (OSError,)

    def create(self, key: str, data: bytes) -> None:
        """Writes an object that must not exist yet.

        Raises:
            FileExistsError: It exists.
        """
        self.fs.pipe_file(key, data, mode="create")

    def replace(self, key: str, data: bytes) -> None:
        """Writes an object, in place of one of that name."""
        self.fs.pipe_file(key, data)

    def read(self, key: str) -> bytes:
        """The content of an object."""
        return cast(bytes, self.fs.cat_file(key))

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | Exception]:
        """Parts of an object, from a first byte up to an end each, or why they could not be read."""
        starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
        found: list[bytes | Exception] = self.fs.cat_ranges([key] * len(ranges), starts, ends, on_error="return")
        return found

    def try_to_write(self, folder: str) -> None:
        """Writes an object that nobody else has and no listing shows, and deletes it."""
        probe = f"{folder}/.{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
        self.replace(probe, b"")
        self.fs.rm_file(probe)

    def list_page(self, folder: str, *, deep: bool) -> Page:
        """The first part of a listing; with ``deep`` also of what lies in folders of the folder."""
        entries = [*self.fs.find(folder, detail=True).values()] if deep else self.fs.ls(folder, detail=True)
        return Page(
            files={entry["name"]: entry["size"] for entry in entries if entry["type"] == "file"},
            folders=[entry["name"] for entry in entries if entry["type"] == "directory"],
            following=None,
        )

    def passes(self, error: Exception) -> bool:
        """Whether the same request may succeed a little later."""
        return isinstance(error, self.passing)

    def fuller(self, error: Exception) -> Exception:
        """The same error with more words, where asking anew gives some."""
        return error

    def explain(self, error: Exception) -> str:
        """What is wrong and what to check."""
        return f"{getattr(error, 'strerror', None) or error}; make it readable and writable, or choose another store"


class LocalDisk(FileSystem):
    """Folders and files, which appear whole or not at all."""

    passing = ()

    def create(self, key: str, data: bytes) -> None:
        if not create_file(Path(key), data):
            raise FileExistsError(key)

    def replace(self, key: str, data: bytes) -> None:
        replace_file(Path(key), data)

    def try_to_write(self, folder: str) -> None:
        try_to_write(Path(folder))


class ObjectStorage(FileSystem):
    """S3 and the servers that speak it."""

    known_exclusive = None

    @property
    def exclusive(self) -> bool:
        """As above; a server is asked once."""
        if self.known_exclusive is None:
            self.known_exclusive = s3.honours_create(self.fs, self.root)
            if not self.known_exclusive:
                logger.warning(
                    "%s does not check that an object is new (If-None-Match): two processes that write the same shard "
                    "in the same instant both will; let one `zooscale generate` at a time work on a zoo there",
                    s3.endpoint(self.fs),
                )
        return self.known_exclusive

    @cached_property
    def errors(self) -> tuple[type[Exception], ...]:
        return s3.error_types()

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.root.partition("/")[0]

    def create(self, key: str, data: bytes) -> None:
        s3.create(self.fs, key, data, exclusive=self.exclusive)

    def replace(self, key: str, data: bytes) -> None:
        s3.replace(self.fs, key, data)

    def read(self, key: str) -> bytes:
        # One request; more would first ask for the size.
        return cast(bytes, self.fs.cat_file(key, max_concurrency=1))

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | Exception]:
        found = super().read_ranges(key, ranges)  # an object may end before a part begins
        return [b"" if isinstance(part, Exception) and s3.code_of(part) in s3.BEYOND else part for part in found]

    def try_to_write(self, folder: str) -> None:  # noqa: ARG002 (what is probed is the root)
        _ = self.exclusive  # to find that out, objects are written

    def list_page(self, folder: str, *, deep: bool) -> Page:
        return s3.list_page(self.fs, folder, deep=deep)

    def passes(self, error: Exception) -> bool:
        return s3.passes(error)

    def fuller(self, error: Exception) -> Exception:
        return s3.fuller(self.fs, self.bucket, error)

    def explain(self, error: Exception) -> str:
        return s3.explain(self.fs, self.bucket, error)


def file_system(uri: str) -> FileSystem:
    """The file system of a URI, whose root is what the URI names.

    Raises:
        ZooError: There is none for such a URI, or it names no bucket.
    """
    try:
        fs, root = fsspec.core.url_to_fs(uri, **(s3.OPTIONS if uri.startswith(("s3://", "s3a://")) else {}))
    except (ValueError, ImportError) as error:
        raise ZooError(
            f"cannot open store {uri!r}: {error}. A store is a local folder, s3://bucket/path or another fsspec URI"
        ) from error
    root, protocols = root.rstrip("/"), (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    if "s3" not in protocols:
        return LocalDisk(fs, os.path.abspath(root)) if "file" in protocols else FileSystem(fs, root)
    if not root:
        raise ZooError(f"store {uri!r} names no bucket; a store on S3 is s3://bucket or s3://bucket/path")
    s3.connect(fs)
    return ObjectStorage(fs, root)
