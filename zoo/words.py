"""Words of messages that all rooms write alike."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


def counted(number: int, noun: str, nouns: str = "") -> str:
    """``1 shard``, ``2,000 shards``; ``nouns`` is the plural where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def zooscale(*words: object) -> str:
    """A command that the user can paste into a shell, whatever its words hold."""
    return shlex.join(["zooscale", *map(str, words)])


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'uniform'? `` where a known name is like the given one, else nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {found[0]!r}? " if found else ""
