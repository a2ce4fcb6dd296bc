"""``verify``: whether a zoo is whole and unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import options
from cluster.display import say
from cluster.stores import open_zoo
from cluster.verb import FAILED, Result, Verb
from zoo.words import counted

if TYPE_CHECKING:
    from zoo.storage.verify import Finding


@dataclass(frozen=True, kw_only=True)
class Verified(Result):
    """What a verification has found: nothing in a sound zoo."""

    zoo: str
    uri: str
    content_sha256: str
    members: int
    shards: int
    removed: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def text(self) -> str:
        summary = counted(len(self.findings), "finding") if self.findings else "sound"
        return "\n".join([*map(str, self.findings), f"{self.zoo}: {counted(self.members, 'member')}, {summary}"])

    @property
    def exit_code(self) -> int:
        return FAILED if self.findings else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verify(Verb):
    """Check every shard of a zoo: hashes, rows, schema, weights. Exit code 1 where something is wrong."""

    zoo: options.Zoo
    store: options.Store = "./store"
    remove_unfinished: Annotated[
        bool,
        typer.Option("--remove-unfinished", help="First delete what an interrupted extension has left."),
    ] = False

    def run(self) -> Verified:
        """Reads the whole zoo."""
        from zoo.storage.removal import remove_unfinished
        from zoo.storage.verify import verify

        zoo, removed = open_zoo(self.zoo, self.store), []
        if self.remove_unfinished:
            removed = remove_unfinished(zoo.store, zoo.name)
            say(f"removed {counted(len(removed), 'unfinished file')} of {zoo.name}")
        say(f"verify {zoo.name}: {counted(len(zoo.manifest.shards), 'shard')}")
        return Verified(
            zoo=zoo.name,
            uri=zoo.uri,
            content_sha256=zoo.content_sha256,
            members=len(zoo),
            shards=len(zoo.manifest.shards),
            removed=tuple(removed),
            findings=tuple(verify(zoo)),
        )
