"""Stores: a local folder or any fsspec URI that holds objects which, once written, do not change."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import fsspec

from zoo.storage import s3
from zoo.storage.backoff import patience_s, waits
from zoo.storage.errors import ZooError
from zoo.storage.local import PARTIAL_SUFFIX, create_file, replace_file, try_to_write

DEFAULT_STORE = "./store"
# Attempts that fail before it is said that there will be more: a short disturbance is nobody's business.
QUIET_ATTEMPTS = 4
Paths = list[str]
T = TypeVar("T")

logger = logging.getLogger(__name__)


class Store:
    """Objects under one root, named by paths with ``/`` relative to it.

    Every method also takes a full URI that lies in the store. Can be pickled and sent to another process, and may
    be used by several threads.

    On object storage, a request that fails for a reason that may pass (throttling, a cut connection, a server that
    is away) is repeated after growing pauses: for 120 s where the store has answered this process before, else for
    10 s, or for ``ZOOSCALE_PATIENCE_S`` seconds. After that, and for any other reason at once, methods raise one
    ``ZooError`` that names the endpoint and what to check.

    Attributes:
        uri: Absolute path of a local store, else the URI.
    """

    def __init__(self, uri: str | os.PathLike[str] = DEFAULT_STORE) -> None:
        given = os.fspath(uri)
        if not given:
            raise ValueError("Store.uri is empty; allowed: a local folder, s3://bucket/path or another fsspec URI")
        fs, root = _file_system(given)
        self._root: str = root.rstrip("/")
        self.is_local: bool = "file" in _protocols(fs)
        self.uri: str = self._root if self.is_local else fs.unstrip_protocol(self._root)
        self._is_s3 = "s3" in _protocols(fs)
        if self._is_s3 and not self._bucket:
            raise ZooError(f"store {given!r} names no bucket; a store on S3 is s3://bucket or s3://bucket/path")
        self._file_systems = [(os.getpid(), fs)]
        self._answered = False
        self._exclusive: bool | None = None if self._is_s3 else True

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # What is known of the server need not be found out by every worker.
        return Store, (self.uri,), {"_answered": self._answered, "_exclusive": self._exclusive}

    def join(self, *parts: str) -> str:
        """The full URI of a path in the store."""
        return "/".join([self.uri, *(part.strip("/") for part in parts if part.strip("/"))])

    def put_new(self, path: str, data: bytes) -> bool:
        """Writes an object that does not exist yet, whole or not at all.

        On S3 the server decides, by one conditional PUT. Where it ignores the condition, which is found out once,
        the object is looked for before it is written: two processes that write the same object in the same instant
        then both succeed, and the later one's stays.

        Returns:
            False where it existed already; the existing object is then left as it is.

        Raises:
            ZooError: The store cannot be written.
        """
        key = self._key(path)
        if self.is_local:
            return self._do("write", path, lambda: create_file(Path(key), data))
        attempts = 0

        def create() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                if self._is_s3:
                    s3.create(self._fs, key, data, exclusive=self.exclusive)
                else:
                    self._fs.pipe_file(key, data, mode="create")
            except FileExistsError:
                # An earlier attempt may have arrived although its answer was lost.
                return attempts > 1 and bool(self._fs.cat_file(key) == data)
            return True

        return self._do("write", path, create)

    def put(self, path: str, data: bytes) -> None:
        """Writes an object, replacing one of that name: for reports and tables, never for shards or manifests.

        Raises:
            ZooError: The store cannot be written.
        """
        key = self._key(path)
        if self.is_local:
            self._do("write", path, lambda: replace_file(Path(key), data))
        elif self._is_s3:
            self._do("write", path, lambda: s3.replace(self._fs, key, data))
        else:
            self._do("write", path, lambda: self._fs.pipe_file(key, data))

    def check_writable(self, folder: str) -> None:
        """Finds out at once what every later write would run into.

        Args:
            folder: Where something is going to be written.

        Raises:
            ZooError: The store cannot be written.
        """
        if self._is_s3:
            self._do("write", folder, lambda: self.exclusive)
        elif self.is_local:
            self._do("write", folder, lambda: try_to_write(Path(self._key(folder))))
        else:
            probe = f"{folder}/.{secrets.token_hex(8)}{PARTIAL_SUFFIX}"  # of this process alone, and never listed
            self.put(probe, b"")
            self.delete(probe)

    def read(self, path: str) -> bytes:
        """The content of an object.

        Raises:
            FileNotFoundError: There is none.
            ZooError: It cannot be read.
        """
        key = self._key(path)
        options = {"max_concurrency": 1} if self._is_s3 else {}  # one request; more would first ask for the size
        return self._do("read", path, lambda: cast(bytes, self._fs.cat_file(key, **options)))

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of an object, from a first byte up to an end each; asked for together on object storage.

        A part is shorter where the object ends before it does.

        Raises:
            FileNotFoundError: There is no such object.
            ZooError: It cannot be read.
        """
        key = self._key(path)
        parts: dict[tuple[int, int], bytes] = {}

        def fetch() -> None:
            lacking = [part for part in dict.fromkeys(ranges) if part not in parts]
            starts, ends = [start for start, _ in lacking], [end for _, end in lacking]
            found = self._fs.cat_ranges([key] * len(lacking), starts, ends, on_error="return")
            for part, data in zip(lacking, found, strict=True):
                if isinstance(data, bytes):
                    parts[part] = data
                elif self._is_s3 and s3.code_of(data) in s3.BEYOND:
                    parts[part] = b""
            for part, data in zip(lacking, found, strict=True):
                if part not in parts:
                    raise data

        self._do("read", path, fetch)
        return [parts[part] for part in ranges]

    def exists(self, path: str) -> bool:
        """Whether there is such an object or folder."""
        try:
            self._do("read", path, lambda: self._fs.info(self._key(path)))
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        """Bytes of an object.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._do("read", path, lambda: int(self._fs.size(self._key(path))))

    def modified(self, path: str) -> float:
        """When an object was written, in seconds since 1970.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._do("read", path, lambda: float(self._fs.modified(self._key(path)).timestamp()))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Bytes of every object in a folder, at any depth, by its path, sorted; empty where there is no such folder."""
        return {path: size for path, size in self._find(prefix).items() if not path.endswith(PARTIAL_SUFFIX)}

    def list(self, prefix: str = "") -> Paths:
        """Paths of all objects in a folder, at any depth, sorted; empty where there is no such folder."""
        return [*self.sizes(prefix)]

    def files(self, prefix: str = "") -> Paths:
        """Names of the objects directly in a folder, sorted; empty where there is no such folder.

        What lies deeper is not looked at, however much it is.
        """
        return [name for name in self._entries(prefix, "file") if not name.endswith(PARTIAL_SUFFIX)]

    def folders(self, prefix: str = "") -> Paths:
        """Names of the folders directly in a folder, sorted; empty where there is no such folder."""
        return self._entries(prefix, "directory")

    def delete(self, path: str) -> None:
        """Deletes an object, and on local disk the folders that this leaves empty.

        Raises:
            FileNotFoundError: There is none (object stores do not tell).
            ZooError: It cannot be deleted.
        """
        self._do("delete", path, lambda: self._fs.rm_file(self._key(path)))
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

    @property
    def exclusive(self) -> bool:
        """Whether an object that :meth:`put_new` has created stays as it was written, whoever else is writing.

        A server on S3 is asked once whether it refuses to create an object that exists.
        """
        if self._exclusive is None:
            self._exclusive = s3.honours_create(self._fs, self._root)
            if not self._exclusive:
                logger.warning(
                    "%s does not check that an object is new (If-None-Match): two processes that write the same shard "
                    "in the same instant both will; let one `zooscale generate` at a time work on a zoo there",
                    s3.endpoint(self._fs),
                )
        return self._exclusive

    @property
    def _fs(self) -> Any:
        """The file system; a forked process, such as a ``DataLoader``'s worker, needs connections of its own.

        Those of the process before stay open in it: s3fs would close them for both.
        """
        if self._file_systems[-1][0] != os.getpid():
            self._file_systems.append((os.getpid(), _file_system(self.uri)[0]))
        return self._file_systems[-1][1]

    @property
    def _bucket(self) -> str:
        return self._root.partition("/")[0]

    def _find(self, prefix: str) -> dict[str, int]:
        """Paths of all objects in a folder, at any depth, with their bytes; sorted."""
        if self._is_s3:
            pages = self._pages(prefix, deep=True)
            found = {f"{self._bucket}/{key}": size for page in pages for key, size in page.files.items()}
        else:
            try:
                entries = self._do("list", prefix, lambda: self._fs.find(self._key(prefix), detail=True))
            except FileNotFoundError:
                return {}
            found = {name: entry["size"] for name, entry in entries.items()}
        return {name[len(self._root) :].lstrip("/"): found[name] for name in sorted(found) if not name.endswith("/")}

    def _entries(self, prefix: str, kind: str) -> Paths:
        """Names of the files, or of the directories, directly in a folder."""
        key = self._key(prefix)
        if self._is_s3:
            pages = self._pages(prefix, deep=False)
            names = [name for page in pages for name in (page.files if kind == "file" else page.folders)]
            # The marker of an empty folder is an object whose name ends in a slash.
            names = [name.rstrip("/") for name in names if kind != "file" or not name.endswith("/")]
        else:
            try:
                entries = self._do("list", prefix, lambda: self._fs.ls(key, detail=True))
            except (FileNotFoundError, NotADirectoryError):
                return []
            names = [entry["name"].rstrip("/") for entry in entries if entry["type"] == kind]
        return sorted(name.rpartition("/")[2] for name in names if name != key)

    def _pages(self, prefix: str, *, deep: bool) -> Iterator[s3.Page]:
        """The listing of a folder on S3, each part a request of its own."""
        key, rest = self._key(prefix), None
        while True:
            page = self._do("list", prefix, partial(s3.list_page, self._fs, key, deep=deep, rest=rest))
            yield page
            rest = page.rest
            if rest is None:
                return

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
        return s3.error_types() if self._is_s3 else (OSError,)

    def _do(self, verb: str, path: str, request: Callable[[], T]) -> T:
        """Makes a request, again and again while it fails for a reason that may pass.

        Raises:
            FileNotFoundError: What is to be read, listed or deleted does not exist.
            NotADirectoryError: What is to be listed is no folder.
            ZooError: What is wrong and what to check.
        """
        pauses, attempts, failed_first = waits(), 0, None
        while True:
            attempts += 1
            try:
                result = request()
            except self._error_types as error:
                failure = error
            else:
                self._answered = True
                return result
            absent = s3.is_missing_object(failure) or isinstance(failure, NotADirectoryError)
            self._answered |= absent or s3.code_of(failure) is not None
            if absent and verb != "write":
                raise failure
            now = time.monotonic()
            failed_first = now if failed_first is None else failed_first
            waited = now - failed_first
            left = patience_s(answered=self._answered) - waited
            if not self._passes(failure) or left <= 0:
                raise self._explained(verb, path, failure, attempts, waited) from failure
            if attempts == QUIET_ATTEMPTS:
                logger.warning("%s; trying again for up to %.0f s", self._what(verb, path, failure), left)
            time.sleep(min(next(pauses), left))

    def _passes(self, failure: Exception) -> bool:
        if self._is_s3:
            return s3.passes(failure)
        return not self.is_local and isinstance(failure, ConnectionError | TimeoutError)

    def _explained(self, verb: str, path: str, failure: Exception, attempts: int, waited: float) -> ZooError:
        if self._is_s3:
            failure = s3.fuller(self._fs, self._bucket, failure)
        tried = f" (tried {attempts} times in {waited:.0f} s)" if attempts > 1 else ""
        return ZooError(self._what(verb, path, failure) + tried)

    def _what(self, verb: str, path: str, failure: Exception) -> str:
        where = self.join(path[len(self.uri) :] if path.startswith(self.uri) else path)
        if self._is_s3:
            return f"cannot {verb} {where}: {s3.explain(self._fs, self._bucket, failure)}"
        remedy = "make it writable or choose another store" if verb == "write" else "check the store's address"
        return f"cannot {verb} {where}: {failure}; {remedy}"


def _file_system(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI, and the root there.

    Raises:
        ZooError: There is none for such a URI.
    """
    try:
        fs, root = fsspec.core.url_to_fs(uri, **(s3.OPTIONS if uri.startswith(("s3://", "s3a://")) else {}))
    except (ValueError, ImportError) as error:
        raise ZooError(
            f"cannot open store {uri!r}: {error}. A store is a local folder, s3://bucket/path or another fsspec URI"
        ) from error
    if "s3" in _protocols(fs):
        s3.connect(fs)
    return fs, root


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
