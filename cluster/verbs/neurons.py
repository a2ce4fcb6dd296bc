"""``neurons``: what hidden units do over training, as a page and tables."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import typer

from cluster import options
from cluster.display import human_seconds, live
from cluster.page_files import page_files
from cluster.stores import REPORT_FILE, REPORTS, open_zoo
from cluster.verb import Result, Verb
from zoo.words import counted


@dataclass(frozen=True, kw_only=True)
class Watched(Result):
    """Where the page and the tables of neurons are."""

    zoo: str
    members: int
    report: str
    tables: tuple[str, ...]
    seconds: float

    @property
    def text(self) -> str:
        return (
            f"neurons of {counted(self.members, 'network')} over training, in {human_seconds(self.seconds)}\n"
            f"report  {self.report}\ntables  {', '.join(self.tables)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Neurons(Verb):
    """Watch hidden units over training: activity, sparsity, selectivity, rank, roles; by layer and epoch."""

    zoo: options.Zoo
    store: options.Store = "./store"
    members: Annotated[int, typer.Option(min=1, help="How many networks, of all splits, as many of each layout.")] = 32
    examples: Annotated[int, typer.Option(min=2, help="How many training and as many test examples.")] = 500
    seed: options.Seed = None
    figures: options.Figures = None

    def run(self) -> Watched:
        """Applies the networks at all their snapshots, and writes page and tables.

        Raises:
            ValueError: The zoo's networks have no classes or no hidden units, or there is one epoch alone.
            ZooError: There is no such zoo.
        """
        from analysis.neurons.page import render
        from analysis.neurons.training import over_training
        from analysis.statistics.intervals import Bootstrap
        from analysis.tables import TABLES
        from zoo.storage.store import Store

        zoo, store, started = open_zoo(self.zoo, self.store), Store(self.store), time.monotonic()
        store.check_writable(REPORTS)
        write = page_files(self.figures)
        with live("neurons", self.members, "members") as task:
            found = over_training(
                zoo, members=self.members, examples=self.examples, progress=lambda done, of: task.update(done, total=of)
            )
        name = f"{zoo.name}-neurons"
        tables = {
            f"{TABLES}/{name}/{part}.parquet": frame
            for part, frame in (("units", found.units), ("layers", found.layers))
        }
        for path, frame in tables.items():
            store.put(path, frame.to_parquet(index=False))
        page = render(zoo, found, Bootstrap(seed=self.seed or 0))
        store.put(f"{REPORTS}/{name}/{REPORT_FILE}", page.encode())
        write(store, f"{REPORTS}/{name}/{REPORT_FILE}")
        return Watched(
            zoo=zoo.name,
            members=int(found.layers["member"].nunique()),
            report=store.join(REPORTS, name, REPORT_FILE),
            tables=tuple(store.join(path) for path in tables),
            seconds=round(time.monotonic() - started, 2),
        )
