"""What the source says of fields: the card repeats it, so that nobody has to look it up."""

from __future__ import annotations

import inspect
import re


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
