"""``import`` and ``export``: zoos from and to other people's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.display import human_bytes, live, say
from cluster.verbs.inventory import open_zoo
from zoo.exchange.exported import FOLDER, PARQUET
from zoo.exchange.exporting import export_zoo
from zoo.exchange.importing import open_source, store_source
from zoo.exchange.members import MEMBER_FORMATS, export_member, format_of_suffix
from zoo.storage.store import Store

# Names of the command line for the layouts of whole zoos.
ZOO_FORMATS = {"folder": FOLDER, "parquet": PARQUET}


def run_import(
    path: str,
    store_uri: str,
    *,
    format_name: str | None = None,
    name: str | None = None,
    dataset: str | None = None,
    architecture: str | None = None,
    epochs: str | None = None,
    include_diverged: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """The verb ``import``.

    Args:
        path: A folder or file of a known format.
        store_uri: The store.
        format_name: The format, where it is not to be found out.
        name: A name for the zoo.
        dataset: The data set of the networks as it is known here.
        architecture: A JSON file.
        epochs: Epochs to import, with commas.
        include_diverged: Whether to accept weights that are not finite.
        dry_run: Whether only to say what would be imported.

    Returns:
        What is printed as JSON, and ``text`` for people.
    """
    store = Store(store_uri)
    source = open_source(
        Path(path).expanduser(),
        format_name=format_name,
        name=name,
        dataset=dataset,
        architecture=Path(architecture).expanduser() if architecture else None,
        epochs=_epochs(epochs),
        store=store,
    )
    parameters = ", ".join(f"{count:,}" for count in source.parameters)
    found = (
        f"{source.format}: {source.members:,} networks of {parameters} parameters at epochs "
        f"{', '.join(map(str, source.epochs))}"
    )
    for words in source.left_out:
        say(f"left out: {words}")
    result: dict[str, Any] = {
        "source": path,
        "format": source.format,
        "members": source.members,
        "parameters": list(source.parameters),
        "epochs": list(source.epochs),
        "left_out": list(source.left_out),
    }
    if dry_run:
        return {**result, "text": f"would import {found}"}
    say(f"import {found}")
    with live("import", 1, "shards") as task:
        zoo = store_source(
            source,
            store,
            include_diverged=include_diverged,
            progress=lambda done, count: task.update(done, total=count),
        )
    result |= {"zoo": zoo.name, "uri": zoo.uri, "content_sha256": zoo.content_sha256}
    return {**result, "text": f"{zoo.name}: {found}"}


def run_export(
    zoo_name: str,
    store_uri: str,
    target: str,
    *,
    format_name: str | None = None,
    member: int | None = None,
    epoch: int | None = None,
) -> dict[str, Any]:
    """The verb ``export``.

    Args:
        zoo_name: A zoo of the store, or its URI.
        store_uri: The store.
        target: The file or folder to write, which does not exist yet.
        format_name: A name in ``ZOO_FORMATS``, or with a member one in ``MEMBER_FORMATS``.
        member: Only this member.
        epoch: Its snapshot, the last by default.

    Returns:
        What is printed as JSON, and ``text`` for people.

    Raises:
        ValueError: The options contradict each other, or the target exists.
    """
    allowed = ZOO_FORMATS if member is None else MEMBER_FORMATS
    if format_name is not None and format_name not in allowed:
        what = "a zoo" if member is None else "a member"
        raise ValueError(f"--format is {format_name!r}; allowed for {what}: {', '.join(allowed)}")
    if member is None and epoch is not None:
        raise ValueError("--epoch is for one member: give --member too")
    zoo = open_zoo(zoo_name, store_uri)
    path = Path(target).expanduser()
    if member is None:
        layout = format_name or "folder"
        with live("export", len(zoo.manifest.shards), "shards") as task:
            export_zoo(zoo, path, ZOO_FORMATS[layout], lambda done, _: task.update(done))
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    else:
        layout = format_name or format_of_suffix(path)
        export_member(zoo, member, path, epoch=epoch, layout=layout)
        size = path.stat().st_size
    what = f"{len(zoo):,} members" if member is None else f"member {member}"
    return {
        "zoo": zoo.name,
        "content_sha256": zoo.content_sha256,
        "path": str(path),
        "format": layout,
        "bytes": size,
        "text": f"{path}: {what} of {zoo.name}, {human_bytes(size)}",
    }


def _epochs(text: str | None) -> tuple[int, ...] | None:
    """Epochs with commas as numbers."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"--epochs is {text!r}; allowed: whole numbers with commas, such as 0,5,50")
    return tuple(sorted({int(part) for part in parts}))
