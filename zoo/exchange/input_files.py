"""Files of others, read within bounds: regular files alone, no more bytes than such a file can need.

A folder to import may hold anything: a pipe or a device, which never end; a small compressed file of many gigabytes;
JSON so deep that it cannot be walked through. Links are followed, also to other folders, since collections of weights
are often kept as links; what they lead to is held to the same.
"""

from __future__ import annotations

import gzip
import io
import json
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import ParserWarning

# Of a description in JSON, such as an architecture or the hyper-parameters of a network.
DESCRIPTION_BYTES = 1 << 18
# Of a file with one network's tensors, perhaps with an optimizer's state.
NETWORK_BYTES = 1 << 30
# Of a table, and of one of its lines.
TABLE_BYTES, LINE_BYTES = 1 << 30, 1 << 14
# Levels of lists and objects in JSON; a residual block in another is two levels deeper.
DEEPEST = 64
KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"))


def is_there(path: Path) -> bool:
    """Whether there is a file, or a link that should lead to one."""
    return path.exists() or path.is_symlink()


def require_regular(path: Path, most: int | None = None) -> None:
    """Raises ``ValueError`` where a path, links followed, is no regular file, or one of more than ``most`` bytes."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; put it back, or remove from the source what needs it") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); put a file there, or remove it") from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for test, words in KINDS if test(found.st_mode)), "a device")
        raise ValueError(f"{path} is {kind}; only regular files and links to them are read")
    if most is not None and found.st_size > most:
        raise ValueError(f"{path} has {found.st_size:,} bytes, a file like it has at most {most:,}; remove it")


def read_bytes(path: Path, most: int) -> bytes:
    """Reads a file, decompressed where its name ends in ``.gz``.

    Raises:
        ValueError: It cannot be read, or has more than ``most`` bytes, before or after decompression.
    """
    require_regular(path, most)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data: bytes = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error}); fetch it again, or remove it") from error
    if len(data) > most:
        raise ValueError(f"{path} has more than {most:,} bytes when it is unpacked, as no file like it has; remove it")
    return data


def read_text(path: Path, most: int = DESCRIPTION_BYTES) -> str:
    """Reads a text in UTF-8; ``ValueError`` as in :func:`read_bytes`, or where it is none."""
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text ({error}); fetch it again, or remove it") from error


def parse_json(text: str) -> Any:
    """Reads JSON; ``ValueError`` where it is none, or nested deeper than anything that is imported."""
    try:
        value = json.loads(text)
        level, depth = [value], 0
        while level:
            level, depth = [part for entry in level for part in _parts(entry)], depth + 1
            if depth > DEEPEST:
                raise RecursionError
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    return value


def read_json(path: Path, most: int = DESCRIPTION_BYTES) -> Any:
    """Reads a JSON file; ``ValueError`` as in :func:`read_text` and :func:`parse_json`, with its name."""
    text = read_text(path, most)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is no JSON that can be read ({error}); correct it, or fetch it again") from error


def read_table(path: Path, rows: int, columns: Iterable[str], **options: Any) -> pd.DataFrame:
    """Reads a table with commas and a header.

    Args:
        path: The file; compressed where its name ends in ``.gz``.
        rows: How many lines it can have below the header, by which its size is bounded.
        columns: Those that it must have.
        **options: For ``pandas.read_csv``.

    Raises:
        ValueError: It cannot be read, is larger, lacks a column, or has a line with more entries than columns.
    """
    data = read_bytes(path, min(TABLE_BYTES, (rows + 1) * LINE_BYTES))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)  # all lines have more entries than there are columns
            table = pd.read_csv(io.BytesIO(data), encoding="utf-8-sig", index_col=False, **options)
    except ParserWarning as error:
        raise ValueError(f"{path}: lines have more entries than there are columns; correct them") from error
    except ValueError as error:
        raise ValueError(f"{path} is no table of text with commas ({error}); correct it, or fetch it again") from error
    if lacking := [name for name in columns if name not in table.columns]:
        raise ValueError(f"{path} lacks the column {lacking[0]}; it has {', '.join(map(str, table.columns))}")
    return table


def require_uncompressed(path: Path) -> None:
    """Raises ``ValueError`` where a file is a zip archive that unpacks to more than it is; torch never writes one."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ValueError(f"{path} is a damaged archive ({error}); fetch it again, or remove it") from error
    if unpacked > path.stat().st_size:
        raise ValueError(
            f"{path} is a compressed archive of {unpacked:,} bytes, which torch.save does not write; unpack it, or "
            "remove it"
        )


def _parts(value: Any) -> Iterable[Any]:
    """The lists and objects in a list or object."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return ()
    return [part for part in value if isinstance(part, dict | list)]
