"""Configurations: canonical JSON, digests, and strict construction from dictionaries."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from zoo.words import nearest

ConfigT = TypeVar("ConfigT")

# Installed packages of which module:attribute is imported, with commas.
TRUST_VARIABLE = "ZOOSCALE_TRUST"
INSTALLED = {"site-packages", "dist-packages"}
# Of this distribution.
PACKAGES = ("analysis", "cluster", "search_spaces", "trainables", "zoo", "zooscale")


def to_json(value: Any) -> Any:
    """Turns a configuration into plain JSON values.

    Args:
        value: A dataclass instance, an object with its own ``to_json``, or nested plain values.

    Returns:
        Dictionaries, lists, strings, numbers, booleans and ``None`` only.
    """
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"cannot write a {type(value).__name__} as JSON: {value!r}")


def canonical_json(value: Any) -> str:
    """Writes ``value`` as JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Returns the sha256 (hexadecimal) of the canonical JSON of ``value``: its identity."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def from_json(cls: type[ConfigT], mapping: Mapping[str, Any]) -> ConfigT:
    """Builds a flat configuration dataclass from a dictionary; lists become tuples.

    Raises:
        ValueError: A key is not a field of ``cls``, or a field without a default is missing; the message lists
            the known ones, or those that are missing.
    """
    known = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}; its fields are {', '.join(known)}")
    missing = [
        field.name
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.init
        and field.name not in mapping
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{cls.__name__} lacks {', '.join(missing)}; given: {', '.join(mapping) or 'nothing'}")
    return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in mapping.items()})


def attribute_words(cls: type) -> dict[str, str]:
    """For each field of a class, what its docstring's ``Attributes`` section says of it."""
    section = re.split(r"\n(?=\S)", (inspect.getdoc(cls) or "").partition("Attributes:\n")[2])[0]
    found = re.findall(r"^ {4}(\w+)(?: \([^)]*\))?: (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()) for name, text in found}


def require(condition: bool, config: object, field: str, allowed: str) -> None:
    """Raises a ``ValueError`` that names the field, its value and what is allowed unless ``condition``."""
    if not condition:
        value = getattr(config, field)
        raise ValueError(f"{type(config).__name__}.{field} is {value!r}; allowed: {allowed}")


def lookup(registry: Mapping[str, Any], name: str, what: str) -> Any:
    """Finds a registry entry, or imports ``module:attribute``.

    Names also come with zoos that others made. So modules of the user's own are imported, that is, such as lie in the
    current folder or elsewhere on Python's path; of installed packages only those that the environment variable
    ``ZOOSCALE_TRUST`` names, with commas; nothing of Python's standard library: ``os:abort``.

    Args:
        registry: The built-in entries.
        name: A key of ``registry``, or ``module:attribute`` for an entry of the user's own.
        what: What the entries are, for the error message ("recipe", "data set").

    Raises:
        ValueError: There is no such entry, or it is not to be imported; the message lists those there are, or says
            how to allow it. Or its module fails; the message says in which line.
    """
    if name in registry:
        return registry[name]
    module_name, separator, attribute = name.partition(":")
    if not separator or not all(part.isidentifier() for part in module_name.split(".")):
        raise ValueError(
            f"unknown {what} {name!r}; {nearest(name, registry)}known: {', '.join(sorted(registry))}, or "
            "module:attribute for your own"
        )
    if clash := _namesake(module_name):
        raise ValueError(f"{what} {name!r}: {clash}")
    _require_own(module_name.partition(".")[0], f"{what} {name!r}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # it is the user's code, which can fail in every way
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"{what} {name!r}: module {error.name!r} cannot be imported from here; run in the folder that holds it"
            ) from error
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        clash = _namesake(message) if isinstance(error, ImportError | AttributeError) else ""
        raise ValueError(
            f"{what} {name!r}: module {module_name!r} cannot be imported: {type(error).__name__}: {message}"
            f"{own_line(error)}{clash and f'; {clash}'}"
        ) from error
    if not hasattr(module, attribute):
        raise ValueError(f"{what} {name!r}: module {module_name!r} has no attribute {attribute!r}")
    return getattr(module, attribute)


def _namesake(words: str) -> str:
    """Advice where words name one of our packages and the current folder has another of that name; else nothing."""
    here = Path.cwd()
    for package in () if here == Path(__file__).resolve().parents[1] else PACKAGES:
        if re.search(rf"\b{package}\b", words):
            for file in (here / f"{package}.py", *(here / package).glob("*.py")):
                if file.is_file():
                    return f"{file} has the name of a package of zooscale, which comes first; rename it"
    return ""


def own_line(error: BaseException) -> str:
    """Where in the user's own code an error arose, in brackets to follow its message; empty where none is involved.

    The user's own code is what is neither installed nor of this program. Of the calls that led to the error, the last
    one in such a file counts.
    """
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    here = Path(__file__).resolve().parents[1]
    for filename, line in reversed(places):
        file = Path(filename)
        of_ours = any(file.resolve().is_relative_to(here / package) for package in PACKAGES)
        if file.is_file() and not of_ours and not _is_installed(file):
            shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
            return f" ({shown}, line {line})"
    return ""


def _require_own(package: str, named: str) -> None:
    """Raises a ``ValueError`` where a package is neither the user's own code nor trusted; imports nothing."""
    if package in sys.stdlib_module_names:
        raise ValueError(f"{named}: {package} is of Python's standard library; name a module of your own")
    if package in os.environ.get(TRUST_VARIABLE, "").replace(",", " ").split():
        return
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # the user's script or notebook, which is imported already and has no specification
        return
    places = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or ())]
    if any(_is_installed(Path(place)) for place in places):
        raise ValueError(
            f"{named}: {package} is an installed package, and the zoos of others can name any function of it; set "
            f"{TRUST_VARIABLE}={package} if it is yours or you trust the zoo"
        )


def _is_installed(place: Path) -> bool:
    """Whether a module lies where pip installs to, or among Python's own.

    Packages also bring scripts, which can be imported where the command line runs as one of them: ``bottle:run``.
    """
    schemes = sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")
    folders = [sysconfig.get_path("stdlib"), *(sysconfig.get_path("scripts", scheme) for scheme in schemes)]
    return bool(INSTALLED.intersection(place.parts)) or any(place.is_relative_to(folder) for folder in folders)
