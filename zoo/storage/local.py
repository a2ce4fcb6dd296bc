"""Files that appear on local disk whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import BinaryIO

# A file being written; never listed, so that a crash leaves nothing that looks finished.
PARTIAL_SUFFIX = ".partial"
# What link() answers on file systems that have no hard links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
# So often a folder is made again that another process finds empty and removes before there is a file in it.
FOLDER_ATTEMPTS = 20


def replace_file(target: Path, data: bytes) -> None:
    """Writes a file, in place of one of that name."""
    _write_partial(target, data).replace(target)


def create_file(target: Path, data: bytes) -> bool:
    """Creates a file with its whole content in one step; False where it exists already."""
    if target.exists():
        return False
    partial = _write_partial(target, data)
    try:
        os.link(partial, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            return False
        partial.rename(target)  # whole, though not exclusive: equal names hold equal content
        return True
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def try_to_write(folder: Path) -> None:
    """Creates a file in a folder, or where that is going to be made, and deletes it; nothing is left.

    Raises:
        OSError: No file can be written there.
    """
    while not folder.exists():
        folder = folder.parent
    _write_partial(folder / "probe", b"").unlink()


def _write_partial(target: Path, data: bytes) -> Path:
    """Writes beside ``target``, down to the disk, under a name that is never listed."""
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    try:
        with _create(partial) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _create(path: Path) -> BinaryIO:
    """A new file, in a folder that is made where there is none."""
    for _ in range(FOLDER_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
    return path.open("xb")
