"""Stores: a local folder or any fsspec URI that holds objects which, once written, do not change."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec

from zoo.storage.errors import ZooError

DEFAULT_STORE = "./store"
Paths = list[str]
# A file being written on local disk; never listed, so that a crash leaves nothing that looks finished.
PARTIAL_SUFFIX = ".partial"
# What link() answers on file systems that have no hard links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Store:
    """Objects under one root, named by paths with ``/`` relative to it.

    Every method also takes a full URI that lies in the store. Can be pickled and sent to another process.

    Attributes:
        uri: Absolute path of a local store, else the URI.
    """

    def __init__(self, uri: str | os.PathLike[str] = DEFAULT_STORE) -> None:
        given = os.fspath(uri)
        if not given:
            raise ValueError("Store.uri is empty; allowed: a local folder, s3://bucket/path or another fsspec URI")
        try:
            self._fs, root = fsspec.core.url_to_fs(given, **_options(given))
        except (ValueError, ImportError) as error:
            raise ZooError(
                f"cannot open store {given!r}: {error}. "
                "A store is a local folder, s3://bucket/path or another fsspec URI"
            ) from error
        self._root: str = root.rstrip("/")
        self.is_local: bool = "file" in _protocols(self._fs)
        self.uri: str = self._root if self.is_local else self._fs.unstrip_protocol(self._root)

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.uri,)

    def join(self, *parts: str) -> str:
        """The full URI of a path in the store."""
        return "/".join([self.uri, *(part.strip("/") for part in parts if part.strip("/"))])

    def put_new(self, path: str, data: bytes) -> bool:
        """Writes an object that does not exist yet, whole or not at all.

        Returns:
            False where it existed already; the existing object is then left as it is.

        Raises:
            ZooError: The store cannot be written.
        """
        with self._failures("write", path):
            if self.is_local:
                return _link_new(Path(self._key(path)), data)
            try:
                self._fs.pipe_file(self._key(path), data, mode="create")
            except FileExistsError:
                return False
            return True

    def put(self, path: str, data: bytes) -> None:
        """Writes an object, replacing one of that name: for reports and tables, never for shards or manifests.

        Raises:
            ZooError: The store cannot be written.
        """
        with self._failures("write", path):
            if self.is_local:
                target = Path(self._key(path))
                _write_partial(target, data).replace(target)
            else:
                self._fs.pipe_file(self._key(path), data)

    def read(self, path: str) -> bytes:
        """The content of an object.

        Raises:
            FileNotFoundError: There is none.
            ZooError: It cannot be read.
        """
        with self._failures("read", path):
            return cast(bytes, self._fs.cat_file(self._key(path)))

    def open(self, path: str) -> BinaryIO:
        """An object as a seekable file, for readers that need parts of it only.

        Raises:
            FileNotFoundError: There is none.
            ZooError: It cannot be read.
        """
        with self._failures("read", path):
            if self.is_local:
                return Path(self._key(path)).open("rb")
            return cast(BinaryIO, self._fs.open(self._key(path), "rb", cache_type="none"))

    def exists(self, path: str) -> bool:
        """Whether there is such an object or folder."""
        with self._failures("read", path):
            return bool(self._fs.exists(self._key(path)))

    def size(self, path: str) -> int:
        """Bytes of an object.

        Raises:
            FileNotFoundError: There is none.
        """
        with self._failures("read", path):
            return int(self._fs.size(self._key(path)))

    def list(self, prefix: str = "") -> Paths:
        """Paths of all objects in a folder, at any depth, sorted; empty where there is no such folder."""
        return [path for path in self._find(prefix) if not path.endswith(PARTIAL_SUFFIX)]

    def folders(self, prefix: str = "") -> Paths:
        """Names of the folders directly in a folder, sorted; empty where there is no such folder."""
        with self._failures("list", prefix):
            try:
                entries = self._fs.ls(self._key(prefix), detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(
                entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory"
            )

    def delete(self, path: str) -> None:
        """Deletes an object, and on local disk the folders that this leaves empty.

        Raises:
            FileNotFoundError: There is none (object stores do not tell).
            ZooError: It cannot be deleted.
        """
        with self._failures("delete", path):
            self._fs.rm_file(self._key(path))
            if self.is_local:
                with contextlib.suppress(OSError):  # ends at the first folder that is not empty
                    for folder in Path(self._key(path)).parents:
                        if str(folder) == self._root:
                            break
                        folder.rmdir()

    def delete_partial(self, prefix: str) -> Paths:
        """Deletes what interrupted writers left in a folder of a local store; returns the paths."""
        left = [path for path in self._find(prefix) if path.endswith(PARTIAL_SUFFIX)]
        for path in left:
            self.delete(path)
        return left

    def _find(self, prefix: str) -> Paths:
        with self._failures("list", prefix):
            found = self._fs.find(self._key(prefix))
        return sorted(name[len(self._root) :].lstrip("/") for name in found)

    def _key(self, path: str) -> str:
        """The name that the file system knows a path by."""
        if path == self.uri or path.startswith(self.uri + "/"):
            path = path[len(self.uri) :].lstrip("/")
        if path.startswith("/") or "://" in path or ".." in path.split("/"):
            raise ValueError(f"path {path!r} is not in store {self.uri}; allowed: paths relative to it")
        return f"{self._root}/{path.strip('/')}".rstrip("/")

    @cached_property
    def _error_types(self) -> tuple[type[Exception], ...]:
        """What the file system raises where it cannot be reached or refuses."""
        if "s3" not in _protocols(self._fs):
            return (OSError,)
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        return (OSError, BotoCoreError)

    @contextlib.contextmanager
    def _failures(self, verb: str, path: str) -> Iterator[None]:
        """Turns what the file system raises, other than for a missing object, into an error that helps."""
        try:
            yield
        except self._error_types as error:
            if verb in ("read", "delete") and isinstance(error, FileNotFoundError):
                raise
            remedy = "make it writable or choose another store" if verb == "write" else "check the store's address"
            raise ZooError(f"cannot {verb} {self.join(self._relative(path))}: {error}; {remedy}") from error

    def _relative(self, path: str) -> str:
        return path[len(self.uri) :] if path.startswith(self.uri) else path


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _options(uri: str) -> dict[str, Any]:
    """Arguments for the file system of a URI."""
    if not uri.startswith("s3"):
        return {}
    # Other processes write to the same store, so listings are never cached. Several S3 servers do not know the
    # checksums that botocore adds by default.
    checksums = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    return {"use_listings_cache": False, "config_kwargs": checksums}


def _write_partial(target: Path, data: bytes) -> Path:
    """Writes beside ``target``, down to the disk, under a name that is never listed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _link_new(target: Path, data: bytes) -> bool:
    """Creates a local file with its whole content in one step; False where it exists already."""
    if target.exists():
        return False
    partial = _write_partial(target, data)
    try:
        os.link(partial, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            return False
        partial.rename(target)  # whole, though not exclusive: equal names hold equal content
        return True
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
