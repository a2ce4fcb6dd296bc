"""The Python blocks of the README and of ``docs/extending.md``."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs/extending.md")


def blocks() -> list[str]:
    """All of them, in order."""
    return [block for each in DOCUMENTS for block in re.findall(r"```python\n(.*?)```", each.read_text(), re.DOTALL)]


def modules() -> dict[str, str]:
    """Those that are files of a user's: they begin with a comment that names the file."""
    return {match[1]: block for block in blocks() if (match := re.match(r"# (\w+\.py)\n", block))}
