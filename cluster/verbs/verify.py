"""``verify``: whether a zoo is whole and unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import options
from cluster.display import say
from cluster.stores import existing_store, open_zoo
from cluster.verb import FAILED, Result, Verb

if TYPE_CHECKING:
    from zoo.storage.verify import Finding


@dataclass(frozen=True, kw_only=True)
class Verified(Result):
    """What a verification has found: nothing in a sound zoo. Without a hash, the zoo was unfinished and is removed."""

    zoo: str
    uri: str
    content_sha256: str | None
    members: int
    shards: int
    removed: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def text(self) -> str:
        if self.content_sha256 is None:
            return f"{self.zoo} was unfinished and is removed"
        summary = f"{len(self.findings)} findings" if self.findings else "sound"
        return "\n".join([*map(str, self.findings), f"{self.zoo}: {self.members} members, {summary}"])

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
        typer.Option("--remove-unfinished", help="First delete what no manifest lists: all of a zoo never finished."),
    ] = False

    def run(self) -> Verified:
        """Reads the whole zoo."""
        from zoo.storage.catalog import locate
        from zoo.storage.manifest import read_manifest
        from zoo.storage.verify import remove_unfinished, verify

        removed: tuple[str, ...] = ()
        if self.remove_unfinished:
            store, name = locate(self.zoo, None if "/" in self.zoo else existing_store(self.store))
            removed = tuple(remove_unfinished(store, name))
            say(f"removed {len(removed)} unfinished files of {name}")
            if read_manifest(store, name) is None:
                return Verified(
                    zoo=name, uri=store.join("zoos", name), content_sha256=None, members=0, shards=0, removed=removed,
                    findings=(),
                )  # fmt: skip
        zoo = open_zoo(self.zoo, self.store)
        say(f"verify {zoo.name}: {len(zoo.manifest.shards)} shards")
        return Verified(
            zoo=zoo.name,
            uri=zoo.uri,
            content_sha256=zoo.content_sha256,
            members=len(zoo),
            shards=len(zoo.manifest.shards),
            removed=removed,
            findings=tuple(verify(zoo)),
        )
