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
from zoo.words import counted


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
        what = counted(self.members, "member") if self.member is None else f"member {self.member}"
        return f"{self.path}: {what} of {self.zoo}, {human_bytes(self.bytes)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Export(Verb):
    """Write a zoo, or one member, in a format that other tools read."""

    zoo: options.Zoo
    to: Annotated[
        str,
        typer.Option(help="The folder to write, or with --member the file, which must not exist yet."),
    ]
    store: options.Store = "./store"
    format: Annotated[
        str | None,
        typer.Option(
            help="parquet (default) or small-cnn-zoo; of a member safetensors, state-dict or onnx (default: by the "
            "suffix)."
        ),
    ] = None
    member: Annotated[int | None, typer.Option(min=0, help="Only this member.")] = None
    epoch: Annotated[int | None, typer.Option(min=0, help="Its snapshot. (default: the last)")] = None

    def run(self) -> Exported:
        """Writes it.

        Raises:
            ValueError: The options contradict each other, or the target exists.
        """
        from zoo.exchange.exporting import ZOO_FORMATS, export_zoo
        from zoo.exchange.members import MEMBER_FORMATS, export_member, format_of_suffix

        allowed = tuple(ZOO_FORMATS) if self.member is None else tuple(MEMBER_FORMATS)
        if self.format is not None and self.format not in allowed:
            what = "a zoo" if self.member is None else "a member"
            raise ValueError(f"--format is {self.format!r}; allowed for {what}: {', '.join(allowed)}")
        if self.member is None and self.epoch is not None:
            raise ValueError("--epoch is for one member: give --member too")
        zoo = open_zoo(self.zoo, self.store)
        path = Path(self.to).expanduser()
        if self.member is not None:
            layout = self.format or format_of_suffix(path)
            export_member(zoo, self.member, path, epoch=self.epoch, layout=layout)
            size = path.stat().st_size
        else:
            layout = self.format or "parquet"
            with live("export", 1, "shards") as task:
                export_zoo(zoo, path, layout, lambda done, of: task.update(done, total=of))
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return Exported(
            zoo=zoo.name,
            content_sha256=zoo.content_sha256,
            path=self.to,
            format=layout,
            bytes=size,
            members=len(zoo) if self.member is None else 1,
            member=self.member,
        )
