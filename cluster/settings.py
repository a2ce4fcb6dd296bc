"""``--set field=value`` and its named short forms: text into the fields of a configuration, by their types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from zoo.recipes import Axis, Recipe
from zoo.words import nearest

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
    if kind is str:
        return text
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            raise ValueError(f"expected a {'whole number' if kind is int else 'number'}, not {text!r}") from error
    raise ValueError(f"fields of type {kind} cannot be set from the command line")


def parse_fields(
    assignments: Sequence[str], known: Mapping[str, Mapping[str, Callable[[str], Any]]]
) -> list[dict[str, Any]]:
    """Turns ``["batch_size=32", "hidden=16,16"]`` into values of fields.

    Args:
        assignments: What the user set.
        known: For each group of fields, under what the message calls it, how the text of each is read. A field
            belongs to the first group that has one of its name.

    Returns:
        For each group, the values of its fields.

    Raises:
        ValueError: An entry is not ``field=value``, there is no such field (the message lists those there are), or
            the value does not fit the field.
    """
    values: dict[str, dict[str, Any]] = {group: {} for group in known}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"--set {assignment!r} is not of the form field=value")
        group = next((group for group, fields in known.items() if name in fields), None)
        if group is None:
            listing = "; ".join(f"those of {group} are {', '.join(fields)}" for group, fields in known.items())
            suggestion = nearest(name, [name for fields in known.values() for name in fields])
            raise ValueError(f"there is no field {name!r}; {suggestion}{listing}")
        try:
            values[group][name] = known[group][name](text)
        except ValueError as error:
            raise ValueError(f"--set {name}={text!r}: {error}") from error
    return list(values.values())


def readers(cls: type) -> dict[str, Callable[[str], Any]]:
    """For each field of a configuration class, how its text is read."""
    kinds = typing.get_type_hints(cls)
    return {field.name: partial(parse_value, kind=kinds[field.name]) for field in dataclasses.fields(cls) if field.init}


def parse_assignments(assignments: Sequence[str], *classes: type) -> list[dict[str, Any]]:
    """For each configuration class, the values of its fields; as :func:`parse_fields`."""
    return parse_fields(assignments, {cls.__name__: readers(cls) for cls in classes})


def parse_recipe_settings(assignments: Sequence[str], recipe: Recipe) -> dict[str, Any]:
    """Turns ``["epochs=5", "optimizer=adam,sgd"]`` into values of a recipe's fields, with new axes among the others.

    Raises:
        ValueError: As of :func:`parse_fields` and :func:`parse_axis`.
    """
    common = {name: read for name, read in readers(Recipe).items() if name != "axes"}
    axes = {name: partial(parse_axis, kind=kind, before=recipe.axes.get(name)) for name, kind in recipe.kinds.items()}
    values, drawn = parse_fields(assignments, {"all members": common, "what members can differ in": axes})
    return {**values, "axes": {**recipe.axes, **drawn}} if drawn else values


def parse_axis(text: str, kind: Any, before: Axis | None) -> Axis:
    """Reads ``text`` as an axis of a recipe.

    Args:
        text: A value; several separated by commas, or by slashes where a value is itself a tuple (``16/16,16``); or
            the two ends of a range, ``1e-3..1e-2``.
        kind: Type of a value, as for :func:`parse_value`.
        before: The axis in whose place it comes, if there is one; it keeps that one's level, and a range that one's
            scale.

    Raises:
        ValueError: The text is no such axis.
    """
    level = before.level if before else ""
    low, dots, high = text.partition("..")
    if dots and kind in (int, float):
        ends = (parse_value(low, kind), parse_value(high, kind))
        scale = (
            before.scale if before and before.range else "whole" if kind is int else "log" if ends[0] > 0 else "linear"
        )
        return Axis(range=ends, scale=scale, level=level)
    parts = text.split("/" if typing.get_origin(kind) is tuple else ",")
    return Axis(choices=tuple(parse_value(part.strip(), kind) for part in parts), level=level)


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
