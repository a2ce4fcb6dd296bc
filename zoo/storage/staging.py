"""Data sets kept in a store, so that the machines of a cluster need no internet and all train on the same examples.

<store>/data/<name>-<sha8>.safetensors      values and targets of the three splits (and of objects), create-only
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from zoo.config import from_json, to_json
from zoo.data import load_dataset
from zoo.data.examples import SPLITS, Dataset, Examples
from zoo.data.task import Task
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

FOLDER, SUFFIX = "data", ".safetensors"
FORMAT_VERSION = 3
PARTS = (*SPLITS, "objects")
# The tensor that holds, as JSON, what no tensor says: safetensors gives metadata of files alone, not of bytes.
FACTS = "facts"


def find_staged(store: Store, dataset: str) -> list[str]:
    """Paths of a data set in a store, by the name that :func:`zoo.data.load_dataset` takes: one for each version."""
    pattern = re.compile(re.escape(_stem(dataset)) + r"-[0-9a-f]{8}" + re.escape(SUFFIX))
    return [f"{FOLDER}/{file}" for file in store.files(FOLDER) if pattern.fullmatch(file)]


def stage(store: Store, dataset: str, data: Dataset) -> tuple[str, bool]:
    """Puts a data set into a store.

    Args:
        store: The store.
        dataset: The name that :func:`zoo.data.load_dataset` takes.
        data: The data set.

    Returns:
        Its path, and whether it was put there now.

    Raises:
        ZooError: The store cannot be written.
    """
    path = staged_path(dataset, data.sha256)
    if store.exists(path):
        return path, False
    parts = {part: examples for part in PARTS if (examples := getattr(data, part)) is not None}
    tensors = {f"{split}.values": examples.values.contiguous() for split, examples in parts.items()}
    tensors |= {f"{split}.targets": examples.targets.contiguous() for split, examples in parts.items()}
    facts = {
        "version": FORMAT_VERSION,
        "dataset": dataset,
        "name": data.name,
        "task": to_json(data.task),
        "scales": {split: examples.scale for split, examples in parts.items()},
        "sha256": data.sha256,
    }
    return path, store.put_new(path, safetensors.torch.save(tensors | {FACTS: _as_tensor(facts)}))


def staged_path(dataset: str, sha256: str) -> str:
    """Where a data set with this content lies in a store."""
    return f"{FOLDER}/{_stem(dataset)}-{sha256[:8]}{SUFFIX}"


def load_staged(store: Store, path: str) -> Dataset:
    """Reads a data set from a store and checks its content.

    Raises:
        FileNotFoundError: There is no such object.
        ZooError: It is damaged, or cannot be read.
    """
    content, where = store.read(path), store.join(path)
    try:
        tensors = safetensors.torch.load(content)
        facts = json.loads(tensors[FACTS].numpy().tobytes())
        if facts["version"] != FORMAT_VERSION:
            raise ValueError(f"format version {facts['version']}; this release reads {FORMAT_VERSION}")
        parts = {
            split: Examples(tensors[f"{split}.values"], tensors[f"{split}.targets"], float(facts["scales"][split]))
            for split in facts["scales"]
        }
        data = Dataset(str(facts["name"]), from_json(Task, facts["task"]), **parts)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{where} is no staged data set, or damaged ({error}); delete it and stage it again") from error
    if data.sha256 != facts["sha256"] or path != staged_path(str(facts["dataset"]), data.sha256):
        raise ZooError(
            f"{where} is damaged: its content has the hash {data.sha256[:8]}, it says {facts['sha256'][:8]} for data "
            f"set {facts['dataset']!r}; delete it and stage it again"
        )
    return data


def load_from_store(store: Store, dataset: str, sha256: str | None = None) -> Dataset | None:
    """Reads a data set by its name; ``None`` where it is not staged.

    Args:
        store: The store.
        dataset: The name that :func:`zoo.data.load_dataset` takes.
        sha256: Its content hash, where only that one will do.

    Raises:
        ZooError: It is damaged, or there are several versions and nothing says which is meant.
    """
    paths = find_staged(store, dataset) if sha256 is None else [staged_path(dataset, sha256)]
    if len(paths) > 1:
        raise ZooError(
            f"{store.uri} has several versions of data set {dataset!r}: {', '.join(paths)}; delete those that are not "
            "meant"
        )
    try:
        return load_staged(store, paths[0]) if paths else None
    except FileNotFoundError:
        return None


def find_dataset(store: Store, dataset: str, sha256: str | None = None) -> Dataset:
    """A data set as it was staged in a store, where it needs no files on this machine; else as it is loaded here.

    Args:
        store: The store.
        dataset: The name that :func:`zoo.data.load_dataset` takes.
        sha256: Its content hash, where the store may have several versions of it.

    Raises:
        ValueError: There is no such data set; the message lists the known ones.
        FileNotFoundError: It is not staged, and its files are neither on disk nor to be had.
        ZooError: It is staged but damaged, or the store cannot be read.
    """
    staged = load_from_store(store, dataset, sha256)
    return load_dataset(dataset) if staged is None else staged


def _stem(dataset: str) -> str:
    """A data set's name as part of a file's: ``module:attribute`` has a character that some systems refuse."""
    return re.sub(r"[^A-Za-z0-9._-]", ".", dataset)


def _as_tensor(facts: Mapping[str, Any]) -> torch.Tensor:
    """JSON text as a tensor of bytes."""
    return torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)
