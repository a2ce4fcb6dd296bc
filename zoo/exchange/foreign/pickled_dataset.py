"""Turns a published ``dataset.pt`` into plain arrays; run as a process of its own, without imports of this project.

    python -I pickled_dataset.py DATASET.pt FOLDER

Such a file is a pickle of dataset objects. It is read by torch's weights-only unpickler with a short allow-list, in
which every class of the publication stands for an empty one defined here: nothing of the file is ever run. What comes
out are ``weights.npy``, a row a snapshot, and ``dataset.json``.
"""

from __future__ import annotations

import json
import pickle
import re
import resource
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

SPLITS = ("trainset", "valset", "testset")
# Limits of the process: an hour of computing, no core files, no children's worth of open files.
LIMITS = {resource.RLIMIT_CPU: 3600, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: 64}
REFUSED = 3


class PublishedDataset:
    """Stands for a dataset class; has the attributes that were pickled."""


class PublishedAugmentation:
    """Stands for an augmentation, which is not used."""


CLASSES: dict[str, Any] = {
    "checkpoints_to_datasets.dataset_base.ModelDatasetBase": PublishedDataset,
    "checkpoints_to_datasets.dataset_simclr.SimCLRDataset": PublishedDataset,
    "checkpoints_to_datasets.random_erasing.RandomErasingVector": PublishedAugmentation,
    "pathlib.PosixPath": PurePosixPath,
    "pathlib.PurePosixPath": PurePosixPath,
}


class RefusedError(Exception):
    """The file is not what is published; the message is for the user."""


def convert(source: Path, folder: Path) -> None:
    """Reads a file and writes arrays.

    Raises:
        RefusedError: It needs other classes, or has not what a published dataset has.
    """
    value = _load(source)
    if isinstance(value, PublishedDataset):
        value = {"dataset": value}
    if not isinstance(value, dict) or not any(isinstance(part, PublishedDataset) for part in value.values()):
        raise RefusedError(f"it holds no dataset ({', '.join(SPLITS)}); for a state_dict give the folder it is in")
    rows: list[np.ndarray] = []
    signatures: list[list[tuple[str, list[int]]]] = []
    samples: list[dict[str, Any]] = []
    for split, part in value.items():
        if isinstance(part, PublishedDataset):
            _add_split(str(split), part, rows, signatures, samples)
    if not rows:
        raise RefusedError("it holds no networks")
    if len({len(row) for row in rows}) != 1:
        raise RefusedError("its networks have different numbers of parameters")
    np.save(folder / "weights.npy", np.stack(rows))
    (folder / "dataset.json").write_text(json.dumps({"signatures": signatures, "samples": samples}))


def _load(source: Path) -> Any:
    allowed: list[Any] = [(stub, name) for name, stub in CLASSES.items()]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        needs = re.search(r"GLOBAL (\S+)", str(error))
        if needs is None:
            raise RefusedError(f"it is damaged: {error}") from error
        raise RefusedError(f"it needs more than the classes of the published datasets: {needs[1]}") from error
    except (EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise RefusedError(f"it is damaged or no file that torch.save wrote: {error}") from error


def _add_split(
    split: str,
    dataset: PublishedDataset,
    rows: list[np.ndarray],
    signatures: list[list[tuple[str, list[int]]]],
    samples: list[dict[str, Any]],
) -> None:
    """Adds the snapshots of one split."""
    held = vars(dataset)
    lacking = [name for name in ("data_in", "paths", "epochs") if not isinstance(held.get(name), list)]
    if lacking:
        raise RefusedError(f"its {split} has no list {lacking[0]!r}; it has {', '.join(sorted(held))}")
    data, paths, epochs = held["data_in"], held["paths"], held["epochs"]
    properties = held.get("properties") or {}
    odd = [name for name, values in properties.items() if len(values) != len(data)]
    if not len(data) == len(paths) == len(epochs) or odd:
        raise RefusedError(f"its {split} has {len(data)} networks, {len(paths)} paths and {len(epochs)} epochs{odd}")
    for index, state in enumerate(data):
        tensors = _tensors(split, state)
        signature = [(name, list(tensor.shape)) for name, tensor in tensors.items()]
        if signature not in signatures:
            signatures.append(signature)
        rows.append(torch.cat([tensor.detach().reshape(-1).to(torch.float32) for tensor in tensors.values()]).numpy())
        samples.append(
            {
                "split": split,
                "path": str(paths[index]),
                "epoch": int(epochs[index]),
                "signature": signatures.index(signature),
                "properties": {name: _plain(values[index]) for name, values in properties.items()},
            }
        )


def _tensors(split: str, state: Any) -> dict[str, torch.Tensor]:
    """A network's tensors by name; one without a name where it was stored as a vector."""
    tensors = {"": state} if isinstance(state, torch.Tensor) else state
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise RefusedError(f"its {split} has a {type(state).__name__} where a state_dict or a vector is expected")
    return {str(name): tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def main() -> int:
    """Runs the conversion; says what is wrong on stderr."""
    for kind, limit in LIMITS.items():
        hard = resource.getrlimit(kind)[1]
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (most, most))
    torch.set_num_threads(1)
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except RefusedError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
