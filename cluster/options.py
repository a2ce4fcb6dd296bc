"""Options that several verbs have: what they are called, what they take, and their help."""

from __future__ import annotations

from typing import Annotated

import typer

Store = Annotated[
    str, typer.Option("--store", help="Where zoos, studies and reports are: a directory, s3://… or any fsspec URI.")
]
Zoo = Annotated[str, typer.Argument(help="A zoo of the store (a unique beginning will do) or its URI.")]
ZooOption = Annotated[str, typer.Option("--zoo", help="A zoo of the store (a unique beginning will do) or its URI.")]
Members = Annotated[int | None, typer.Option(min=1, help="How many networks.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training data.")]
Trials = Annotated[int | None, typer.Option(min=1, help="How many autoencoders to try.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")]
Seeds = Annotated[
    int, typer.Option(min=1, help="Fits of each of the best autoencoders, with other seeds; 3 for honest intervals.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes of Ray; without it, small work starts no Ray. (default: as many as CPUs)"),
]
Settings = Annotated[
    tuple[str, ...],
    typer.Option("--set", metavar="FIELD=VALUE", help="Set any other field; repeatable. An unknown one lists all."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would run, its size and how long it takes; write nothing.")
]
