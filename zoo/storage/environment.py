"""What a shard was computed with: recorded beside it, not part of its identity."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

LIBRARIES = ("zooscale", "numpy", "numba", "llvmlite", "pyarrow")
# Vector extensions that decide which kernels run, and so the last bits of a result.
VECTOR_FLAGS = ("sse4", "avx", "fma", "amx", "asimd", "sve")


@cache
def environment(backend: str = "") -> dict[str, object]:
    """Library versions and CPU flags of this process, as JSON values.

    Args:
        backend: What trained, names in ``zoo.training.backend.BACKENDS`` joined by commas; empty where nothing was.
    """
    return {
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES} | {"torch": str(torch.__version__)},
        "backend": backend,
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_flags": _cpu_flags(),
    }


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # zooscale itself, run from a source folder
        return "not installed"


def _cpu_flags(source: Path = Path("/proc/cpuinfo")) -> list[str]:
    """The CPU's vector extensions where the system tells."""
    try:
        lines = source.read_text().splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return sorted({flag for flag in flags.partition(":")[2].split() if flag.startswith(VECTOR_FLAGS)})
