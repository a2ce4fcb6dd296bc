"""A plain folder of ``state_dict`` files of one architecture.

    <root>/**/*.safetensors, .pt, .pth, .ckpt      a network, or a network at one epoch; also in folders below
    <root>/architecture.json                       or --architecture; plain MLPs need none
    <root>/networks.csv                            optional, a line a file

The table has the column ``file`` and any of: ``network`` (files of equal network are its snapshots), ``epoch``,
``activation``, fields of ``zoo.population.Member``, metrics of ``zoo.storage.rows.METRIC_COLUMNS``; other columns are
kept as they are. Without it every file is a network, and ``--epochs`` says at which epoch (``docs/import.md``).

Shape letters: M networks, E epochs, P parameters.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.architecture import Architecture, Shape
from zoo.exchange.foreign.architectures import GivenArchitecture, read_architecture
from zoo.exchange.foreign.published_fields import with_activation
from zoo.exchange.foreign.reader import ImportOptions
from zoo.exchange.foreign.source import (
    ForeignNetwork,
    ForeignSnapshots,
    ForeignZoo,
    common_epochs,
    known_fields,
    no_metrics,
)
from zoo.exchange.foreign.tensor_files import StateReader
from zoo.exchange.input_files import is_there, read_table
from zoo.population import Member
from zoo.storage.rows import METRIC_COLUMNS

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
ARCHITECTURE, TABLE = "architecture.json", "networks.csv"
# Where nothing says another.
ASSUMED_ACTIVATION = "relu"
PLACES = ("file", "network", "epoch")
MEMBER_TYPES = {field.name: str(field.type) for field in dataclasses.fields(Member) if field.name != "id"}


@dataclass(kw_only=True)
class StateDicts(ForeignZoo):
    """A folder of files.

    Attributes:
        reader: Reads the files.
        files: For each network and epoch, its file.
        lines: For each file, its line of the table.
    """

    format = "state-dicts"

    reader: StateReader
    files: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    lines: Mapping[Path, Mapping[str, str]] = field(default_factory=dict)

    def read(self, chosen: Sequence[int]) -> ForeignSnapshots:
        networks = [self.networks[index] for index in chosen]
        weights_MEP = np.empty((len(networks), len(self.epochs), networks[0].architecture.parameters), np.float32)
        metrics = no_metrics(len(networks), len(self.epochs))
        for row, network in enumerate(networks):
            for place, epoch in enumerate(self.epochs):
                path = self.files[network.origin][epoch]
                weights_MEP[row, place] = self.reader.read(path, network.architecture)
                for name in METRIC_COLUMNS:
                    metrics[name][row, place] = _number(self.lines.get(path, {}).get(name, ""), name, path)
        return ForeignSnapshots(weights_MEP=weights_MEP, metrics=metrics)


def matches(path: Path) -> bool:
    """Whether a folder holds files of weights."""
    return path.is_dir() and any(_files(path))


def _files(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.rglob("*") if entry.suffix in SUFFIXES and not entry.is_dir())


def open_state_dicts(path: Path, options: ImportOptions) -> StateDicts:
    """Recognizes the networks of a folder; weights are read later.

    Raises:
        ValueError: There is no architecture, or no epoch is known, or the table does not fit the files.
    """
    given = options.given
    if given is None and is_there(path / ARCHITECTURE):
        given = read_architecture(path / ARCHITECTURE)
    if given is not None and options.activation is not None:
        raise ValueError(f"--activation is for MLPs without an architecture, but {path} has one, which says it")
    present = sorted(_files(path))
    lines = _read_table(path / TABLE, present) if is_there(path / TABLE) else {}
    wanted = options.epochs
    files: dict[str, dict[int, Path]] = {}
    for file in lines or present:
        line = lines.get(file, {})
        origin = line.get("network") or file.relative_to(path).with_suffix("").as_posix()
        epoch = _epoch(file, line, wanted)
        if epoch in files.setdefault(origin, {}):
            raise ValueError(
                f"{file} and {files[origin][epoch]} are both network {origin} at epoch {epoch}; correct {path / TABLE}"
            )
        files[origin][epoch] = file
    epochs, kept, left_out = common_epochs(files, wanted)
    unlisted = [str(file.relative_to(path)) for file in present if lines and file not in lines]
    if unlisted:
        left_out.append(f"{len(unlisted)} files that {TABLE} does not list: {', '.join(unlisted[:8])}")
    reader = StateReader(given.names if given else None)
    networks = []
    assumed = False
    for origin in kept:
        file = files[origin][epochs[0]]
        line = lines.get(file, {})
        activation = line.get("activation") or options.activation
        architecture = _architecture(file, activation, given, reader, options.input_shape)
        networks.append(_network(origin, file, line, architecture))
        assumed |= given is None and activation is None and architecture.activation != ""
    return StateDicts(
        name=options.name,
        networks=networks,
        epochs=epochs,
        left_out=left_out,
        assumed=[f"activation {ASSUMED_ACTIVATION}, which weights do not tell; --activation gives another"]
        if assumed
        else [],
        reader=reader,
        files=files,
        lines=lines,
    )


def _architecture(
    file: Path, activation: str | None, given: GivenArchitecture | None, reader: StateReader, input_shape: Shape | None
) -> Architecture:
    """The architecture of a network: what is given, or the MLP that it is, with the activation that is said."""
    try:
        if given is None:
            return reader.mlp(file, activation or ASSUMED_ACTIVATION, input_shape)
        return given.architecture if activation is None else with_activation(given.architecture, activation)
    except ValueError as error:
        raise error if str(file) in str(error) else ValueError(f"{file}: {error}") from error


def _read_table(path: Path, present: Sequence[Path]) -> dict[Path, Mapping[str, str]]:
    table = read_table(path, len(present), ["file"], dtype=str, keep_default_na=False).fillna("")
    lines: dict[Path, Mapping[str, str]] = {}
    for line in table.to_dict("records"):
        if lines.setdefault(path.parent / line["file"], line) is not line:
            raise ValueError(f"{path}: file {line['file']} is listed twice; correct the line")
    lacking = [entry for entry in lines if entry not in set(present)]
    if lacking:
        raise ValueError(f"{lacking[0]} is missing, though {path} lists it; put it there, or remove the line")
    return lines


def _epoch(file: Path, line: Mapping[str, str], wanted: tuple[int, ...] | None) -> int:
    text = line.get("epoch")
    if text:
        if not text.isdecimal():
            raise ValueError(f"{file} is at epoch {text!r} in {TABLE}; allowed: a whole number, 0 or more")
        return int(text)
    if wanted is not None and len(wanted) == 1:
        return wanted[0]
    raise ValueError(
        f"nothing says at which epoch {file} is: give one number with --epochs, or {TABLE} with the columns file and "
        "epoch"
    )


def _network(origin: str, file: Path, line: Mapping[str, str], architecture: Architecture) -> ForeignNetwork:
    told = {name: _value(text, MEMBER_TYPES[name]) for name, text in line.items() if name in MEMBER_TYPES and text}
    known = known_fields(told)
    if refused := sorted(set(told) - set(known)):
        raise ValueError(f"{file}: {refused[0]} is {line[refused[0]]!r} in {TABLE}, which no member can have")
    placed = (*PLACES, *METRIC_COLUMNS, *MEMBER_TYPES, "activation")
    original = {name: _plain(text) for name, text in line.items() if name not in placed and text}
    return ForeignNetwork(origin=origin, architecture=architecture, known=known, original=original)


def _plain(text: str) -> str | int | float:
    """A number where the text is one, but for what merely looks so, such as 007."""
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text):
        return int(text)
    is_number = re.fullmatch(r"-?(0|[1-9]\d*)?\.?\d+(e[+-]?\d+)?", text, re.IGNORECASE)
    return float(text) if is_number and not re.match(r"-?0\d", text) else text


def _value(text: str, kind: str) -> Any:
    try:
        return {"int": int, "float": float, "str": str}[kind](text)
    except ValueError:
        return text


def _number(text: str, name: str, path: Path) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise ValueError(f"{path}: {name} is {text!r} in {TABLE}; allowed: a number, or nothing") from error
