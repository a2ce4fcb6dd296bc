"""Stores: a local folder or any fsspec URI that holds objects which, once written, do not change."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from zoo.storage import s3
from zoo.storage.backoff import patience_s, waits
from zoo.storage.errors import ZooError
from zoo.storage.file_systems import FileSystem, LocalDisk, file_system
from zoo.storage.local import PARTIAL_SUFFIX

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
        files = file_system(given)
        self._root = files.root
        self.is_local = isinstance(files, LocalDisk)
        self.uri: str = self._root if self.is_local else files.fs.unstrip_protocol(self._root)
        self._file_systems = [(os.getpid(), files)]
        self._answered = False

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # What is known of the server need not be found out by every worker.
        return Store, (self.uri,), (self._answered, self._files.known_exclusive)

    def __setstate__(self, state: tuple[bool, bool | None]) -> None:
        self._answered, self._files.known_exclusive = state

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
        key, attempts = self._key(path), 0

        def create() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                self._files.create(key, data)
            except FileExistsError:
                # An earlier attempt may have arrived although its answer was lost.
                return attempts > 1 and self._files.read(key) == data
            return True

        return self._do("write", path, create)

    def put(self, path: str, data: bytes) -> None:
        """Writes an object, replacing one of that name: for reports and tables, never for shards or manifests.

        Raises:
            ZooError: The store cannot be written.
        """
        self._do("write", path, lambda: self._files.replace(self._key(path), data))

    def check_writable(self, folder: str) -> None:
        """Finds out at once what every later write would run into.

        Args:
            folder: Where something is going to be written.

        Raises:
            ZooError: The store cannot be written.
        """
        self._do("write", folder, lambda: self._files.try_to_write(self._key(folder)))

    def read(self, path: str) -> bytes:
        """The content of an object.

        Raises:
            FileNotFoundError: There is none.
            ZooError: It cannot be read.
        """
        return self._do("read", path, lambda: self._files.read(self._key(path)))

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
            found = dict(zip(lacking, self._files.read_ranges(key, lacking), strict=True))
            parts.update({part: data for part, data in found.items() if isinstance(data, bytes)})
            for data in found.values():
                if isinstance(data, Exception):
                    raise data

        self._do("read", path, fetch)
        return [parts[part] for part in ranges]

    def exists(self, path: str) -> bool:
        """Whether there is such an object or folder."""
        try:
            self._do("read", path, lambda: self._files.fs.info(self._key(path)))
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        """Bytes of an object.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._do("read", path, lambda: int(self._files.fs.size(self._key(path))))

    def modified(self, path: str) -> float:
        """When an object was written, in seconds since 1970.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._do("read", path, lambda: float(self._files.fs.modified(self._key(path)).timestamp()))

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
        names = [name for page in self._pages(prefix, deep=False) for name in page.files]
        shown = [name for name in names if not name.endswith(("/", PARTIAL_SUFFIX)) and name != self._key(prefix)]
        return sorted(name.rpartition("/")[2] for name in shown)

    def folders(self, prefix: str = "") -> Paths:
        """Names of the folders directly in a folder, sorted; empty where there is no such folder."""
        names = (name.rstrip("/") for page in self._pages(prefix, deep=False) for name in page.folders)
        return sorted(name.rpartition("/")[2] for name in names if name != self._key(prefix))

    def delete(self, path: str) -> None:
        """Deletes an object, and on local disk the folders that this leaves empty.

        Raises:
            FileNotFoundError: There is none (object stores do not tell).
            ZooError: It cannot be deleted.
        """
        self._do("delete", path, lambda: self._files.fs.rm_file(self._key(path)))
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
        return self._files.exclusive

    @property
    def _files(self) -> FileSystem:
        """The file system; a forked process, such as a ``DataLoader``'s worker, needs connections of its own.

        Those of the process before stay open in it: s3fs would close them for both.
        """
        if self._file_systems[-1][0] != os.getpid():
            known, files = self._file_systems[-1][1].known_exclusive, file_system(self.uri)
            files.known_exclusive = known
            self._file_systems.append((os.getpid(), files))
        return self._file_systems[-1][1]

    def _find(self, prefix: str) -> dict[str, int]:
        """Paths of all objects in a folder, at any depth, with their bytes; sorted."""
        found = {name: size for page in self._pages(prefix, deep=True) for name, size in page.files.items()}
        # The marker of an empty folder on S3 is an object whose name ends in a slash.
        return {name[len(self._root) :].lstrip("/"): found[name] for name in sorted(found) if not name.endswith("/")}

    def _pages(self, prefix: str, *, deep: bool) -> Iterator[s3.Page]:
        """The listing of a folder, each part a request of its own; nothing where there is no such folder."""
        request: Callable[[], s3.Page] | None = partial(self._files.list_page, self._key(prefix), deep=deep)
        while request is not None:
            try:
                page = self._do("list", prefix, request)
            except (FileNotFoundError, NotADirectoryError):
                return
            yield page
            request = page.following

    def _key(self, path: str) -> str:
        """The name that the file system knows a path by."""
        if path == self.uri or path.startswith(self.uri + "/"):
            path = path[len(self.uri) :].lstrip("/")
        if path.startswith("/") or "://" in path or ".." in path.split("/"):
            raise ValueError(f"path {path!r} is not in store {self.uri}; allowed: paths relative to it")
        return f"{self._root}/{path.strip('/')}".rstrip("/")

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
            except self._files.errors as error:
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
            if not self._files.passes(failure) or left <= 0:
                tried = f" (tried {attempts} times in {waited:.0f} s)" if attempts > 1 else ""
                raise ZooError(self._what(verb, path, self._files.fuller(failure)) + tried) from failure
            if attempts == QUIET_ATTEMPTS:
                logger.warning("%s; trying again for up to %.0f s", self._what(verb, path, failure), left)
            time.sleep(min(next(pauses), left))

    def _what(self, verb: str, path: str, failure: Exception) -> str:
        where = self.join(path[len(self.uri) :] if path.startswith(self.uri) else path)
        return f"cannot {verb} {where}: {self._files.explain(failure)}"
