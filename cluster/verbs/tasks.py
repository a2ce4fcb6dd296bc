"""``tasks``: tasks of data sets as vectors, with a page of which are near and which are hard."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.display import human_seconds, say
from cluster.stores import REPORT_FILE, REPORTS
from cluster.verb import Result, Verb
from zoo.words import zooscale

if TYPE_CHECKING:
    from trainables.tasks.config import ProbeConfig, Task2VecConfig
    from trainables.tasks.probe import ProbeNetwork, TrainedProbe
    from zoo.data import Dataset
    from zoo.storage.store import Store

ONE_VS_ONE, ONE_VS_REST, WHOLE = "one-vs-one", "one-vs-rest", "whole"
MOST_TASKS = 2000


@dataclass(frozen=True, kw_only=True)
class Embedded(Result):
    """Where embeddings of tasks and their page are, and what is nearest and hardest; ``new`` if made now."""

    tasks: int
    probe: str
    filters: int
    report: str
    embeddings: str
    hardest: tuple[str, ...]
    nearest: tuple[str, str]
    new: bool
    seconds: float

    @property
    def text(self) -> str:
        did = f"embedded in {human_seconds(self.seconds)}" if self.new else "were embedded before"
        return (
            f"{self.tasks} tasks {did}: {self.filters} filters of {self.probe}\n"
            f"nearest  {self.nearest[0]} and {self.nearest[1]}\n"
            f"hardest  {', '.join(self.hardest)}\n"
            f"report   {self.report}\n"
            f"vectors  {self.embeddings} (trainables.tasks.embeddings.TaskEmbeddings.open)"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Tasks(Verb):
    """Embed tasks of data sets by Task2Vec: which need the same features, which are hard."""

    datasets: Annotated[tuple[str, ...], typer.Argument(help=f"Names of data sets of images, {options.OWN}")]
    tasks: Annotated[
        str, typer.Option("--tasks", help=f"{ONE_VS_ONE}, {ONE_VS_REST}, {WHOLE}, or names with commas: 3-8,0-rest.")
    ] = ONE_VS_REST
    probe: Annotated[
        str | None, typer.Option(help="Data set that the probe network is trained on. (default: the first one)")
    ] = None
    torchvision: Annotated[
        str | None, typer.Option(help="A pretrained network of torchvision as the probe, such as resnet34.")
    ] = None
    size: Annotated[int, typer.Option(min=8, help="Height and width that images get for it.")] = 224
    store: options.Store = "./store"
    seed: options.Seed = None
    settings: options.Settings = ()

    def run(self) -> Embedded:
        """Trains the probe network, embeds the tasks, writes vectors and page, unless they are there.

        Raises:
            ValueError: There is no such data set or task, or a setting is not allowed.
            FileNotFoundError: The files of a data set or the weights of a network are not to be had.
            ZooError: The store cannot be written.
        """
        from trainables.tasks.embedding import drawn_examples, embed_tasks
        from trainables.tasks.embeddings import TaskEmbeddings
        from zoo.config import digest
        from zoo.storage.staging import find_dataset
        from zoo.storage.store import Store

        store, started = Store(self.store), time.monotonic()
        store.check_writable(REPORTS)
        of_tasks, of_probe = self._configurations()
        datasets = {name: find_dataset(store, name) for name in dict.fromkeys(self.datasets)}
        trained_on = None if self.torchvision else find_dataset(store, self.probe or self.datasets[0])
        wanted = [(data, task) for data in datasets.values() for task in self._names(data)]
        if not 2 <= len(wanted) <= MOST_TASKS:
            named = f"these are {len(wanted):,} tasks; allowed: 2 to {MOST_TASKS:,}, which are compared"
            raise ValueError(f"{named}. Name more or fewer with --tasks")
        for data, task in wanted:  # before the probe network is trained
            drawn_examples(data, task, data.train, of_tasks)
        identity = {
            "tasks": [(data.sha256, task) for data, task in wanted],
            "probe": (self.torchvision, self.size) if trained_on is None else (trained_on.sha256, of_probe),
            "config": of_tasks,
        }
        folder = f"{REPORTS}/tasks-{'-'.join(data.name for data in datasets.values())}-{digest(identity)[:8]}"
        new = not store.exists(f"{folder}/{REPORT_FILE}")
        if new:
            network, files = self._network(trained_on, of_probe)
            say(f"tasks: embedding {len(wanted)} in {network.name}")
            found = embed_tasks(network, wanted, of_tasks)
            for file, content in {**files, **found.to_files()}.items():
                store.put(f"{folder}/{file}", content)
            page = self._page(network, list(datasets.values()), found)
            store.put(f"{folder}/{REPORT_FILE}", page.encode())
        found = TaskEmbeddings.open(store.join(folder))
        return _summary(found, store, folder, new, time.monotonic() - started)

    def _configurations(self) -> tuple[Task2VecConfig, ProbeConfig]:
        """The settings, those of the embedding and those of the probe network's training."""
        from cluster.settings import parse_assignments
        from trainables.tasks.config import ProbeConfig, Task2VecConfig

        of_tasks, of_probe = parse_assignments(self.settings, Task2VecConfig, ProbeConfig)
        seed = {} if self.seed is None else {"seed": self.seed}
        return Task2VecConfig(**{**seed, **of_tasks}), ProbeConfig(**{**seed, **of_probe})

    def _names(self, data: Dataset) -> list[str]:
        """The tasks of one of the data sets."""
        from zoo.data.class_tasks import one_vs_one, one_vs_rest, parse_task

        if self.tasks in (ONE_VS_ONE, ONE_VS_REST):
            return (one_vs_one if self.tasks == ONE_VS_ONE else one_vs_rest)(data.classes)
        names = [""] if self.tasks == WHOLE else [name.strip() for name in self.tasks.split(",")]
        for name in names:
            parse_task(name)
        return names

    def _network(self, trained_on: Dataset | None, config: ProbeConfig) -> tuple[ProbeNetwork, Mapping[str, bytes]]:
        """The probe network, and the files of one that is trained here."""
        from trainables.tasks.probe import torchvision_probe
        from trainables.tasks.probe_training import train_probe

        if trained_on is None:
            return torchvision_probe(str(self.torchvision), size=self.size), {}
        say(f"tasks: training the probe network on {trained_on.name}")
        probe: TrainedProbe = train_probe(
            trained_on, config, lambda epoch, loss: say(f"  epoch {epoch} of {config.epochs}: loss {loss:.3f}")
        )
        return probe.network, probe.to_files()

    def _page(self, network: ProbeNetwork, datasets: list[Dataset], found: Any) -> str:
        from analysis.tasks.page import render
        from analysis.tasks.transfer import held_out_errors
        from zoo.data.class_tasks import parse_task
        from zoo.data.taxonomy import group_of

        groups = {
            task.name: group_of(task.dataset, parse_task(task.task)[0]) if task.task else task.dataset
            for task in found.tasks
        }
        words = [*self.datasets, "--tasks", self.tasks]
        for option in ("probe", "torchvision"):
            if value := getattr(self, option):
                words += [f"--{option}", value]
        words += [word for setting in self.settings for word in ("--set", setting)]
        return render(found, held_out_errors(network, datasets, found), groups, zooscale("tasks", *words))


def _summary(found: Any, store: Store, folder: str, new: bool, seconds: float) -> Embedded:
    """What there is to say of embeddings in a store."""
    import numpy as np

    from analysis.tasks.distances import symmetric_distance

    distances_TT = symmetric_distance(found.values_TE) + np.diag(np.full(len(found), np.inf))
    first, second = np.unravel_index(distances_TT.argmin(), distances_TT.shape)
    return Embedded(
        tasks=len(found),
        probe=found.probe[0],
        filters=found.values_TE.shape[1],
        report=store.join(folder, REPORT_FILE),
        embeddings=store.join(folder),
        hardest=tuple(found.names[row] for row in np.argsort(-found.norms)[:3]),
        nearest=(found.names[first], found.names[second]),
        new=new,
        seconds=round(seconds, 2),
    )
