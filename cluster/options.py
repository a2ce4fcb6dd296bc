"""Options that several verbs have: what they are called, what they take, their help, and what the shell completes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer


def recipe_names() -> list[str]:
    """All recipes, from the source of the modules that define them, since importing these takes torch's two seconds."""
    import zoo

    sources = [file.read_text() for file in Path(zoo.__path__[0], "recipes").glob("*.py")]
    return sorted(name for source in sources for name in re.findall(r'^    name="([\w-]+)",$', source, re.MULTILINE))


def study_names() -> Iterable[str]:
    """All studies."""
    from search_spaces.studies import STUDIES

    return STUDIES


def trainable_names() -> Iterable[str]:
    """All trainables."""
    from trainables.registry import TRAINABLES

    return TRAINABLES


def names_in(*folders: str) -> Callable[[typer.Context], list[str]]:
    """A function that gives what folders of the chosen store hold, where that store is on this disk."""

    def names(ctx: typer.Context) -> list[str]:
        store = Path(ctx.params.get("store") or "./store").expanduser()
        return sorted(entry.name for folder in folders for entry in store.glob(f"{folder}/*"))

    return names


ZOO_HELP = "A zoo of the store (a unique beginning will do) or its URI."
OWN = "or module:attribute of your own."

Store = Annotated[
    str, typer.Option("--store", help="Where zoos, studies and reports are: a directory, s3://… or any fsspec URI.")
]
Figures = Annotated[
    Path | None,
    typer.Option(
        help="Write every chart as SVG and PNG, and every table as CSV and LaTeX, into this folder too.",
        file_okay=False,
        show_default=False,
    ),
]
Recipe = Annotated[str, typer.Argument(help=f"A recipe's name, {OWN}", autocompletion=recipe_names)]
Study = Annotated[str, typer.Argument(help=f"A study's name, {OWN}", autocompletion=study_names)]
Trainable = Annotated[str, typer.Argument(help=f"A trainable's name, {OWN}", autocompletion=trainable_names)]
Zoo = Annotated[str, typer.Argument(help=ZOO_HELP, autocompletion=names_in("zoos"))]
Entry = Annotated[
    str,
    typer.Argument(
        help="A zoo or study (a unique beginning will do), reports/NAME, or the URI of one of them.",
        autocompletion=names_in("zoos", "studies"),
    ),
]
ZooOption = Annotated[str, typer.Option("--zoo", help=ZOO_HELP, autocompletion=names_in("zoos"))]
Members = Annotated[int | None, typer.Option(min=1, help="How many networks.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training data.")]
Trials = Annotated[int | None, typer.Option(min=1, help="How many configurations to try.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")]
Seeds = Annotated[
    int, typer.Option(min=1, help="Fits of each of the best trials, with other seeds; 3 for honest intervals.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes of Ray; without it, small work starts no Ray. (default: as many as CPUs)"),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Named settings in the place of defaults, such as those published; `trainables NAME` lists them."
    ),
]
Settings = Annotated[
    tuple[str, ...],
    typer.Option("--set", metavar="FIELD=VALUE", help="Set any other field; repeatable. An unknown one lists all."),
]
Networks = Annotated[str, typer.Argument(help="A folder or file of a known format; it is found out which.")]
NetworkFormat = Annotated[
    str | None,
    typer.Option("--format", help="checkpoints, small-cnn-zoo, published-dataset, state-dicts, or what export writes."),
]
NetworkArchitecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        help="Where the source does not tell it: a JSON file (docs/import.md), or a torch module: module:attribute.",
    ),
]
NetworkActivation = Annotated[
    str | None,
    typer.Option("--activation", help="Of MLPs without an architecture, which weights do not tell. (default: relu)"),
]
NetworkEpochs = Annotated[
    str | None,
    typer.Option("--epochs", help="Epochs to import, with commas. (default: those that most networks have)"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would run, its size and how long it takes; write nothing.")
]
