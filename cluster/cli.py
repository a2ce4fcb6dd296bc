"""The command line: made from the verbs; says what went wrong, and ends with the code for it."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import platform
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import metadata
from types import FrameType
from typing import Annotated

import typer

from cluster import verbs
from cluster.display import show
from cluster.verb import FAILED, NoResultError, Verb, command
from zoo.config import own_line

BAD_INPUT, INTERRUPTED = 2, 128 + signal.SIGINT
# In the order of the work; others follow by name.
ORDER = (
    "demo", "generate", "search", "fit", "analyze", "predict", "make", "card", "verify", "list", "member", "import",
    "export", "copy", "rm", "data", "tasks", "neurons", "dashboard", "recipes", "studies", "trainables", "evaluators",
)  # fmt: skip

app = typer.Typer(
    name="zooscale",
    help="Train model zoos; tell from weights what networks can do, compress them, make new ones; measure all of it.",
    epilog="Start with: zooscale demo. Set ZOOSCALE_DEBUG=1 to see tracebacks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def find_verbs() -> dict[str, type[Verb]]:
    """The verbs in ``cluster/verbs`` by their names, which are those of their classes."""
    found = {}
    for entry in pkgutil.iter_modules(verbs.__path__):
        module = importlib.import_module(f"{verbs.__name__}.{entry.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Verb) and value.__module__ == module.__name__:
                found[value.__name__.lower()] = value
    order = {name: place for place, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


for name, verb in find_verbs().items():
    app.command(name)(command(verb))


def say_version(asked: bool) -> None:
    """Prints which version this is, and of what it is made, and ends."""
    if asked:
        made_of = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "ray", "optuna"))
        try:
            version = metadata.version("zooscale")
        except metadata.PackageNotFoundError:
            version = f"of {verbs.__path__[0]}, not installed"
        show(f"zooscale {version} (Python {platform.python_version()}, {made_of})")
        raise typer.Exit


@app.callback()
def options_without_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """What can be asked without a verb."""


def run(arguments: Sequence[str]) -> int:
    """Runs a command line.

    Args:
        arguments: What follows the name of the program.

    Returns:
        0, or 1 for a failed run or a zoo with faults, 2 for bad input, 130 when interrupted (143 by SIGTERM).
    """
    with _interrupts() as interrupts:
        try:
            code = int(app(list(arguments), prog_name="zooscale", standalone_mode=False) or 0)
        except Exception as error:
            if not interrupts:
                return _explain(error)
            # Ctrl-C reaches Ray's processes as well, and their end may be noticed first.
            code = INTERRUPTED
    if code != INTERRUPTED:
        return code
    code = 128 + interrupts[0] if interrupts else code
    return _fail("stopped; the same command continues where it was", code)


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Notes every Ctrl-C or SIGTERM in the list that it yields, beside raising ``KeyboardInterrupt``."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield noted  # only the main thread receives signals
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _explain(error: Exception) -> int:
    """Says in a line what went wrong; returns the exit code."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        message = _refused_number(error) or error.format_message().rstrip(".")
        advice = f"{'' if message.endswith('?') else '.'} See: {context.command_path} --help" if context else ""
        return _fail(message + advice, error.exit_code)
    if os.environ.get("ZOOSCALE_DEBUG"):
        raise error
    message = _words(error) + own_line(error)
    if isinstance(error, ValueError | OSError) or _is_bad_input(error):
        return _fail(message, BAD_INPUT)
    if isinstance(error, NoResultError):
        return _fail(message, FAILED)
    return _fail(f"{type(error).__name__}: {message} (ZOOSCALE_DEBUG=1 shows the traceback)", FAILED)


def _refused_number(error: Exception) -> str:
    """What is wrong with an option's value; typer tells it in the words of the library that parses it."""
    option, told = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    if option is None or told is None or option.type_descriptor.annotation is not int:
        return ""
    ends = f"{option.min or 0} or more" if option.max is None else f"{option.min or 0} to {option.max:,}"
    return f"{option.opts[0]} is {told()[0]['input']!r}; allowed: a whole number, {ends}"


def _is_bad_input(error: Exception) -> bool:
    """Whether an error is about what the user named: a store, a zoo, a cluster."""
    from cluster.distributed.runtime import ClusterError
    from zoo.storage.errors import ZooError

    return isinstance(error, ZooError | ClusterError)


def _words(error: BaseException) -> str:
    """The message of an exception: one line, unless it lists something."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    lines = (line.rstrip() for line in str(error).splitlines())
    return "\n".join(filter(None, lines)) or type(error).__name__


def _fail(message: str, code: int) -> int:
    if message:  # a call without a verb has printed its help already
        sys.stderr.write(f"zooscale: {message}\n")
    return code
