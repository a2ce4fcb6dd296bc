"""The Small CNN Zoo of Unterthiner et al., "Predicting Neural Network Accuracy from Weights" (2020).

    weights.npy       [snapshots, 4970], every network flattened as Keras holds it
    metrics.csv.gz    a row a snapshot: config.*, modeldir (the network), step (the epoch), accuracies and losses
    layout.csv        varname, start_idx, end_idx, shape: where each variable lies in a row of weights

Described in github.com/google-research/google-research/tree/master/dnn_predict_accuracy (data CC-BY 4.0). Keras keeps
convolution kernels as height, width, inputs, outputs and dense kernels as inputs, outputs. Pixels were scaled to
[-1, 1] and averaged to one channel (``train_network.py`` there); the first layer of the architecture does the former.

Shape letters: M networks, E epochs, P parameters.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.architecture import Architecture, cnn_4970, normalizing
from zoo.exchange.foreign.architectures import read_architecture
from zoo.exchange.foreign.keras_tensors import KERNEL_AXES, KerasVariable, flattened_images, from_channels_last
from zoo.exchange.foreign.names import MismatchError, columns_of
from zoo.exchange.foreign.published_fields import keras_fields, with_activation
from zoo.exchange.foreign.reader import ImportOptions
from zoo.exchange.foreign.source import (
    ForeignNetwork,
    ForeignSnapshots,
    ForeignZoo,
    common_epochs,
    no_metrics,
    plain_json,
)
from zoo.exchange.input_files import is_there, read_table, require_regular
from zoo.population import Member

WEIGHTS, LAYOUT = "weights.npy", "layout.csv"
METRICS_FILES = ("metrics.csv.gz", "metrics.csv")
METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
WHOLE = {
    "config.random_seed",
    *(f"config.{field.name}" for field in dataclasses.fields(Member) if str(field.type) == "int"),
}
MOST_VARIABLES = 4096
LAYOUT_COLUMNS = ("varname", "start_idx", "end_idx", "shape")
# Data sets as tensorflow_datasets names them; images were averaged to one channel.
INPUT_SHAPES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (1, 32, 32), "svhn_cropped": (1, 32, 32)}
# What `zooscale export` puts beside them.
ARCHITECTURE = "architecture.json"


@dataclass(kw_only=True)
class SmallCnnZoo(ForeignZoo):
    """The files of one data set.

    Attributes:
        weights: All snapshots, not in memory.
        metrics: The table beside them.
        row_of: For each network and epoch, the row of both.
        gather_P: For each entry of the architecture's flat vector, its column in ``weights``.
    """

    format = "small-cnn-zoo"

    weights: np.ndarray
    metrics: pd.DataFrame
    row_of: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    gather_P: np.ndarray

    def read(self, chosen: Sequence[int]) -> ForeignSnapshots:
        rows_ME = np.array(
            [[self.row_of[self.networks[index].origin][epoch] for epoch in self.epochs] for index in chosen]
        )
        metrics = no_metrics(*rows_ME.shape)
        for name in METRICS:
            metrics[name] = self.metrics[name].to_numpy(dtype=np.float64)[rows_ME]
        flat = np.asarray(self.weights[rows_ME.reshape(-1)], dtype=np.float32)[:, self.gather_P]
        return ForeignSnapshots(weights_MEP=flat.reshape(*rows_ME.shape, -1), metrics=metrics)


def matches(path: Path) -> bool:
    """Whether a folder holds the files of the Small CNN Zoo."""
    return path.is_dir() and is_there(path / WEIGHTS) and is_there(path / LAYOUT)


def open_small_cnn_zoo(path: Path, options: ImportOptions) -> SmallCnnZoo:
    """Reads the tables; weights are read later.

    Args:
        path: The folder. Its networks are those of the publication, unless it holds ``architecture.json``.
        options: What the user says.

    Raises:
        ValueError: A file is missing or damaged, or they do not fit each other; the message names it.
    """
    if options.given is None and is_there(path / ARCHITECTURE):
        options = dataclasses.replace(options, given=read_architecture(path / ARCHITECTURE))
    weights = _read_weights(path / WEIGHTS)
    metrics = _read_metrics(path, len(weights))
    variables = _read_layout(path / LAYOUT)
    columns = sum(math.prod(variable.shape) for variable in variables)
    if weights.shape != (len(metrics), columns):
        raise ValueError(
            f"{path / WEIGHTS} has shape {weights.shape}; the metrics have {len(metrics)} rows and the layout "
            f"{columns} columns. All three files must be of one data set: fetch them again"
        )
    rows_of: dict[str, dict[int, int]] = {}
    for row, (network, epoch) in enumerate(zip(metrics["modeldir"], metrics["step"], strict=True)):
        if rows_of.setdefault(str(network), {}).setdefault(int(epoch), row) != row:
            raise ValueError(f"{path}: network {network} has two rows of metrics for epoch {epoch}; remove one")
    epochs, kept, left_out = common_epochs(rows_of, options.epochs)
    datasets = list(dict.fromkeys(metrics["config.dataset"]))
    if len(datasets) != 1:
        raise ValueError(f"{path}: config.dataset names {', '.join(map(str, datasets))}; import each data set apart")
    configs = {
        origin: {name: _plain(name, value) for name, value in metrics.iloc[rows_of[origin][epochs[0]]].items()}
        for origin in kept
    }
    base = _base_architecture(path, str(datasets[0]), options)
    architectures: dict[str, Architecture] = {}
    networks = []
    for origin in kept:
        told = {name: value for name, value in configs[origin].items() if name not in (*METRICS, "step")}
        activation = str(told.get("config.activation"))
        if activation not in architectures:
            architectures[activation] = _with_activation(path, base, activation, origin)
        networks.append(
            ForeignNetwork(
                origin=origin,
                architecture=architectures[activation],
                known=keras_fields(told),
                original=plain_json(told),
            )
        )
    return SmallCnnZoo(
        name=options.name,
        networks=networks,
        epochs=epochs,
        dataset=str(datasets[0]),
        left_out=left_out,
        weights=weights,
        metrics=metrics,
        row_of=rows_of,
        gather_P=_gather(path, variables, base, options),
    )


def _read_metrics(path: Path, rows: int) -> pd.DataFrame:
    file = next((path / name for name in METRICS_FILES if is_there(path / name)), path / METRICS_FILES[0])
    metrics = read_table(file, rows, ["modeldir", "step", "config.dataset", *METRICS])
    try:
        metrics = metrics.astype({"step": np.int64, **dict.fromkeys(METRICS, np.float64)})
    except ValueError as error:
        raise ValueError(f"{file} has a step or metric that is no number ({error}); fetch it again") from error
    return metrics.drop(columns=[name for name in metrics.columns if name.startswith("Unnamed")])


def _read_weights(path: Path) -> np.ndarray:
    require_regular(path)
    try:
        weights: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); fetch it again") from error
    if not np.issubdtype(weights.dtype, np.floating) or weights.ndim != 2:
        raise ValueError(f"{path} holds {weights.dtype} {weights.shape}; expected floating-point numbers, rows of them")
    return weights


def _read_layout(path: Path) -> list[KerasVariable]:
    table = read_table(path, MOST_VARIABLES, LAYOUT_COLUMNS)
    variables: list[KerasVariable] = []
    end = 0
    try:
        for line in table.sort_values("start_idx").to_dict("records"):
            shape = tuple(int(number) for number in re.findall(r"\d+", str(line["shape"])))
            variables.append(KerasVariable(str(line["varname"]), int(line["start_idx"]), shape))
            if int(line["end_idx"]) - int(line["start_idx"]) != math.prod(shape):
                raise ValueError(f"{line['varname']} has shape {shape} but {line['end_idx']} as its end")
            if int(line["start_idx"]) != end:
                raise ValueError(f"{line['varname']} starts at {line['start_idx']}, the one before ends at {end}")
            end = int(line["end_idx"])
            if "kernel" in variables[-1].name and len(shape) not in KERNEL_AXES:
                raise ValueError(f"kernel {line['varname']} has {len(shape)} axes; known are 2 and 4")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is no layout of the Small CNN Zoo: {error}; fetch it again") from error
    if not variables:
        raise ValueError(f"{path} describes no variables; fetch it again")
    return variables


def _base_architecture(path: Path, dataset: str, options: ImportOptions) -> Architecture:
    if options.given is not None:
        return options.given.architecture
    shape = options.input_shape or INPUT_SHAPES.get(dataset)
    if shape is None:
        raise ValueError(
            f"{path}: config.dataset is {dataset!r}; known are {', '.join(INPUT_SHAPES)}. Give the architecture with "
            "--architecture FILE.json"
        )
    return normalizing(cnn_4970(shape, (), 10), 0.5, 0.5)


def _with_activation(path: Path, base: Architecture, activation: str, origin: str) -> Architecture:
    try:
        return with_activation(base, activation)
    except ValueError as error:
        raise ValueError(f"{path}: network {origin}: {error}") from error


def _gather(path: Path, variables: Sequence[KerasVariable], base: Architecture, options: ImportOptions) -> np.ndarray:
    """Where in a row of weights each entry of the architecture's flat vector is: the mapping applied to numbers."""
    columns = sum(math.prod(variable.shape) for variable in variables)
    if columns != base.parameters:
        raise MismatchError(
            f"{path / LAYOUT} describes {columns:,} parameters, the architecture has {base.parameters:,}; give the one "
            "that these networks have with --architecture FILE.json"
        )
    row = np.arange(columns)
    tensors = {variable.name: variable.from_row(row) for variable in variables}
    columns_P = columns_of(tensors, base, options.given.names if options.given else None, str(path / LAYOUT))
    images = flattened_images(base)
    for spec in base.layout:
        if spec.name in images:
            weight = from_channels_last(columns_P[spec.span].reshape(spec.shape), images[spec.name])
            columns_P[spec.span] = weight.reshape(-1)
    return columns_P


def _plain(name: str, value: Any) -> Any:
    """A pandas value as a Python one; whole numbers beside missing ones are floats there."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if name in WHOLE and isinstance(value, float) and value.is_integer() else value
