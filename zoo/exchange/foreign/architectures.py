"""Architectures as the user gives them for an import: a JSON file, described in ``docs/import.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.architecture import ARCHITECTURES, Architecture
from zoo.exchange.input_files import is_there, read_json

EXAMPLE = '{"builder": "cnn-2464", "input_shape": [1, 28, 28], "classes": 10, "activation": "tanh"}'


@dataclass(frozen=True, slots=True)
class GivenArchitecture:
    """An architecture, and where the user says so the names that its tensors have in the files.

    Attributes:
        architecture: The architecture.
        names: Names in the architecture's layout to names in the files, or ``None``.
    """

    architecture: Architecture
    names: Mapping[str, str] | None


def read_architecture(path: Path) -> GivenArchitecture:
    """Reads an architecture from a JSON file.

    Either whole, as ``Architecture.to_json`` writes it (``input_shape``, ``layers``), or by a builder: ``builder`` (a
    name in ``ARCHITECTURES``), ``input_shape``, ``classes``, and whatever else the builder takes (``hidden``,
    ``activation``, ``bias``). Beside it, ``names`` may say what the tensors are called in the files.

    Raises:
        ValueError: It cannot be read, or is no architecture.
    """
    if not is_there(path):
        raise ValueError(f"there is no architecture file {path}; write one such as {EXAMPLE}")
    value = read_json(path)
    try:
        if not isinstance(value, dict):
            raise TypeError(f"it holds a {type(value).__name__}, and not settings by name")
        names = value.pop("names", None)
        if names is not None and not (isinstance(names, dict) and all(isinstance(n, str) for n in names.values())):
            raise TypeError(f"names is {names!r}; allowed: names of the architecture's tensors with those in the files")
        return GivenArchitecture(_build(value), names)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"architecture file {path}: {reason}; an example is {EXAMPLE}") from error


def _build(value: dict[str, Any]) -> Architecture:
    if "layers" in value:
        return Architecture.from_json(value)
    options = dict(value)
    builder, shape, classes = (options.pop(name) for name in ("builder", "input_shape", "classes"))
    hidden = options.pop("hidden", [])
    # No module:attribute here: the file may have come with the networks, and must not choose what is called.
    if builder not in list(ARCHITECTURES):
        raise ValueError(f"builder is {builder!r}; allowed: {', '.join(ARCHITECTURES)}, or layers instead")
    for name, entry in (("input_shape", shape), ("hidden", hidden)):
        if not isinstance(entry, list):
            raise TypeError(f"{name} is {entry!r}; allowed: a list of positive integers")
    architecture: Architecture = ARCHITECTURES[builder](tuple(shape), tuple(hidden), classes, **options)
    return architecture
