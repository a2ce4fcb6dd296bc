"""Rows that were measured before: found again by what went into them, whatever report they were measured for.

A row is a function of networks, codec, evaluators and examples, all of which its content names by hashes, and of the
code that measures it. So an analysis that was stopped continues, a report with other codecs measures only those, and
a copied store has the rows of the store it was copied from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from analysis.measuring.evaluated import KeptParts
from analysis.measuring.results import Result
from analysis.measuring.rows import Row
from analysis.record import Progress
from zoo.config import canonical_json, digest
from zoo.storage.store import Store

ROWS = "rows"
# The rooms that measure, and of the one that also draws pages what measures.
OURS = ("zoo", "trainables", "analysis")
PAGES = ("pages", "report", "card")
# What rates and outputs depend on.
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "constriction", "pysz", "reedsolo")
REFERENCE = re.compile(r'"([A-Za-z_][\w.]*):[^"]+"')


class KeptRows:
    """The rows of one zoo in a store.

    Args:
        store: Where rows are kept; without one nothing is.
        zoo: Name of the zoo, that of their folder.
    """

    def __init__(self, store: Store | None, zoo: str) -> None:
        self._store, self._folder = store, f"{ROWS}/{zoo}"

    def __contains__(self, row: Row) -> bool:
        path = self._path(row)
        return self._store is not None and path is not None and self._store.exists(path)

    def keeps(self, row: Row) -> bool:
        """Whether a row can be kept at all."""
        return self._store is not None and self._path(row) is not None

    def measured(self, row: Row) -> Result:
        """The row's result: as it was kept, else measured now and kept."""
        path = self._path(row)
        if self._store is None or path is None:
            return row.measure()
        if (found := _read(self._store, path)) is None:
            parts = self.parts(row)
            found = self.put(row, row.measure() if row.cut is None else row.cut.measured(parts), parts)
        # The same codec on the same networks can have another name, and be another trial, in another study.
        trial = found.trial if row.trial is None else row.trial
        return dataclasses.replace(
            found,
            name=row.name,
            setting=row.setting,
            family=row.family,
            trial=trial,
            study=row.study,
            question=row.question,
        )

    def parts(self, row: Row) -> KeptParts:
        """What is kept of a row that is not whole yet."""
        path = self._path(row)
        return (
            KeptParts() if self._store is None or path is None else KeptParts(self._store, path.removesuffix(".json"))
        )

    def put(self, row: Row, result: Result, parts: KeptParts) -> Result:
        """Keeps a row that is whole, and no longer its parts."""
        path = self._path(row)
        if self._store is not None and path is not None:
            self._store.put(path, json.dumps(result.to_record()).encode())
            parts.drop()
        return result

    def _path(self, row: Row) -> str | None:
        """Where the row is kept; ``None`` for one that cannot be, for its code cannot be told from other code."""
        content = canonical_json(row.content)
        code = own_code(set(REFERENCE.findall(content)))
        return None if code is None else f"{self._folder}/{digest([content, our_code(), code])[:32]}.json"


def _read(store: Store, path: str) -> Result | None:
    """A kept result; ``None`` where there is none, or none that can be read."""
    try:
        return Result.from_record(json.loads(store.read(path)))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def measure_rows(rows: Sequence[Row], kept: KeptRows, progress: Progress | None = None) -> list[Result]:
    """The results of some rows, in their order.

    Args:
        rows: What is measured.
        kept: Rows that were measured before.
        progress: Called with rows measured, rows in all, and the name of the next.
    """
    results: list[Result] = []
    for row in rows:
        if progress is not None:
            progress(len(results), len(rows), f"{row.name} {row.setting}".strip())
        results.append(kept.measured(row))
    if progress is not None:
        progress(len(rows), len(rows), "")
    return results


@cache
def our_code() -> str:
    """Hash of the code that measures, and of the versions of what it computes with."""
    files = []
    for package in OURS:
        root = Path(str(importlib.import_module(package).__file__)).parent
        own = sorted(path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in PAGES)
        files += [(f"{package}/{path.relative_to(root)}", path) for path in own]
    return digest({"files": _hashes(files), "libraries": {name: _version(name) for name in LIBRARIES}})


def own_code(modules: Iterable[str]) -> dict[str, str] | None:
    """Hashes of the user's own modules that a row names as ``module:attribute``, and of those loaded from beside them.

    Args:
        modules: Names of modules; those that are not loaded do not count: nothing of them was called.

    Returns:
        ``None`` where one of them has no file, as what is written in a notebook.
    """
    named = [sys.modules[name] for name in modules if name in sys.modules and name.partition(".")[0] not in OURS]
    if not named:
        return {}
    files = [getattr(module, "__file__", None) for module in named]
    if None in files:
        return None
    if not files:
        return {}
    folders = {Path(str(file)).parent for file in files}
    beside = {name: Path(getattr(module, "__file__", None) or "") for name, module in list(sys.modules.items())}
    return _hashes(sorted((name, path) for name, path in beside.items() if path.parent in folders))


def _hashes(files: Iterable[tuple[str, Path]]) -> dict[str, str]:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files if path.is_file()}


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
