"""``--set field=value`` and its named short forms: text into the fields of a configuration, by their types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

ConfigT = TypeVar("ConfigT")

WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_value(text: str, kind: Any) -> Any:
    """Reads ``text`` as a value of type ``kind``.

    Args:
        text: What stands behind the equals sign; entries of a tuple are separated by commas.
        kind: ``int``, ``float``, ``str``, ``bool``, a ``tuple`` of these, a ``Literal``, or one of these or ``None``.

    Raises:
        ValueError: The text is not such a value.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in arguments:
            return None
        return parse_value(text, next(argument for argument in arguments if argument is not type(None)))
    if origin is typing.Literal:
        return parse_value(text, type(arguments[0]))
    if origin is tuple:
        parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(parse_value(part, arguments[0]) for part in parts)
        if len(parts) != len(arguments):
            raise ValueError(f"expected {len(arguments)} values separated by commas")
        return tuple(parse_value(part, entry) for part, entry in zip(parts, arguments, strict=True))
    if kind is bool:
        if text.lower() not in WORDS:
            raise ValueError(f"expected one of {', '.join(WORDS)}")
        return WORDS[text.lower()]
    if kind in (int, float, str):
        return kind(text)
    raise ValueError(f"fields of type {kind} cannot be set from the command line")


def parse_assignments(assignments: Sequence[str], *classes: type) -> list[dict[str, Any]]:
    """Turns ``["batch_size=32", "hidden=16,16"]`` into values of the fields of configuration classes.

    Args:
        assignments: What the user set.
        classes: Where the fields may belong; to the first one that has a field of that name.

    Returns:
        For each class, the values of its fields.

    Raises:
        ValueError: An entry is not ``field=value``, no class has such a field (the message lists those they have),
            or the value does not fit the field's type.
    """
    known = {cls: [field.name for field in dataclasses.fields(cls) if field.init] for cls in classes}
    values: dict[type, dict[str, Any]] = {cls: {} for cls in classes}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"--set {assignment!r} is not of the form field=value")
        owner = next((cls for cls in classes if name in known[cls]), None)
        if owner is None:
            listing = "; ".join(f"those of {cls.__name__} are {', '.join(known[cls])}" for cls in classes)
            raise ValueError(f"there is no field {name!r}; {listing}")
        try:
            values[owner][name] = parse_value(text, typing.get_type_hints(owner)[name])
        except ValueError as error:
            raise ValueError(f"--set {name}={text!r}: {error}") from error
    return list(values.values())


def changed(config: ConfigT, named: Mapping[str, Any], settings: Mapping[str, Any]) -> ConfigT:
    """A copy of a configuration with fields changed.

    Args:
        config: A configuration dataclass.
        named: Values of named options; those not given are ``None`` and change nothing.
        settings: Values from ``--set``, which count as they are.

    Raises:
        ValueError: A field is both in ``named`` and in ``settings``, or the configuration refuses a value.
    """
    given = {field: value for field, value in named.items() if value is not None}
    both = sorted(set(given) & set(settings))
    if both:
        raise ValueError(f"{', '.join(both)} is given twice: by an option of its own and by --set")
    return dataclasses.replace(config, **given, **settings)  # type: ignore[type-var]
