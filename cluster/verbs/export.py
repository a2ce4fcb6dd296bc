"""``export``: a zoo, or one member, in other people's formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cluster import options
from cluster.display import human_bytes, live
from cluster.stores import open_zoo
from cluster.verb import Result, Verb


@dataclass(frozen=True, kw_only=True)
class Exported(Result):
    """What was written: a whole zoo, or the one ``member``."""

    zoo: str
    content_sha256: str
    path: str
    format: str
    bytes: int
    members: int
    member: int | None

    @property
    def text(self) -> str:
        what = f"{self.members:,} members" if self.member is None else f"member {self.member}"
        return f"{self.path}: {what} of {self.zoo}, {human_bytes(self.bytes)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Export(Verb):
    """Write a zoo, or one member, in a format that other tools read."""

    zoo: options.Zoo
    to: Annotated[str, typer.Option(help="The folder to write, or with --member the file; it must not exist yet.")]
    store: options.Store = "./store"
    format: Annotated[
        str | None,
        typer.Option(
            help="folder (default) or parquet; of a member safetensors, state-dict or onnx (default: by the suffix)."
        ),
    ] = None
    member: Annotated[int | None, typer.Option(min=0, help="Only this member.")] = None
    epoch: Annotated[int | None, typer.Option(min=0, help="Its snapshot. (default: the last)")] = None

    def run(self) -> Exported:
        """Writes it.

        Raises:
            ValueError: The options contradict each other, or the target exists.
        """
        from zoo.exchange.exported import FOLDER, PARQUET
        from zoo.exchange.exporting import export_zoo
        from zoo.exchange.members import MEMBER_FORMATS, export_member, format_of_suffix

        zoo_formats = {"folder": FOLDER, "parquet": PARQUET}
        allowed = zoo_formats if self.member is None else MEMBER_FORMATS
        if self.format is not None and self.format not in allowed:
            what = "a zoo" if self.member is None else "a member"
            raise ValueError(f"--format is {self.format!r}; allowed for {what}: {', '.join(allowed)}")
        if self.member is None and self.epoch is not None:
            raise ValueError("--epoch is for one member: give --member too")
        zoo = open_zoo(self.zoo, self.store)
        path = Path(self.to).expanduser()
        if self.member is None:
            layout = self.format or "folder"
            with live("export", len(zoo.manifest.shards), "shards") as task:
                export_zoo(zoo, path, zoo_formats[layout], lambda done, _: task.update(done))
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        else:
            layout = self.format or format_of_suffix(path)
            export_member(zoo, self.member, path, epoch=self.epoch, layout=layout)
            size = path.stat().st_size
        return Exported(
            zoo=zoo.name,
            content_sha256=zoo.content_sha256,
            path=str(path),
            format=layout,
            bytes=size,
            members=len(zoo) if self.member is None else 1,
            member=self.member,
        )
