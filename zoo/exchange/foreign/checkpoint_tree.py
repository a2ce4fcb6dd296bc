"""Checkpoint trees of the public model-zoo data sets: one directory a network, written by Ray Tune.

    <root>/<trial>/params.json                       hyper-parameters: model::nlin, optim::lr, seed, ...
    <root>/<trial>/result.json                       one JSON line an epoch: training_iteration, test_acc, ...
    <root>/<trial>/checkpoint_000005/checkpoints     a state_dict; also checkpoint_5/checkpoints

Layout of github.com/ModelZoos/ModelZooDataset (Schürholt et al., NeurIPS 2022 data sets and benchmarks; Zenodo 6632086
and others, CC-BY 4.0) and github.com/HSG-AIML/NeurIPS_2021-Weight_Space_Learning: ``def_NN_experiment.py`` writes it,
``dataset_base.py`` reads it.

Shape letters: M networks, E epochs, P parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.architecture import Architecture
from zoo.exchange.foreign.published_fields import given_architecture, tune_architecture, tune_fields
from zoo.exchange.foreign.reader import ImportOptions
from zoo.exchange.foreign.source import (
    ForeignNetwork,
    ForeignSnapshots,
    ForeignZoo,
    common_epochs,
    no_metrics,
    plain_json,
)
from zoo.exchange.foreign.tensor_files import StateReader
from zoo.exchange.input_files import parse_json, read_json, read_text

CHECKPOINT = re.compile(r"checkpoint_0*(\d+)")
PARAMETERS, RESULTS, WEIGHTS = "params.json", "result.json", "checkpoints"
METRICS = {
    "train_loss": "train_loss",
    "train_acc": "train_accuracy",
    "val_loss": "validation_loss",
    "val_acc": "validation_accuracy",
    "validation_loss": "validation_loss",
    "validation_acc": "validation_accuracy",
    "test_loss": "test_loss",
    "test_acc": "test_accuracy",
}
# A line an epoch, each with all hyper-parameters.
RESULTS_BYTES = 1 << 26
# What Ray 1 leaves in every checkpoint, which it numbers by epoch; Ray 2.7 and later counts them, and leaves none.
BY_EPOCH = ".is_checkpoint"
# Written for the training metrics before there was any training.
NOT_MEASURED = -999


@dataclass(kw_only=True)
class CheckpointTree(ForeignZoo):
    """A tree of checkpoints.

    Attributes:
        root: Its folder.
        reader: Reads the files.
    """

    format = "checkpoints"

    root: Path
    reader: StateReader
    checkpoints: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)

    def read(self, chosen: Sequence[int]) -> ForeignSnapshots:
        networks = [self.networks[index] for index in chosen]
        weights_MEP = np.empty((len(networks), len(self.epochs), networks[0].architecture.parameters), np.float32)
        metrics = no_metrics(len(networks), len(self.epochs))
        originals = []
        for row, network in enumerate(networks):
            results = _results(self.root / network.origin)
            originals.append([_rest(results.get(epoch, {})) for epoch in self.epochs])
            for place, epoch in enumerate(self.epochs):
                path = self.checkpoints[network.origin][epoch]
                weights_MEP[row, place] = self.reader.read(path, network.architecture)
                for theirs, ours in METRICS.items():
                    value = results.get(epoch, {}).get(theirs, NOT_MEASURED)
                    if isinstance(value, int | float) and value != NOT_MEASURED:
                        metrics[ours][row, place] = value
        return ForeignSnapshots(weights_MEP=weights_MEP, metrics=metrics, original_ME=originals)


def matches(path: Path) -> bool:
    """Whether a folder looks like a tree of checkpoints."""
    return path.is_dir() and any(
        (folder / PARAMETERS).exists() or _checkpoints(folder) for folder in path.iterdir() if folder.is_dir()
    )


def open_tree(path: Path, options: ImportOptions) -> CheckpointTree:
    """Recognizes the networks of a tree; weights are read later.

    Raises:
        ValueError: A file is missing or damaged, or an architecture is unknown; the message names the file.
    """
    configs: dict[str, Mapping[str, Any]] = {}
    checkpoints: dict[str, dict[int, Path]] = {}
    other = []
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        found = _checkpoints(folder)
        if not found and not (folder / PARAMETERS).exists():
            other.append(folder.name)
            continue
        configs[folder.name] = _read_config(folder / PARAMETERS)
        checkpoints[folder.name] = _by_epoch(folder, found, _results(folder))
    epochs, kept, left_out = common_epochs(checkpoints, options.epochs)
    if other:
        left_out.append(f"{len(other)} folders without {PARAMETERS} or checkpoints: {', '.join(other[:8])}")
    return CheckpointTree(
        name=options.name,
        networks=[
            ForeignNetwork(
                origin=origin,
                architecture=_architecture(path / origin / PARAMETERS, configs[origin], options),
                known=tune_fields(configs[origin]),
                original=plain_json(configs[origin]),
            )
            for origin in kept
        ],
        epochs=epochs,
        left_out=left_out,
        root=path,
        reader=StateReader(options.given.names if options.given else None),
        checkpoints=checkpoints,
    )


def _architecture(where: Path, config: Mapping[str, Any], options: ImportOptions) -> Architecture:
    if options.given is not None:
        return given_architecture(options.given, config, where)
    try:
        return tune_architecture(config, options.input_shape, options.dataset)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _by_epoch(folder: Path, numbered: Mapping[int, Path], results: Mapping[int, Mapping[str, Any]]) -> dict[int, Path]:
    """The checkpoint files of a network by their epochs; these are their numbers, unless Ray has counted them."""
    numbers, epochs = sorted(numbered), sorted(results)
    marked = any((path.parent / BY_EPOCH).exists() for path in numbered.values())
    counted = not marked and numbers == list(range(len(numbers)))
    if counted and 0 < len(numbers) < len(epochs):
        raise ValueError(
            f"{folder} has {len(numbers)} checkpoints with numbers from 0 and results of {len(epochs)} epochs: numbers "
            "may be counts. Name the folders checkpoint_EPOCH, and put an empty file "
            f"{BY_EPOCH} into one to say that they are epochs"
        )
    if counted and len(numbers) == len(epochs):
        return {epoch: numbered[number] for epoch, number in zip(epochs, numbers, strict=True)}
    return dict(numbered)


def _checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoint files of a network by the numbers of their folders."""
    found: dict[int, Path] = {}
    for entry in sorted(folder.iterdir()):
        match = CHECKPOINT.fullmatch(entry.name)
        if match and entry.is_dir():
            other = found.setdefault(int(match[1]), entry / WEIGHTS)
            if other != entry / WEIGHTS:
                raise ValueError(f"{entry} and {other.parent} are both of epoch {int(match[1])}; remove one")
    return found


def _read_config(path: Path) -> Mapping[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}; expected hyper-parameters by name")
    return value


def _results(folder: Path) -> dict[int, Mapping[str, Any]]:
    """The lines of ``result.json`` by epoch; where a run was resumed, the last line of an epoch counts."""
    path = folder / RESULTS
    results = {}
    for number, line in enumerate(read_text(path, RESULTS_BYTES).splitlines(), start=1):
        try:
            value = parse_json(line)
            results[int(value["training_iteration"])] = value
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} line {number} is no result of an epoch ({error!r}); remove the line, or the folder"
            ) from error
    return results


def _rest(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a line says beside the hyper-parameters, which ``params.json`` has."""
    kept = {key: value for key, value in result.items() if key != "config"}
    return {key: value for key, value in plain_json(kept).items() if value is not None}
