"""``data``: what a data set is and where its files are; ``--stage`` puts it into the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cluster import options
from cluster.display import human_bytes, say
from cluster.verb import Result, Verb
from zoo.words import zooscale

if TYPE_CHECKING:
    from zoo.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a data set holds: ``shape`` is that of an example, ``examples`` their number in each split."""

    name: str
    loss: str
    outputs: int
    shape: tuple[int, ...]
    examples: dict[str, int]
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Described(Result):
    """Where a data set is, in files and in the store, and what it holds where it is on this machine."""

    dataset: str
    store: str
    files: str
    staged: tuple[str, ...]
    staged_now: bool
    contents: Contents | None

    @property
    def text(self) -> str:
        found = self.contents
        if found is None:
            lines = [f"data set {self.dataset} is not on this machine"]
        else:
            counts = " / ".join(f"{count:,}" for count in found.examples.values())
            shape = "×".join(map(str, found.shape))
            lines = [
                f"data set {self.dataset}: {found.outputs} outputs, loss {found.loss}, examples of {shape}, "
                f"{counts} for {' / '.join(found.examples)}, {human_bytes(found.bytes)}",
                f"content {found.sha256}",
            ]
        lines.append(f"files   {self.files}")
        lines += [f"staged  {uri}{' (put there now)' if self.staged_now else ''}" for uri in self.staged]
        if not self.staged:
            command = zooscale("data", self.dataset, "--stage", "--store", self.store)
            lines.append(f"staged  not in {self.store}; `{command}` puts it there")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Data(Verb):
    """Say what a data set is and where its files are; with --stage, put it into the store."""

    dataset: Annotated[str, typer.Argument(help="A data set's name, or module:attribute of your own.")]
    store: options.Store = "./store"
    stage: Annotated[
        bool, typer.Option("--stage", help="Put it into the store, where workers and other machines find it.")
    ] = False

    def run(self) -> Described:
        """Looks for it; without ``stage``, nothing is downloaded and nothing written.

        Raises:
            ValueError: There is no such data set.
            FileNotFoundError: It is to be staged, and is neither here nor to be had.
            ZooError: The store cannot be read or written.
        """
        from zoo.data import load_dataset
        from zoo.storage.staging import FOLDER, find_staged, load_from_store, stage
        from zoo.storage.store import Store

        store, new, files = Store(self.store), False, _files_of(self.dataset)
        data = load_from_store(store, self.dataset)
        if data is None and self.stage:
            store.check_writable(FOLDER)
            say(f"data {self.dataset}: loading it here")
            data = load_dataset(self.dataset)
            _, new = stage(store, self.dataset, data)
        elif data is None:
            data = _without_download(self.dataset)
            files += ": not there; training and staging download them" if data is None else ""
        return Described(
            dataset=self.dataset,
            store=store.uri,
            files=files,
            staged=tuple(store.join(path) for path in find_staged(store, self.dataset)),
            staged_now=new,
            contents=None if data is None else _contents(data),
        )


def _without_download(name: str) -> Dataset | None:
    """A data set as it is on this machine."""
    from zoo.data import load_dataset
    from zoo.data.vision import VISION, load_vision

    if name not in VISION:
        return load_dataset(name)
    try:
        return load_vision(name, download=False)
    except FileNotFoundError:
        return None


def _files_of(name: str) -> str:
    """Where the files of a data set are, or belong."""
    from zoo.data import DATASETS
    from zoo.data.vision import ROOT_VARIABLE, VISION, data_root

    if name in VISION:
        return f"in {data_root()} (torchvision's; {ROOT_VARIABLE} names another folder)"
    return "none: it comes with the program" if name in DATASETS else f"those of {name}"


def _contents(data: Dataset) -> Contents:
    from zoo.data.examples import SPLITS

    parts = {split: getattr(data, split) for split in SPLITS}
    return Contents(
        name=data.name,
        loss=data.task.loss,
        outputs=data.task.outputs,
        shape=tuple(data.input_shape),
        examples={split: len(examples) for split, examples in parts.items()},
        bytes=sum(examples.values.nbytes + examples.targets.nbytes for examples in parts.values()),
        sha256=data.sha256,
    )
