"""Import: finds out what a path holds and makes a zoo of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.architecture import Architecture
from zoo.data import load_dataset
from zoo.exchange import copying, exported
from zoo.exchange.foreign import checkpoint_tree, published_dataset, small_cnn_zoo, state_dicts
from zoo.exchange.foreign.architectures import read_architecture
from zoo.exchange.foreign.reader import ImportOptions
from zoo.exchange.foreign.source import ForeignZoo
from zoo.exchange.restoring import restore
from zoo.exchange.storing import store_zoo
from zoo.generation.build import Progress
from zoo.storage.manifest import ZOOS
from zoo.storage.staging import find_dataset
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo


@dataclass(frozen=True, slots=True)
class Format:
    """A foreign format.

    Attributes:
        matches: Whether a path looks like it.
        open: Recognizes its networks.
        what: What it looks like, for errors.
    """

    matches: Callable[[Path], bool]
    open: Callable[[Path, ImportOptions], ForeignZoo]
    what: str


# In the order in which a path is tried.
FORMATS: dict[str, Format] = {
    "small-cnn-zoo": Format(
        small_cnn_zoo.matches, small_cnn_zoo.open_small_cnn_zoo, "weights.npy, metrics.csv.gz and layout.csv"
    ),
    "checkpoints": Format(
        checkpoint_tree.matches,
        checkpoint_tree.open_tree,
        "a folder a network with params.json, result.json and checkpoint_*/checkpoints",
    ),
    "published-dataset": Format(
        published_dataset.matches, published_dataset.open_published, "dataset*.pt, a file of pickled datasets"
    ),
    "state-dicts": Format(
        state_dicts.matches, state_dicts.open_state_dicts, "a folder of .safetensors, .pt or .pth files"
    ),
}
# Of a zoo: a part of its path.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
# What `zooscale export` writes, beside formats of others.
OWN_FORMATS = ("zoo", "parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a path holds, before it is stored.

    Attributes:
        format: Name of its format.
        name: Name of the zoo.
        members: How many networks.
        epochs: Epochs of the snapshots.
        parameters: Numbers of parameters that occur.
        left_out: What is there but is not imported, in words.
        store: Makes a zoo of it: ``(store, whether to accept weights that are not finite, progress)``.
    """

    format: str
    name: str
    members: int
    epochs: tuple[int, ...]
    parameters: tuple[int, ...]
    left_out: tuple[str, ...] = ()
    store: Callable[[Store, bool, Progress | None], Zoo]


def open_source(
    path: Path,
    *,
    format_name: str | None = None,
    name: str | None = None,
    dataset: str | None = None,
    architecture: Path | None = None,
    epochs: tuple[int, ...] | None = None,
    store: Store | None = None,
) -> Source:
    """Recognizes what a path holds. Weights are read when it is stored.

    Args:
        path: A folder, or a file.
        format_name: A name in ``FORMATS`` or ``OWN_FORMATS``; by default the first that fits.
        name: A name for the zoo; that of the path by default. An exported zoo keeps its own.
        dataset: The data set of the networks as it is known here.
        architecture: A JSON file of the architecture, where the source does not tell it.
        epochs: Which epochs to import; by default those that most networks have.
        store: Where the data set may be staged.

    Raises:
        ValueError: There is nothing, nothing known, or something that does not fit; the message names the file.
    """
    if exported.is_remote(path):
        raise ValueError(f"{path} is not of this machine; copy it to a local folder, and import that")
    if not path.exists():
        raise ValueError(f"there is no {path}; give the folder or file to import")
    found = format_name or _detect(path)
    if found in OWN_FORMATS:
        given = {"--name": name, "--dataset": dataset, "--architecture": architecture, "--epochs": epochs}
        if odd := [option for option, value in given.items() if value is not None]:
            raise ValueError(f"{path} is an exported zoo, which is imported as it was; leave {odd[0]} away")
        return _own_source(path, found)
    if found not in FORMATS:
        raise ValueError(f"unknown format {found!r}; known: {', '.join([*FORMATS, *OWN_FORMATS])}")
    if format_name is not None and not FORMATS[found].matches(path):
        raise ValueError(f"{path} is not of format {found}: expected {FORMATS[found].what}")
    data = None
    if dataset:
        data = load_dataset(dataset) if store is None else find_dataset(store, dataset)
    options = ImportOptions(
        name=_name(name, path),
        epochs=epochs,
        given=read_architecture(architecture) if architecture else None,
        dataset=dataset,
        input_shape=data.input_shape if data else None,
    )
    zoo = FORMATS[found].open(path, options)
    return Source(
        format=found,
        name=zoo.name,
        members=len(zoo.networks),
        epochs=zoo.epochs,
        parameters=_parameters([network.architecture for network in zoo.networks]),
        left_out=tuple(zoo.left_out),
        store=lambda store, diverged, progress: store_zoo(
            zoo, store, dataset=dataset or "", data=data, include_diverged=diverged, progress=progress
        ),
    )


def _own_source(path: Path, found: str) -> Source:
    """An exported zoo: a copy of it, or a Parquet set."""
    if found == "zoo":
        zoos = copying.zoos_in(path)
        if len(zoos) != 1:
            holds = ", ".join(zoo.name for zoo in zoos) or "none"
            raise ValueError(
                f"{path} is not of format zoo: expected the folder of a zoo, or a store with one; it holds {holds}"
            )
        zoo = Zoo.open(str(zoos[0].resolve()))
        return Source(
            format=found,
            name=zoo.name,
            members=len(zoo),
            epochs=zoo.recipe.snapshot_epochs,
            parameters=_parameters(zoo.architectures),
            store=lambda store, _, progress: copying.copy_zoo(zoo, store, progress),
        )
    if not exported.matches(path):
        raise ValueError(f"{path} is not of format {found}: expected the folder that `zooscale export` writes")
    opened = exported.open_exported(path)
    return Source(
        format=found,
        name=opened.name,
        members=opened.members,
        epochs=opened.epochs,
        parameters=_parameters(opened.architectures),
        store=lambda store, _, progress: restore(opened, store, progress),
    )


def _parameters(architectures: Sequence[Architecture]) -> tuple[int, ...]:
    """The numbers of parameters that occur."""
    return tuple(dict.fromkeys(architecture.parameters for architecture in architectures))


def store_source(
    source: Source, store: Store, *, include_diverged: bool = False, progress: Progress | None = None
) -> Zoo:
    """Makes a zoo of a source.

    Args:
        source: From :func:`open_source`.
        store: Where.
        include_diverged: Whether to accept weights that are not finite.
        progress: Called with (how much is stored, of how much).

    Raises:
        ValueError: A file cannot be read or does not fit; nothing is stored then.
        ZooError: The store cannot be written, or holds something else under the same name.
    """
    store.check_writable(ZOOS)  # before hours of reading
    return source.store(store, include_diverged, progress)


def _detect(path: Path) -> str:
    if exported.matches(path):
        return "parquet"
    if copying.zoos_in(path):
        return "zoo"
    for name, known in FORMATS.items():
        if known.matches(path):
            return name
    expected = "; ".join(f"{name}: {known.what}" for name, known in FORMATS.items())
    raise ValueError(
        f"{path} is of no format that can be imported. Known are: {expected}; and what `zooscale export` writes. "
        "Unpack archives first, and give the folder that holds the files"
    )


def _name(name: str | None, path: Path) -> str:
    """The name for a zoo, from the path where none is given."""
    if name is not None:
        if not re.fullmatch(NAME, name):
            raise ValueError(f"--name is {name!r}; allowed: letters, digits, dots, hyphens, underscores")
        return name
    given = path.resolve()
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", given.name if given.is_dir() else given.stem).strip("-._")
    return text.lower() or "imported"
