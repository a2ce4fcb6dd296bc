"""Published ``dataset.pt`` files: the zoos of hyper-representations as pickled PyTorch datasets.

A dictionary of ``trainset``, ``valset`` and ``testset``, objects of ``ModelDatasetBase`` or ``SimCLRDataset`` with
``data_in`` (state_dicts, or vectors of weight and bias by layer), ``paths`` and ``epochs`` of the networks, and
``properties`` (test_acc, ggap, training_iteration, hyper-parameters). Published with github.com/HSG-AIML/
NeurIPS_2021-Weight_Space_Learning (Zenodo 5645138) and github.com/ModelZoos/ModelZooDataset (Zenodo 6632086 and
others); the classes are in ``checkpoints_to_datasets/`` there. ``GoogleDatasetSimCLR`` (datasets 41 to 44) wraps the
Small CNN Zoo, whose own files are read by ``small_cnn_zoo``.

Shape letters: M networks, E epochs, P parameters.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.architecture import Architecture
from zoo.exchange.foreign.architectures import EXAMPLE, GivenArchitecture
from zoo.exchange.foreign.names import MismatchError, columns_of
from zoo.exchange.foreign.pickled_dataset import REFUSED
from zoo.exchange.foreign.published_fields import given_architecture, tune_fields
from zoo.exchange.foreign.reader import ImportOptions
from zoo.exchange.foreign.source import (
    ForeignNetwork,
    ForeignSnapshots,
    ForeignZoo,
    common_epochs,
    no_metrics,
    plain_json,
)
from zoo.exchange.input_files import require_regular, require_uncompressed

CONVERTER = Path(__file__).with_name("pickled_dataset.py")
SUFFIXES = (".pt", ".pth")
LONGEST_S = 3600
GAP = "ggap"
METRICS = {
    "test_acc": "test_accuracy", "train_acc": "train_accuracy", "test_loss": "test_loss", "train_loss": "train_loss"
}  # fmt: skip
RESULTS = (*METRICS, GAP, "training_iteration")


@dataclass(kw_only=True)
class PublishedZoo(ForeignZoo):
    """A converted file, whose arrays are deleted with this object.

    Attributes:
        weights: A row a snapshot, not in memory.
        row_of: For each network and epoch, its row.
        gathers: For each signature of tensor names and architecture, the column of each entry of the flat vector.
        samples: What the file says of each row.
    """

    format = "published-dataset"

    weights: np.ndarray
    row_of: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    gathers: Mapping[int, np.ndarray] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()

    def read(self, chosen: Sequence[int]) -> ForeignSnapshots:
        networks = [self.networks[index] for index in chosen]
        weights_MEP = np.empty((len(networks), len(self.epochs), networks[0].architecture.parameters), np.float32)
        metrics = no_metrics(len(networks), len(self.epochs))
        originals = []
        for row, network in enumerate(networks):
            samples = []
            for place, epoch in enumerate(self.epochs):
                index = self.row_of[network.origin][epoch]
                sample = self.samples[index]
                weights_MEP[row, place] = self.weights[index][self.gathers[sample["signature"]]]
                for name, value in _metrics(sample["properties"]).items():
                    metrics[name][row, place] = value
                samples.append({name: sample["properties"][name] for name in RESULTS if name in sample["properties"]})
            originals.append([plain_json(sample) for sample in samples])
        return ForeignSnapshots(weights_MEP=weights_MEP, metrics=metrics, original_ME=originals)


def matches(path: Path) -> bool:
    """Whether a file may be a pickled dataset, or a folder holds such and no other weights."""
    if path.is_dir():
        files = _files(path)
        return bool(files) and all(file.name.startswith("dataset") for file in files)
    return path.is_file() and path.suffix in SUFFIXES


def open_published(path: Path, options: ImportOptions) -> PublishedZoo:
    """Converts a file in a process of its own, and recognizes the networks.

    Args:
        path: The file, or the folder that holds it.
        options: With the architecture.

    Raises:
        ValueError: It needs code to be read, holds something else, or its networks do not fit the architecture.
    """
    if path.is_dir():
        files = _files(path)
        if len(files) > 1:
            raise ValueError(f"{path} holds several datasets: give {files[0]} or another one; each becomes a zoo")
        path = files[0]
    if options.given is None:
        raise ValueError(
            f"{path} holds weights without their architecture: give --architecture FILE.json, for example {EXAMPLE}. "
            "The activation counts where the file does not name one"
        )
    require_regular(path)
    require_uncompressed(path)
    folder = Path(tempfile.mkdtemp(prefix="zooscale-import-"))
    try:
        _convert(path, folder)
        zoo = _read(path, folder, options.given, options)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(zoo, shutil.rmtree, folder, ignore_errors=True)
    return zoo


def _files(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.suffix in SUFFIXES)


def _read(path: Path, folder: Path, given: GivenArchitecture, options: ImportOptions) -> PublishedZoo:
    """Recognizes the networks of a converted file."""
    told = json.loads((folder / "dataset.json").read_text())
    weights = np.load(folder / "weights.npy", mmap_mode="r", allow_pickle=False)
    samples = told["samples"]
    row_of: dict[str, dict[int, int]] = {}
    for row, sample in enumerate(samples):
        if row_of.setdefault(sample["path"], {}).setdefault(sample["epoch"], row) != row:
            raise ValueError(f"{path} holds network {sample['path']} twice at epoch {sample['epoch']}")
    epochs, kept, left_out = common_epochs(row_of, options.epochs)
    return PublishedZoo(
        name=options.name,
        networks=[_network(origin, samples[row_of[origin][epochs[0]]], given, path) for origin in kept],
        epochs=epochs,
        left_out=left_out,
        weights=weights,
        row_of=row_of,
        gathers={
            number: _gather(path, signature, given, weights.shape[1])
            for number, signature in enumerate(told["signatures"])
        },
        samples=samples,
    )


def _convert(path: Path, folder: Path) -> None:
    """Runs the converter: isolated from this project's modules, the user's, and the environment."""
    command = [sys.executable, "-I", str(CONVERTER), str(path.resolve()), str(folder)]
    environment = {"OMP_NUM_THREADS": "1", "HOME": str(folder), "TMPDIR": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{path} was not read within {LONGEST_S} s; import the raw checkpoints instead") from error
    (reason,) = done.stderr.strip().splitlines()[-1:] or ["without a word"]
    if done.returncode not in (0, REFUSED):
        raise ValueError(
            f"{path} cannot be converted: the process ended with {done.returncode} ({reason}). Import the raw "
            "checkpoints instead"
        )
    if done.returncode:
        raise ValueError(
            f"{path} is refused: {reason}. A pickle can run any code, so only the published classes "
            "ModelDatasetBase and SimCLRDataset are read. Import the raw zoo instead: the folders with params.json "
            "(--format checkpoints), or weights.npy with its tables (--format small-cnn-zoo)"
        )


def _network(origin: str, sample: Mapping[str, Any], given: GivenArchitecture, path: Path) -> ForeignNetwork:
    config = {name: value for name, value in sample["properties"].items() if name not in RESULTS}
    return ForeignNetwork(
        origin=origin,
        architecture=given_architecture(given, config, path),
        known=tune_fields(config),
        original=plain_json({**config, "published_split": sample["split"]}),
    )


def _gather(path: Path, signature: Sequence[Sequence[Any]], given: GivenArchitecture, columns: int) -> np.ndarray:
    """The column of each entry of the architecture's flat vector in the rows of one signature."""
    architecture: Architecture = given.architecture
    if [name for name, _ in signature] == [""]:
        if columns != architecture.parameters:
            raise MismatchError(
                f"{path}: vectors have {columns} entries, the architecture {architecture.parameters} parameters; give "
                "the architecture that these networks have"
            )
        return np.arange(columns)
    sizes = [int(np.prod(shape)) for _, shape in signature]
    starts = np.cumsum([0, *sizes])
    tensors = {
        name: np.arange(start, start + size).reshape(shape)
        for (name, shape), start, size in zip(signature, starts, sizes, strict=False)
    }
    return columns_of(tensors, architecture, given.names, str(path))


def _metrics(properties: Mapping[str, Any]) -> dict[str, float]:
    """Metrics by their names here; training accuracy follows from the gap where only that is told."""
    metrics = {ours: float(properties[name]) for name, ours in METRICS.items() if _is_number(properties.get(name))}
    if "train_accuracy" not in metrics and "test_accuracy" in metrics and _is_number(properties.get(GAP)):
        metrics["train_accuracy"] = metrics["test_accuracy"] + float(properties[GAP])
    return metrics


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
