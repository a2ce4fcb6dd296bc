"""Makes ``zoo``, ``analysis`` and the others mean those of this program, whatever the user's folder has of these names.

Python looks for modules along ``sys.path``, where the current folder can come before ours: with ``python -m``, with
``PYTHONPATH``, in workers of Ray, and with an editable install always. Imports nothing of ours, and workers are sent
it by value: until it has run, any of our names may be the user's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = str(Path(__file__).resolve().parents[1])
PACKAGES = ("analysis", "cluster", "search_spaces", "trainables", "zoo", "zooscale")


class OwnPackages:
    """Finds our packages beside this one, and nothing else; where they are not there, the path is asked as ever."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As ``importlib.abc.MetaPathFinder`` says."""
        return PathFinder.find_spec(name, [ROOT], target) if path is None and name in PACKAGES else None


def put_first() -> None:
    """From now on our packages are imported from here."""
    sys.meta_path.insert(0, OwnPackages)
