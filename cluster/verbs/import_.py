"""``import``: networks that others trained, or an exported zoo, as a zoo of the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import options
from cluster.display import live, say
from cluster.verb import Planned, Result

if TYPE_CHECKING:
    from zoo.exchange.importing import Source


@dataclass(frozen=True, kw_only=True)
class Imported(Result):
    """What a source holds and what of it is left out; the zoo made of it, once it is imported."""

    source: str
    format: str
    members: int
    parameters: tuple[int, ...]
    epochs: tuple[int, ...]
    left_out: tuple[str, ...]
    zoo: str | None = None
    uri: str | None = None
    content_sha256: str | None = None

    @property
    def text(self) -> str:
        parameters = ", ".join(f"{count:,}" for count in self.parameters)
        found = (
            f"{self.format}: {self.members:,} networks of {parameters} parameters at epochs "
            f"{', '.join(map(str, self.epochs))}"
        )
        return f"would import {found}" if self.zoo is None else f"{self.zoo}: {found}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Import(Planned):
    """Make a zoo of networks that others trained, or of an exported zoo."""

    path: Annotated[str, typer.Argument(help="A folder or file of a known format; it is found out which.")]
    store: options.Store = "./store"
    format: Annotated[
        str | None,
        typer.Option(help="checkpoints, small-cnn-zoo, published-dataset, state-dicts, or what export writes."),
    ] = None
    name: Annotated[str | None, typer.Option(help="A name for the zoo. (default: the folder's)")] = None
    dataset: Annotated[
        str | None,
        typer.Option(help="The networks' data set as it is named here: metrics that are missing are computed on it."),
    ] = None
    architecture: Annotated[
        str | None, typer.Option(help="JSON file of the architecture, where the source does not tell it.")
    ] = None
    epochs: Annotated[
        str | None, typer.Option(help="Epochs to import, with commas. (default: those that most networks have)")
    ] = None
    include_diverged: Annotated[
        bool, typer.Option("--include-diverged", help="Keep weights that are not finite, marked as diverged.")
    ] = False

    def plan(self) -> Imported:
        """Finds out what the source is."""
        return self._found(self._open())

    def run(self) -> Imported:
        """Checks and stores everything."""
        from dataclasses import replace

        from zoo.exchange.importing import store_source
        from zoo.storage.store import Store

        source = self._open()
        found = self._found(source)
        say(f"import {found.text.removeprefix('would import ')}")
        with live("import", 1, "members") as task:
            zoo = store_source(
                source,
                Store(self.store),
                include_diverged=self.include_diverged,
                progress=lambda done, count: task.update(done, total=count),
            )
        return replace(found, zoo=zoo.name, uri=zoo.uri, content_sha256=zoo.content_sha256)

    def _open(self) -> Source:
        from zoo.exchange.importing import open_source
        from zoo.storage.store import Store

        source = open_source(
            Path(self.path).expanduser(),
            format_name=self.format,
            name=self.name,
            dataset=self.dataset,
            architecture=Path(self.architecture).expanduser() if self.architecture else None,
            epochs=_epochs(self.epochs),
            store=Store(self.store),
        )
        for words in source.left_out:
            say(f"left out: {words}")
        return source

    def _found(self, source: Source) -> Imported:
        return Imported(
            source=self.path,
            format=source.format,
            members=source.members,
            parameters=tuple(source.parameters),
            epochs=tuple(source.epochs),
            left_out=tuple(source.left_out),
        )


def _epochs(text: str | None) -> tuple[int, ...] | None:
    """Epochs with commas as numbers."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"--epochs is {text!r}; allowed: whole numbers with commas, such as 0,5,50")
    return tuple(sorted({int(part) for part in parts}))
