"""``import``: networks that others trained, or an exported zoo, as a zoo of the store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import options
from cluster.display import live, say
from cluster.verb import Planned, Result
from zoo.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from zoo.exchange.importing import Source
    from zoo.generation.build import Progress
    from zoo.storage.zoo import Zoo


@dataclass(frozen=True, kw_only=True)
class Imported(Result):
    """What a source holds and what of it is left out; the zoo made of it, once it is imported."""

    source: str
    format: str
    members: int
    parameters: tuple[int, ...]
    epochs: tuple[int, ...]
    left_out: tuple[str, ...]
    assumed: tuple[str, ...]
    test_metrics: Mapping[str, float] = field(default_factory=dict)
    zoo: str | None = None
    uri: str | None = None
    content_sha256: str | None = None

    @property
    def text(self) -> str:
        parameters = ", ".join(f"{count:,}" for count in self.parameters)
        found = (
            f"{self.format}: {counted(self.members, 'network')} of {parameters} parameters at epochs "
            f"{', '.join(map(str, self.epochs))}"
        )
        if self.zoo is None:
            return f"would import {found}"
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in self.test_metrics.items())
        return f"{self.zoo}: {found}" + (f"; on average {metrics}" if metrics else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Import(Planned):
    """Make a zoo of networks that others trained, or of an exported zoo."""

    path: options.Networks
    store: options.Store = "./store"
    format: options.NetworkFormat = None
    name: Annotated[str | None, typer.Option(help="A name for the zoo. (default: the folder's)")] = None
    dataset: Annotated[
        str | None,
        typer.Option(help="The networks' data set as it is named here: metrics that are missing are computed on it."),
    ] = None
    architecture: options.NetworkArchitecture = None
    activation: options.NetworkActivation = None
    epochs: options.NetworkEpochs = None
    include_diverged: Annotated[
        bool, typer.Option("--include-diverged", help="Keep weights that are not finite, marked as diverged.")
    ] = False

    def plan(self) -> Imported:
        """Reads and checks everything, as ``run`` does before it stores anything."""
        source = self._open()
        self._check(source)
        return self._found(source)

    def run(self) -> Imported:
        """Checks and stores everything."""
        from dataclasses import replace

        from zoo.storage.manifest import ZOOS
        from zoo.storage.store import Store

        source = self._open()
        found = self._found(source)
        say(f"import {found.text.removeprefix('would import ')}")
        Store(self.store).check_writable(ZOOS)  # before hours of reading
        write = self._check(source)
        with live("import", 1, "members") as task:
            zoo = write(lambda done, count: task.update(done, total=count))
        return replace(
            found, test_metrics=_test_metrics(zoo), zoo=zoo.name, uri=zoo.uri, content_sha256=zoo.content_sha256
        )

    def _check(self, source: Source) -> Callable[[Progress | None], Zoo]:
        """Reads all of a source; gives what makes a zoo of it."""
        from zoo.storage.store import Store

        with live("check", 1, "members") as task:
            return source.check(
                Store(self.store), self.include_diverged, lambda done, count: task.update(done, total=count)
            )

    def _open(self) -> Source:
        from zoo.exchange.importing import open_source
        from zoo.storage.store import Store

        source = open_source(
            Path(self.path).expanduser(),
            format_name=self.format,
            name=self.name,
            dataset=self.dataset,
            architecture=self.architecture,
            activation=self.activation,
            epochs=_epochs(self.epochs),
            store=Store(self.store),
        )
        for words in source.left_out:
            say(f"left out: {words}")
        for words in source.assumed:
            say(f"assumed: {words}")
        return source

    def _found(self, source: Source) -> Imported:
        return Imported(
            source=self.path,
            format=source.format,
            members=source.members,
            parameters=source.parameters,
            epochs=source.epochs,
            left_out=source.left_out,
            assumed=source.assumed,
        )


def _test_metrics(zoo: Zoo) -> dict[str, float]:
    """Mean test metrics at the last epoch, which show whether data set and activation are the networks'."""
    from zoo.storage.rows import metrics_among

    table = zoo.members
    last = table[table.epoch == table.epoch.max()]
    means = {name: float(last[name].mean()) for name in metrics_among(table.columns) if name.startswith("test_")}
    return {name: mean for name, mean in means.items() if not math.isnan(mean)}


def _epochs(text: str | None) -> tuple[int, ...] | None:
    """Epochs with commas as numbers."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"--epochs is {text!r}; allowed: whole numbers with commas, such as 0,5,50")
    return tuple(sorted({int(part) for part in parts}))
