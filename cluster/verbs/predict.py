"""``predict``: what is told of networks from their weights alone, by an encoder and readouts fitted to a zoo."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.display import columns, human_number, say
from cluster.stores import open_zoo
from cluster.verb import Result, Verb
from cluster.verbs.analyze import split_names
from cluster.verbs.import_ import Import
from zoo.words import counted, zooscale

if TYPE_CHECKING:
    from trainables.encoders.encoder import Encoder
    from trainables.network_reader import NetworkReader
    from zoo.storage.zoo import Zoo

DEFAULT_ENCODER = "weight-statistics"
# More networks than these are not listed on a terminal.
LISTED = 20
# By what the worth of a prediction is said first.
MAIN_METRICS = {"r2": "R²", "accuracy": "accuracy"}


@dataclass(frozen=True, kw_only=True)
class Predictions(Result):
    """What is told of each of ``networks``, by its target; ``validation`` says of each target what that is worth.

    Those that were ``left_out`` have weights that are not finite.
    """

    zoo: str
    encoder: str
    study: str | None
    validation: Mapping[str, Mapping[str, float]]
    networks: tuple[Mapping[str, Any], ...]
    left_out: tuple[str, ...]
    file: str | None
    command: str

    @property
    def text(self) -> str:
        worth = []
        for target, metrics in self.validation.items():
            said = ", ".join(f"{MAIN_METRICS[name]} {metrics[name]:.2f}" for name in MAIN_METRICS if name in metrics)
            worth.append((f"  {target}", said or "no validation network has it"))
        lines = [
            f"{self.encoder} on {self.zoo}, on its validation networks, by which readouts were chosen:",
            columns(worth),
            f"measured on test networks: {self.command}",
            "",
        ]
        heads = tuple(name.replace("_", " ") for name in self.networks[0])
        shown = self.networks[:LISTED]
        lines.append(columns([heads, *(tuple(map(_words, row.values())) for row in shown)]))
        if len(self.networks) > LISTED:
            where = "" if self.file else "; --to FILE.csv writes all of them"
            lines.append(f"… and {len(self.networks) - LISTED:,} more{where}")
        if self.left_out:
            lines.append(f"weights that are not finite: {', '.join(self.left_out)}")
        return "\n".join([*lines, self.file] if self.file else lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Predict(Verb):
    """Tell of networks in a folder, from their weights alone, what is known of a zoo of networks like them."""

    path: options.Networks
    zoo: options.ZooOption
    store: options.Store = "./store"
    study: Annotated[
        str | None,
        typer.Option(
            help=f"A study of encoders on the zoo, whose best one is taken. (default: {DEFAULT_ENCODER}, fitted now)",
            autocompletion=options.names_in("studies"),
        ),
    ] = None
    targets: Annotated[
        str | None,
        typer.Option(help="What is told, with commas: test_accuracy,optimizer. (default: all that the zoo tells)"),
    ] = None
    to: Annotated[Path | None, typer.Option(help="A CSV file to write, which must not exist yet.")] = None
    format: options.NetworkFormat = None
    architecture: options.NetworkArchitecture = None
    activation: options.NetworkActivation = None
    epochs: options.NetworkEpochs = None

    def run(self) -> Predictions:
        """Fits readouts to the zoo, reads the networks, writes the file.

        Raises:
            ValueError: A path, target or study does not fit; the message says what does.
        """
        from trainables.fit_data import fit_data
        from trainables.network_reader import network_readers
        from zoo.storage.zoo import Zoo

        to = None if self.to is None else self.to.expanduser()
        if to is not None:
            _require_free(to)
        zoo = open_zoo(self.zoo, self.store)
        name, study, encoder = self._encoder(zoo)
        targets = split_names(self.targets)
        if targets == []:
            raise ValueError(f"--targets is {self.targets!r}; name columns of the zoo with commas, or leave it out")
        # The networks are read as an import reads them, into a store of their own that is gone afterwards.
        with tempfile.TemporaryDirectory(prefix="zooscale-predict-") as folder:
            imported = Import(
                path=self.path,
                store=folder,
                format=self.format,
                architecture=self.architecture,
                activation=self.activation,
                epochs=self.epochs,
                include_diverged=True,
            ).run()
            say(f"fit readouts of {name} to {zoo.name}")
            readers = network_readers(encoder, fit_data(zoo), targets)
            networks = Zoo.open(str(imported.zoo), store=folder)
            left_out = _diverged(networks)
            if networks.members.diverged.all():
                raise ValueError(f"{self.path}: {counted(len(left_out), 'network')}, none with finite weights")
            rows = list(_told(readers, networks))
        if to is not None:
            _write(rows, to)
        of_zoo = ("--zoo", zoo.name, "--store", self.store)
        analyzed = zooscale("analyze", *of_zoo, "--study", study or DEFAULT_ENCODER)
        return Predictions(
            zoo=zoo.name,
            encoder=name,
            study=study,
            validation={reader.readout.target: dict(reader.validation) for reader in readers},
            networks=tuple(rows),
            left_out=left_out,
            file=str(to) if to else None,
            command=analyzed if study else f"{zooscale('fit', DEFAULT_ENCODER, *of_zoo)} && {analyzed}",
        )

    def _encoder(self, zoo: Zoo) -> tuple[str, str | None, str | Encoder]:
        """Its name, its study, and itself, or its name where it is to be fitted."""
        from trainables.study_files import StudyRecord
        from zoo.storage.store import Store

        if self.study is None:
            return DEFAULT_ENCODER, None, DEFAULT_ENCODER
        study = StudyRecord.open(Store(self.store), self.study, zoo)
        study.require_on(zoo)
        if study.kind != "encoder":
            raise ValueError(
                f"study {study.name} is of kind {study.kind}; name a study of encoders, such as "
                f"`zooscale fit weights-and-behavior --zoo {zoo.name}` makes, or leave --study out"
            )
        best = study.best_trials()[0]
        return study.trainable(best).name, study.name, study.artifact(best)  # type: ignore[return-value]


def _told(readers: tuple[NetworkReader, ...], networks: Zoo) -> Iterator[dict[str, Any]]:
    """Of each snapshot its network, where there are several the epoch it is of, and what is told of it."""
    from trainables.network_reader import predict_all

    names = _names(networks)
    several = len(networks.recipe.snapshot_epochs) > 1
    for population in networks.populations(epochs=networks.recipe.snapshot_epochs):
        told = predict_all(readers, population)
        for place, (member, epoch) in enumerate(zip(population.column("id"), population.epochs, strict=True)):
            values = {target: values_M[place].item() for target, values_M in told.items()}
            yield {"network": names[member], **({"snapshot": epoch} if several else {}), **values}


def _diverged(networks: Zoo) -> tuple[str, ...]:
    """Names of the networks with a snapshot whose weights are not finite."""
    names, table = _names(networks), networks.members
    return tuple(dict.fromkeys(names[member] for member in table.member[table.diverged]))


def _names(networks: Zoo) -> dict[int, str]:
    """By its number each network's name where it came from; its number where it was in a zoo."""
    table = networks.members
    pairs = zip(table.member, table.imported, strict=True)
    return {member: json.loads(text)["origin"] if text else str(member) for member, text in pairs}


def _require_free(path: Path) -> None:
    if path.exists():
        raise ValueError(f"--to is {path}, which exists; name another file, or remove it first")
    if not path.parent.is_dir():
        raise ValueError(f"--to is {path}, and there is no folder {path.parent}; make it first")


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    import pandas as pd

    pd.DataFrame(rows).to_csv(path, index=False)


def _words(value: object) -> str:
    return human_number(value) if isinstance(value, float) else str(value)
