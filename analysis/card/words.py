"""What the source says of recipes and fields: the card repeats it, so that nobody has to look it up."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from itertools import pairwise
from typing import Any


def attribute_words(cls: type) -> dict[str, str]:
    """For each field of a class, what its docstring's ``Attributes`` section says of it."""
    text = inspect.getdoc(cls) or ""
    _, found, section = text.partition("Attributes:\n")
    words: dict[str, str] = {}
    name = ""
    for line in section.splitlines() if found else ():
        if line and not line.startswith(" "):
            break
        match = re.match(r" {4}(\w+)(?: \([^)]*\))?: (.*)", line)
        if match:
            name, words[match[1]] = match[1], match[2]
        elif name and line.strip():
            words[name] += " " + line.strip()
    return {name: text.replace("``", "") for name, text in words.items()}


def object_words(value: Any, package: str) -> str:
    """The docstring below the assignment of a module's attribute that has the name of ``value``; empty without one.

    Args:
        value: A recipe, say; what has a ``name``.
        package: Loaded modules of this name, or in this package, are looked through.
    """
    modules = [module for name, module in sorted(sys.modules.items()) if f"{name}.".startswith(f"{package}.")]
    for module in modules:
        names = {
            name
            for name, entry in vars(module).items()
            if type(entry) is type(value) and getattr(entry, "name", None) == value.name
        }
        if not names:
            continue
        try:
            body = ast.parse(inspect.getsource(module)).body
        except (OSError, SyntaxError):  # the source is not there
            continue
        for statement, following in pairwise(body):
            target = _assigned(statement)
            if target in names and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                return _paragraphs(str(following.value.value))
    return ""


def _paragraphs(docstring: str) -> str:
    """A docstring with each paragraph on one line."""
    paragraphs = inspect.cleandoc(docstring).replace("``", "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _assigned(statement: ast.stmt) -> str:
    """The one name that a statement assigns to."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target: ast.expr = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return ""
    return target.id if isinstance(target, ast.Name) else ""
