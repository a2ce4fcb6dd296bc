"""The command line: options and their words; the work is in the module of each verb, loaded when it is called."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated, Any

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="zooscale",
    help="Train model zoos, learn to compress their weights, measure what compression costs in accuracy.",
    epilog="Start with: zooscale demo. Set ZOOSCALE_DEBUG=1 to see tracebacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Store = Annotated[str, typer.Option(help="Where zoos, studies and reports are: a directory, s3://… or any fsspec URI.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would run, its size and how long it takes; write nothing.")
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Set any other field; repeatable. An unknown one lists all."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that work at the same time. (default: as many as CPUs)")
]
Members = Annotated[int | None, typer.Option(min=1, help="How many networks.")]
Trials = Annotated[int | None, typer.Option(min=1, help="How many autoencoders to try.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training data.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")]
Seeds = Annotated[
    int, typer.Option(min=1, help="Fits of each of the best autoencoders, with other seeds; 3 for honest intervals.")
]
ZooOption = Annotated[str, typer.Option("--zoo", help="A zoo of the store (a unique beginning will do) or its URI.")]


@app.command()
def demo(
    store: Store = "./store",
    members: Members = None,
    trials: Trials = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each autoencoder.")] = None,
    seeds: Seeds = 1,
    workers: Workers = None,
    seed: Seed = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """The whole job on handwritten digits: generate a zoo, search, analyze. What exists is reused."""
    from cluster.verbs.demo import run_demo

    _show(
        run_demo(
            store,
            members=members,
            trials=trials,
            epochs=epochs,
            seeds=seeds,
            workers=workers,
            seed=seed,
            dry_run=dry_run,
        ),
        as_json,
    )


@app.command()
def generate(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or module:attribute of your own.")],
    store: Store = "./store",
    members: Members = None,
    workers: Workers = None,
    dataset: Annotated[str | None, typer.Option(help="A data set's name, or module:attribute.")] = None,
    epochs: Epochs = None,
    seed: Seed = None,
    settings: Setting = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Train a zoo of networks into the store. Only what is missing is trained."""
    from cluster.verbs.generation import run_generate

    _show(
        run_generate(
            recipe,
            store,
            named={"members": members, "dataset": dataset, "epochs": epochs, "seed": seed},
            settings=settings or [],
            workers=workers,
            dry_run=dry_run,
        ),
        as_json,
    )


@app.command()
def search(
    study: Annotated[str, typer.Argument(help="A study's name, or module:attribute of your own.")],
    zoo: ZooOption,
    store: Store = "./store",
    trials: Trials = None,
    seeds: Seeds = 1,
    workers: Workers = None,
    epochs: Epochs = None,
    seed: Seed = None,
    settings: Setting = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Search for the autoencoder that compresses a zoo best. Finished trials are kept."""
    from cluster.verbs.search import run_search

    _show(
        run_search(
            study,
            zoo,
            store,
            named={"trials": trials, "epochs": epochs, "seed": seed},
            settings=settings or [],
            seeds=seeds,
            workers=workers,
            dry_run=dry_run,
        ),
        as_json,
    )


@app.command()
def analyze(
    zoo: ZooOption,
    study: Annotated[
        str | None, typer.Option(help="A study of the store whose best autoencoders are measured too.")
    ] = None,
    store: Store = "./store",
    members: Annotated[int | None, typer.Option(min=1, help="How many test networks. (default: 300)")] = None,
    codecs: Annotated[str | None, typer.Option(help="Names of codecs, with commas. (default: all)")] = None,
    seed: Seed = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Measure codecs and autoencoders on held-out networks and images; write report.html."""
    from cluster.verbs.reporting import run_analyze

    _show(run_analyze(zoo, study, store, members=members, codecs=codecs, seed=seed, dry_run=dry_run), as_json)


@app.command()
def card(
    zoo: Annotated[str, typer.Argument(help="A zoo of the store or its URI.")],
    store: Store = "./store",
    members: Annotated[
        int | None, typer.Option(min=2, help="Networks sampled for what needs weights. (default: 400)")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Test images that they are applied to, at most. (default: 2000)")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write a zoo's data sheet: card.html and card.json beside it in the store."""
    from cluster.verbs.card import run_card

    _show(run_card(zoo, store, members=members, images=images, seed=seed), as_json)


@app.command()
def verify(
    zoo: Annotated[str, typer.Argument(help="A zoo of the store or its URI.")],
    store: Store = "./store",
    remove_unfinished: Annotated[
        bool,
        typer.Option("--remove-unfinished", help="First delete what no manifest lists: all of a zoo never finished."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every shard of a zoo: hashes, rows, schema, weights. Exit code 1 where something is wrong."""
    from cluster.verbs.inventory import run_verify

    result = run_verify(zoo, store, clean=remove_unfinished)
    _show(result, as_json)
    if result["findings"]:
        raise typer.Exit(FAILED)


@app.command(name="list")
def list_store(store: Store = "./store", as_json: Json = False) -> None:
    """List the zoos, studies and reports of a store."""
    from cluster.verbs.inventory import run_list

    _show(run_list(store), as_json)


@app.command(name="import")
def import_zoo(
    path: Annotated[str, typer.Argument(help="A folder or file of a known format; it is found out which.")],
    store: Store = "./store",
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", help="checkpoints, small-cnn-zoo, published-dataset, state-dicts, or what export writes."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for the zoo. (default: the folder's)")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="The networks' data set as it is named here: metrics that are missing are computed on it."),
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="JSON file of the architecture, where the source does not tell it.")
    ] = None,
    epochs: Annotated[
        str | None, typer.Option(help="Epochs to import, with commas. (default: those that most networks have)")
    ] = None,
    include_diverged: Annotated[
        bool, typer.Option("--include-diverged", help="Keep weights that are not finite, marked as diverged.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a zoo of networks that others trained, or of an exported zoo."""
    from cluster.verbs.exchange import run_import

    _show(
        run_import(
            path,
            store,
            format_name=format_name,
            name=name,
            dataset=dataset,
            architecture=architecture,
            epochs=epochs,
            include_diverged=include_diverged,
            dry_run=dry_run,
        ),
        as_json,
    )


@app.command(name="export")
def export_zoo(
    zoo: Annotated[str, typer.Argument(help="A zoo of the store or its URI.")],
    to: Annotated[str, typer.Option(help="The folder to write, or with --member the file; it must not exist yet.")],
    store: Store = "./store",
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="folder (default) or parquet; of a member safetensors, state-dict or onnx (default: by the suffix).",
        ),
    ] = None,
    member: Annotated[int | None, typer.Option(min=0, help="Only this member.")] = None,
    epoch: Annotated[int | None, typer.Option(min=0, help="Its snapshot. (default: the last)")] = None,
    as_json: Json = False,
) -> None:
    """Write a zoo, or one member, in a format that other tools read."""
    from cluster.verbs.exchange import run_export

    _show(run_export(zoo, store, to, format_name=format_name, member=member, epoch=epoch), as_json)


@app.command()
def data(
    dataset: Annotated[str, typer.Argument(help="A data set's name, or module:attribute of your own.")],
    store: Store = "./store",
    stage: Annotated[
        bool, typer.Option("--stage", help="Put it into the store, where workers and other machines find it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a data set is and where its files are; with --stage, put it into the store."""
    from cluster.verbs.data import run_data

    _show(run_data(dataset, store, staging=stage), as_json)


@app.command()
def dashboard(
    store: Store = "./store",
    study: Annotated[str | None, typer.Option(help="A study of the store. (default: the newest)")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the dashboards ask for no password.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65534, help="Port of optuna-dashboard; TensorBoard has the next.")
    ] = 8080,
) -> None:
    """Show a study in optuna-dashboard (on a copy) and its learning curves in TensorBoard."""
    from cluster.verbs.dashboard import run_dashboard

    run_dashboard(store, study, host=host, port=port)


def _show(result: dict[str, Any], as_json: bool) -> None:
    """Prints a result on stdout: as JSON, or its ``text``."""
    if as_json:
        sys.stdout.write(json.dumps({k: v for k, v in result.items() if k != "text"}, indent=2) + "\n")
    elif result.get("text"):
        sys.stdout.write(result["text"].rstrip() + "\n")
    sys.stdout.flush()


def run(arguments: Sequence[str]) -> int:
    """Runs a command line.

    Args:
        arguments: What follows the name of the program.

    Returns:
        0, or 1 for a failed run or a zoo with faults, 2 for bad input, 130 when interrupted.
    """
    with _interrupts() as interrupts:
        try:
            code = int(app(list(arguments), prog_name="zooscale", standalone_mode=False) or 0)
        except Exception as error:
            if not interrupts:
                return _explain(error)
            # Ctrl-C reaches Ray's processes as well, and their end may be noticed first.
            code = INTERRUPTED
    return _fail("stopped; the same command continues where it was", code) if code == INTERRUPTED else code


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Notes every Ctrl-C in the list that it yields, beside raising ``KeyboardInterrupt``."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield noted  # only the main thread receives signals
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _explain(error: Exception) -> int:
    """Says in a line what went wrong; returns the exit code."""
    if isinstance(error, typer.TyperException):
        return _fail(error.format_message(), error.exit_code)
    if os.environ.get("ZOOSCALE_DEBUG"):
        raise error
    if isinstance(error, ValueError | OSError) or _is_bad_input(error):
        return _fail(_words(error), BAD_INPUT)
    return _fail(f"{type(error).__name__}: {_words(error)} (ZOOSCALE_DEBUG=1 shows the traceback)", FAILED)


def _is_bad_input(error: Exception) -> bool:
    """Whether an error is about what the user named: a store, a zoo, a cluster."""
    from cluster.distributed.runtime import ClusterError
    from zoo.storage.errors import ZooError

    return isinstance(error, ZooError | ClusterError)


def _words(error: BaseException) -> str:
    """The message of an exception on one line."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _fail(message: str, code: int) -> int:
    if message:  # a call without a verb has printed its help already
        sys.stderr.write(f"zooscale: {message}\n")
    return code
