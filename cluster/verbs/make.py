"""``make``: new networks by what a study has fitted, as a zoo and as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.stores import open_zoo
from cluster.verb import Result, Verb
from zoo.words import counted

if TYPE_CHECKING:
    from trainables.study_files import StudyRecord
    from zoo.data.examples import Dataset, Examples
    from zoo.population import Population
    from zoo.storage.zoo import Zoo

MAKERS = ("generator", "hypernetwork")
SUFFIXES = {"safetensors": ".safetensors", "state-dict": ".pt"}


@dataclass(frozen=True, kw_only=True)
class Made(Result):
    """Networks that were made: the zoo that they are, and where their files are."""

    zoo: str
    uri: str
    study: str
    trial: int
    networks: int
    folder: str | None
    score: float | None

    @property
    def text(self) -> str:
        score = "" if self.score is None else f", test accuracy {100 * self.score:.1f} % on average"
        files = f"\nfiles in {self.folder}" if self.folder else ""
        return f"{counted(self.networks, 'network')} by trial {self.trial} of {self.study}{score}\n{self.uri}{files}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Make(Verb):
    """Make new networks by a study's best generator or hypernetwork: a zoo, and files if wanted."""

    study: Annotated[
        str,
        typer.Argument(
            help="A study of generators or hypernetworks in the store.", autocompletion=options.names_in("studies")
        ),
    ]
    store: options.Store = "./store"
    count: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many networks a generator makes, or one for so many sets.")
    ] = 10
    tasks: Annotated[
        str | None,
        typer.Option(help="Tasks that a hypernetwork makes networks for, with commas. (default: the zoo's test tasks)"),
    ] = None
    labels: Annotated[
        int | None,
        typer.Option(
            min=1, help="Labeled examples of each class, of a task (default: all) or a set (default: as fitted)."
        ),
    ] = None
    dataset: Annotated[
        str | None,
        typer.Option(
            help=f"Data set that sets are drawn of, {options.OWN} (default: the zoo's); of its validation part."
        ),
    ] = None
    want: Annotated[
        tuple[str, ...],
        typer.Option("--want", help="column=value that the networks are to have, if the generator has conditions."),
    ] = ()
    trial: Annotated[int | None, typer.Option(min=0, help="Which trial. (default: the best)")] = None
    to: Annotated[str | None, typer.Option(help="A folder for a file of each network, which must not exist yet.")] = (
        None
    )
    format: Annotated[str, typer.Option(help="Of these files: safetensors or state-dict.")] = "safetensors"
    name: Annotated[str | None, typer.Option(help="Name of the zoo. (default: STUDY-made)")] = None
    seed: options.Seed = None

    def run(self) -> Made:
        """Makes them.

        Raises:
            ValueError: The study is of another kind, or an option does not suit it.
        """
        from trainables.study_files import StudyRecord
        from zoo.exchange.generated import store_generated
        from zoo.exchange.members import export_member
        from zoo.storage.staging import find_dataset
        from zoo.storage.store import Store

        if self.format not in SUFFIXES:
            raise ValueError(f"--format is {self.format!r}; allowed: {', '.join(SUFFIXES)}")
        folder = None if self.to is None else Path(self.to).expanduser()
        if folder is not None and folder.exists():
            raise ValueError(f"--to {self.to} exists; name a folder that does not")
        store = Store(self.store)
        study = StudyRecord.open(store, self.study)
        source = open_zoo(study.zoo_name, self.store)
        trial = study.best_trials()[0] if self.trial is None else self.trial
        dataset = self.dataset or source.recipe.dataset
        data = source.dataset() if self.dataset is None else find_dataset(store, self.dataset)
        population, made = self._made(study, source, trial, data)
        told = [{**each, "study": study.name, "trial": trial, "seed": self.seed or 0} for each in made]
        name = self.name or f"{study.name}-made"
        zoo = store_generated(name, population, told, store, dataset, data)
        if folder is not None:
            folder.mkdir(parents=True)
            for member in range(len(zoo)):
                export_member(zoo, member, folder / f"network-{member:05d}{SUFFIXES[self.format]}", layout=self.format)
        accuracies = (
            zoo.snapshots["test_accuracy"].to_numpy() if "test_accuracy" in zoo.snapshots.column_names else None
        )
        return Made(
            zoo=zoo.name,
            uri=zoo.uri,
            study=study.name,
            trial=trial,
            networks=len(zoo),
            folder=self.to,
            score=None if accuracies is None else float(accuracies.mean()),
        )

    def _made(
        self, study: StudyRecord, source: Zoo, trial: int, data: Dataset
    ) -> tuple[Population, list[dict[str, Any]]]:
        """The networks, and what each was made of."""
        from trainables.generators.generator import NetworkGenerator
        from trainables.hypernetworks.hypernetwork import Hypernetwork
        from trainables.hypernetworks.set_hypernetwork import DatasetHypernetwork
        from trainables.tasks.task_examples import TaskExamples
        from zoo.data.class_tasks import select

        artifact = study.artifact(trial, 0)
        if self.dataset is not None and not isinstance(artifact, DatasetHypernetwork):
            raise ValueError(
                "--dataset is for hypernetworks of data sets, which make a network for each set of examples"
            )
        if isinstance(artifact, NetworkGenerator):
            if self.tasks is not None or self.labels is not None:
                raise ValueError("--tasks and --labels are for hypernetworks; this study is of generators")
            wanted = dict(_wanted(text) for text in self.want)
            population = artifact.generate(self.count, seed=self.seed or 0, wanted=wanted)
            task = source.snapshots["task"][0].as_py() or ""
            return population, [{"task": task, "wanted": wanted}] * self.count
        if isinstance(artifact, Hypernetwork):
            if self.want:
                raise ValueError("--want is for generators; this study is of hypernetworks: choose --tasks")
            tasks = self.tasks.split(",") if self.tasks else _test_tasks(source)
            examples = TaskExamples([task.strip() for task in tasks], data.train, self.labels, data.objects)
            population = artifact.make(artifact.vectors(examples, seed=self.seed or 0))
            return population, [{"task": task, "labels": self.labels} for task in examples.tasks]
        if isinstance(artifact, DatasetHypernetwork):
            if self.want or self.tasks is not None:
                raise ValueError(
                    "--want and --tasks are not for hypernetworks of data sets: choose --count and --labels"
                )
            task = source.snapshots["task"][0].as_py() or ""
            sets = self._sets(artifact.module.config.set_size, select(task, data.validation))
            told = {"task": task, "labels": self.labels, "drawn of": f"validation examples of {data.name}"}
            return artifact.make(sets), [{**told, "set": number} for number in range(len(sets))]
        raise ValueError(f"study {study.name} is of kind {study.kind!r}; networks are made by: {', '.join(MAKERS)}")

    def _sets(self, size: int, examples: Examples) -> list[Examples]:
        """Sets of examples that nothing was fitted to, drawn by the seed.

        Raises:
            ValueError: There are too few.
        """
        import torch

        from trainables.hypernetworks.labeled_sets import few_of_each

        generator = torch.Generator().manual_seed(self.seed or 0)
        if self.labels is not None:
            return few_of_each(examples, self.labels, self.count, generator)
        if len(examples) < size:
            raise ValueError(f"sets of {size} examples are asked for; the data set has {len(examples)} for validation")
        return [examples.select(torch.randperm(len(examples), generator=generator)[:size]) for _ in range(self.count)]


def _wanted(text: str) -> tuple[str, float | str]:
    """A column and its value.

    Raises:
        ValueError: It is not of the form column=value.
    """
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise ValueError(f"--want is {text!r}; expected column=value, such as test_accuracy=0.95")
    try:
        return column, float(value)
    except ValueError:
        return column, value


def _test_tasks(zoo: Zoo) -> list[str]:
    tasks: list[str] = zoo.snapshots.take(zoo.rows("test", epochs="one"))["task"].unique().to_pylist()
    return sorted(tasks)
