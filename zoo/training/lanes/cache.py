"""Compiled kernels kept between processes, such that none is ever used for other code than it was compiled from.

Numba keeps compiled functions beside an index that knows the source file of the function, not of those it calls.
So each version of the sources gets a directory of its own: ``~/.cache/zooscale/kernels/<digest>``, where the digest is
of everything that the machine code depends on. Directories that nobody used for a month are removed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import UserProvidedCacheLocator

from zoo.architecture import activations, normalization
from zoo.population import optimizers
from zoo.training import dropout
from zoo.training.lanes.cpu import cpu

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
UNUSED_DAYS = 30


def sources() -> list[Path]:
    """The files that the kernel is compiled from: this folder, and those whose constants end up in machine code."""
    constants = [Path(str(module.__file__)) for module in (activations, normalization, dropout, optimizers)]
    return [*sorted(HERE.glob("*.py")), *constants]


def kernel_digest(files: Iterable[Path]) -> str:
    """What identifies machine code: its sources, compiler, Python and processor."""
    name, features = cpu()
    state = hashlib.sha256()
    for file in files:
        state.update(hashlib.sha256(file.read_bytes()).digest())
    versions = (numba.__version__, llvmlite.__version__, np.__version__, sys.version, name, *sorted(features))
    state.update(repr(versions).encode())
    return state.hexdigest()[:16]


def kernel_directory() -> Path | None:
    """Where this kernel is kept, made if need be; ``None`` where nothing can be written."""
    try:
        kernels = Path.home() / ".cache" / "zooscale" / "kernels"
        directory = kernels / kernel_digest(sources())
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
        os.utime(directory)
        remove_unused(kernels)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        logger.info("the compiled kernel is not kept and will be compiled again next time: %s", error)
        return None
    return directory


def remove_unused(kernels: Path) -> None:
    """Removes kernels that no process has begun to use for a month."""
    oldest = time.time() - UNUSED_DAYS * 86_400
    for directory in kernels.iterdir():
        if directory.stat().st_mtime < oldest:
            shutil.rmtree(directory, ignore_errors=True)


class KernelLocator(UserProvidedCacheLocator):
    """Where numba keeps machine code: in a kernel's folder itself, wherever the package is installed.

    Numba's own locator adds a folder named by the path of the source, so that the same kernel would be compiled again
    for each copy of the package.
    """

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        settings: Any = numba.config
        self._cache_path = settings.CACHE_DIR


def compiled_entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function that Python calls; its machine code is kept where :func:`kernel_directory` says.

    Numba's own settings are changed only meanwhile: other code in the process keeps its cache where it was.
    """
    directory = kernel_directory()
    settings: Any = numba.config
    users = settings.CACHE_DIR, settings.CACHE_LOCATOR_CLASSES
    settings.CACHE_DIR = str(directory or "")
    settings.CACHE_LOCATOR_CLASSES = f"{__name__}.{KernelLocator.__name__}"
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=directory is not None)(function)
    finally:
        settings.CACHE_DIR, settings.CACHE_LOCATOR_CLASSES = users
