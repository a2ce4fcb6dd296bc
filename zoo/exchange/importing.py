"""Import: finds out what a path holds and makes a zoo of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from zoo.architecture import Architecture, Shape
from zoo.config import lookup
from zoo.data import load_dataset
from zoo.exchange import copying, exported
from zoo.exchange.foreign import checkpoint_tree, published_dataset, small_cnn_zoo, state_dicts
from zoo.exchange.foreign.architectures import GivenArchitecture, read_architecture
from zoo.exchange.foreign.reader import ImportOptions
from zoo.exchange.foreign.source import ForeignZoo
from zoo.exchange.foreign.torch_module import architecture_of
from zoo.exchange.input_files import read_json, require_regular
from zoo.exchange.restoring import check_exported
from zoo.exchange.storing import check_zoo
from zoo.generation.build import Progress
from zoo.storage.manifest import MANIFEST_PATTERN, ZOOS
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
        state_dicts.matches, state_dicts.open_state_dicts, "a folder of .safetensors, .pt, .pth or .ckpt files"
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
        assumed: What the source does not tell and was taken to be so, in words.
        check: Reads all of it and gives what makes a zoo of it, or says what is wrong: ``(store, whether to accept
            weights that are not finite, progress)``.
    """

    format: str
    name: str
    members: int
    epochs: tuple[int, ...]
    parameters: tuple[int, ...]
    left_out: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    check: Callable[[Store, bool, Progress | None], Callable[[Progress | None], Zoo]]


def open_source(
    path: str | Path,
    *,
    format_name: str | None = None,
    name: str | None = None,
    dataset: str | None = None,
    architecture: str | Path | None = None,
    activation: str | None = None,
    epochs: tuple[int, ...] | None = None,
    store: Store | None = None,
) -> Source:
    """Recognizes what a path holds; all of it is read when it is checked, and once more when it is stored.

    Args:
        path: A folder, or a file.
        format_name: A name in ``FORMATS`` or ``OWN_FORMATS``; by default the first that fits.
        name: A name for the zoo; that of the path by default. An exported zoo keeps its own.
        dataset: The data set of the networks as it is known here.
        architecture: Where the source does not tell it, a JSON file of the architecture, or ``module:attribute`` of a
            torch module or of what makes one.
        activation: The activation of plain MLPs, whose architecture is told from their tensors.
        epochs: Which epochs to import; by default those that most networks have.
        store: Where the data set may be staged.

    Raises:
        ValueError: There is nothing, nothing known, or something that does not fit; the message names the file.
    """
    path = Path(path)
    if exported.is_remote(path):
        raise ValueError(f"{path} is not of this machine; copy it to a local folder, and import that")
    if not path.exists():
        raise ValueError(f"there is no file or folder {str(path)!r}; give what is to be imported")
    found = format_name or _detect(path)
    if found in OWN_FORMATS:
        given = {
            "--name": name, "--dataset": dataset, "--architecture": architecture, "--activation": activation,
            "--epochs": epochs,
        }  # fmt: skip
        if odd := [option for option, value in given.items() if value is not None]:
            raise ValueError(f"{path} is an exported zoo, which is imported as it was; leave {odd[0]} away")
        return _own_source(path, found)
    if found not in FORMATS:
        raise ValueError(f"unknown format {found!r}; known: {', '.join([*FORMATS, *OWN_FORMATS])}")
    if format_name is not None and not FORMATS[found].matches(path):
        raise ValueError(f"{path} is not of format {found}: expected {FORMATS[found].what}")
    if activation is not None and found != "state-dicts":
        raise ValueError(
            f"{path} is of format {found}, which says what activation networks have; leave --activation away"
        )
    data = None
    if dataset:
        data = load_dataset(dataset) if store is None else find_dataset(store, dataset)
    input_shape = data.input_shape if data else None
    options = ImportOptions(
        name=_name(name, path),
        epochs=epochs,
        given=find_architecture(str(architecture), input_shape) if architecture else None,
        activation=activation,
        dataset=dataset,
        input_shape=input_shape,
    )
    zoo = FORMATS[found].open(path, options)
    return Source(
        format=found,
        name=zoo.name,
        members=len(zoo.networks),
        epochs=zoo.epochs,
        parameters=_parameters([network.architecture for network in zoo.networks]),
        left_out=tuple(zoo.left_out),
        assumed=tuple(zoo.assumed),
        check=lambda store, diverged, progress: check_zoo(
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
        for file in zoos[0].rglob("*"):
            if not file.is_dir():
                require_regular(file)
            if MANIFEST_PATTERN.fullmatch(file.name):
                read_json(file, exported.RECORD_BYTES)
        zoo = Zoo.open(str(zoos[0].resolve()))
        return Source(
            format=found,
            name=zoo.name,
            members=len(zoo),
            epochs=zoo.recipe.snapshot_epochs,
            parameters=_parameters(zoo.architectures),
            check=lambda store, _, progress: copying.check_copy(zoo, store, progress),
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
        check=lambda store, _, progress: check_exported(opened, store, progress),
    )


def find_architecture(given: str, input_shape: Shape | None) -> GivenArchitecture:
    """The architecture that a user gives.

    Args:
        given: A JSON file, or ``module:attribute`` of a torch module, or of a class or function that makes one.
        input_shape: Shape of an example, where the data set is known: what a torch module does not say.

    Raises:
        ValueError: It cannot be read, found or made, or is none.
    """
    if ":" not in given or Path(given).exists():
        return read_architecture(Path(given).expanduser())
    module = lookup({}, given, "architecture")
    if not isinstance(module, nn.Module) and callable(module):
        try:
            module = module()
        except Exception as error:  # it is the user's code, which can fail in every way
            raise ValueError(f"--architecture {given}: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"--architecture {given} is {module!r}; it must be a torch module, or make one without arguments"
        )
    if input_shape is None:
        raise ValueError(
            f"--architecture {given} does not say what it reads; give the networks' data set with --dataset, or write "
            "a JSON file with the input_shape (docs/import.md)"
        )
    return architecture_of(module, input_shape)


def _parameters(architectures: Sequence[Architecture]) -> tuple[int, ...]:
    """The numbers of parameters that occur."""
    return tuple(dict.fromkeys(architecture.parameters for architecture in architectures))


def store_source(
    source: Source, store: Store | str, *, include_diverged: bool = False, progress: Progress | None = None
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
    store = store if isinstance(store, Store) else Store(store)
    store.check_writable(ZOOS)  # before hours of reading
    return source.check(store, include_diverged, None)(progress)


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
