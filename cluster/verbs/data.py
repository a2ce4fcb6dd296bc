"""``data``: what a data set is and where its files are; ``--stage`` puts it into the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cluster.display import human_bytes, say
from zoo.data import DATASETS, Dataset, load_dataset
from zoo.data.examples import SPLITS
from zoo.storage.staging import find_staged, load_from_store, stage
from zoo.storage.store import Store


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a data set comes from on this machine.

    Attributes:
        data: The images; ``None`` where they are not here.
        files: Where its files are, or belong.
    """

    data: Dataset | None
    files: str


def run_data(name: str, store_uri: str, *, staging: bool = False) -> dict[str, Any]:
    """The verb ``data``.

    Args:
        name: A name in ``DATASETS``, or ``module:attribute``.
        store_uri: The store to look into, and to put it into.
        staging: Whether to put it there. Without it, nothing is downloaded and nothing written.

    Returns:
        What is printed as JSON, and ``text`` for people.

    Raises:
        ValueError: There is no such data set.
        FileNotFoundError: It is to be staged, and is neither here nor to be had.
        ZooError: The store cannot be read or written.
    """
    store = Store(store_uri)
    new = False
    if staging:
        data: Dataset | None = load_from_store(store, name)
        if data is None:
            say(f"data {name}: loading it here")
            data = load_dataset(name)
            _, new = stage(store, name, data)
        source = _Source(data, _files_of(name))
    else:
        source = _find(name, store)
    staged = [store.join(path) for path in find_staged(store, name)]
    facts: dict[str, Any] = {
        "dataset": name,
        "files": source.files,
        "staged": staged,
        "staged_now": new,
        "here": source.data is not None,
    }
    if source.data is None:
        lines = [f"data set {name} is not on this machine"]
    else:
        facts |= _describe(source.data)
        counts = " / ".join(f"{facts['images'][split]:,}" for split in SPLITS)
        shape = "×".join(map(str, facts["shape"]))
        lines = [
            f"data set {name}: {facts['outputs']} outputs, loss {facts['loss']}, examples of {shape}, {counts} for "
            f"train / validation / test, {human_bytes(facts['bytes'])}",
            f"content {facts['sha256']}",
        ]
    lines.append(f"files   {source.files}")
    lines += [f"staged  {uri}{' (put there now)' if new else ''}" for uri in staged]
    if not staged:
        lines.append(f"staged  not in {store.uri}; `zooscale data {name} --stage --store {store.uri}` puts it there")
    return {**facts, "text": "\n".join(lines)}


def _find(name: str, store: Store) -> _Source:
    """A data set as it is here or in the store, without a download."""
    files = _files_of(name)
    data = load_from_store(store, name)
    if data is None and _is_vision(name):
        from zoo.data.vision import load_vision

        try:
            data = load_vision(name, download=False)
        except FileNotFoundError:
            return _Source(None, f"{files}: not there; training and staging download them")
    return _Source(load_dataset(name) if data is None else data, files)


def _is_vision(name: str) -> bool:
    from zoo.data.vision import VISION

    return name in VISION


def _files_of(name: str) -> str:
    """Where the files of a data set are, or belong."""
    if _is_vision(name):
        from zoo.data.vision import ROOT_VARIABLE, data_root

        return f"in {data_root()} (torchvision's; {ROOT_VARIABLE} names another folder)"
    return "none: it comes with the program" if name in DATASETS else f"those of {name}"


def _describe(data: Dataset) -> dict[str, Any]:
    """Shape, counts and hash, as JSON values."""
    parts = {split: getattr(data, split) for split in SPLITS}
    return {
        "name": data.name,
        "loss": data.task.loss,
        "outputs": data.task.outputs,
        "shape": list(data.input_shape),
        "images": {split: len(images) for split, images in parts.items()},
        "bytes": sum(examples.values.nbytes + examples.targets.nbytes for examples in parts.values()),
        "sha256": data.sha256,
    }
