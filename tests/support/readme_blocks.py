"""The Python blocks of the README."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks() -> list[str]:
    """All of them, in order."""
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def modules() -> dict[str, str]:
    """Those that are files of a user's: they begin with a comment that names the file."""
    return {match[1]: block for block in blocks() if (match := re.match(r"# (\w+\.py)\n", block))}
