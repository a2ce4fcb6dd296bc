"""What a verb is, and how its options become a command line.

A verb is one file in ``cluster/verbs``: a frozen dataclass whose fields are its options, with ``run`` and, where it
works for long, ``plan``; and the record that each of them returns. The command line, its help, ``--dry-run`` and
``--json`` are made from these:

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Count(Verb):
        \"\"\"Count the zoos of a store.\"\"\"

        store: options.Store = "./store"

        def run(self) -> Counted:
            from zoo.storage.catalog import list_zoos

            return Counted(zoos=len(list_zoos(existing_store(self.store))))

From Python it is ``Count(store="s3://bucket/zoos").run()``. Help loads every verb, so what takes long to load (torch,
numpy, pandas, Ray, Optuna) is imported inside the methods.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from cluster import options
from cluster.display import show
from zoo.config import to_json

FAILED = 1


class NoResultError(RuntimeError):
    """A verb has worked and has nothing to show for it; the message tells the user why."""


class Result(ABC):
    """What a verb did or would do: a frozen dataclass, whose fields are what ``--json`` prints."""

    __slots__ = ()

    @property
    @abstractmethod
    def text(self) -> str:
        """The same in words."""

    @property
    def exit_code(self) -> int:
        """What the command ends with; 1 where it has found a fault."""
        return 0


class Verb(ABC):
    """What the command line can do: a frozen dataclass of options, named like the verb.

    Attributes:
        answers: Whether there is a result to print, as JSON too: not for what runs until it is stopped.
    """

    __slots__ = ()
    answers: ClassVar[bool] = True

    @abstractmethod
    def run(self) -> Result:
        """Does it."""


class Planned(Verb):
    """A verb that can say beforehand what it would do: it has ``--dry-run``."""

    __slots__ = ()

    @abstractmethod
    def plan(self) -> Result:
        """Says what ``run`` would do, its size and how long it takes; writes nothing."""


def command(verb: type[Verb]) -> Callable[..., int]:
    """A function with the options of a verb, for typer: runs the verb, shows its result, returns the exit code."""
    hints = typing.get_type_hints(verb, include_extras=True)
    annotations = {field.name: hints[field.name] for field in dataclasses.fields(verb)}  # type: ignore[arg-type]
    defaults = {field.name: field.default for field in dataclasses.fields(verb)}  # type: ignore[arg-type]
    if issubclass(verb, Planned):
        annotations["dry_run"], defaults["dry_run"] = options.DryRun, False
    if verb.answers:
        annotations["as_json"], defaults["as_json"] = options.Json, False

    def call(*, dry_run: bool = False, as_json: bool = False, **given: Any) -> int:
        chosen = verb(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
        if dry_run and isinstance(chosen, Planned):
            result, asked = chosen.plan(), {"options": to_json(chosen)}
        else:
            result, asked = chosen.run(), {}
        show({**asked, **to_json(result)} if as_json else result.text)
        return result.exit_code

    call.__doc__ = verb.__doc__
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if defaults[name] is dataclasses.MISSING else defaults[name],
                annotation=_for_typer(annotation),
            )
            for name, annotation in annotations.items()
        ]
    )
    return call


def _for_typer(annotation: Any) -> Any:
    """The type of an option that may be given several times is a list for typer."""
    if typing.get_origin(annotation) is Annotated and typing.get_origin(annotation.__origin__) is tuple:
        return Annotated[list[str], *annotation.__metadata__]
    return annotation
