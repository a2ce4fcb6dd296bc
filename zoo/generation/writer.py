"""Puts finished shards on storage while the next ones are trained.

Shape letters: M members of a shard, E snapshot epochs, P parameters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from zoo.storage.manifest import ShardEntry, shard_name, shard_path
from zoo.storage.shards import ShardContents, describe_shard, encode_shard
from zoo.storage.store import Store

# What is called for each shard that is on storage: which one, and what it is where this process wrote it and nobody
# can have replaced it since. Of another's shard nothing is known.
Stored = Callable[[range, ShardEntry | None], object]

# What an upload under way is given when training has failed or was interrupted.
GRACE_S = 5.0


class ShardWriter:
    """Encodes and stores shards in a thread of its own, one at a time; a context manager.

    A process that generates holds at most two shards: the one that trains, 4·M·E·P bytes of weights beside the
    optimizer's state of a group of members, and the one under way, as much again and about 1.7 times that while it
    is encoded (the table's columns are not copied; the file is). With 100 members, 21 snapshots and 2 464 parameters
    that is 21 MB each, whatever the number of members of the zoo.

    Args:
        store: Where the shards go.
        zoo: Name of the zoo.
        stored: Called, in that thread, for each shard that is on storage.
    """

    def __init__(self, store: Store, zoo: str, stored: Stored = lambda _members, _file: None) -> None:
        self._store, self._zoo, self._stored = store, zoo, stored
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
        elif self._thread is not None:
            self._thread.join(GRACE_S)

    def write(self, contents: ShardContents) -> None:
        """Begins to store a shard, once the one before is on storage.

        Where there is a shard of that name by then, that one stays.

        Raises:
            ZooError: The shard before could not be stored.
        """
        self.wait()
        self._thread = threading.Thread(target=self._write, args=(contents,), name="shard writer", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Waits until the shard under way is on storage.

        Raises:
            ZooError: It could not be stored.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _write(self, contents: ShardContents) -> None:
        try:
            path, data = shard_path(self._zoo, shard_name(contents.members)), encode_shard(contents)
            known = self._store.put_new(path, data) and self._store.exclusive
            self._stored(contents.members, describe_shard(data, path) if known else None)
        except BaseException as error:  # raised where the training thread waits
            self._failure = error
