"""What the processor offers to the compiled kernel."""

from __future__ import annotations

import platform
from typing import Any

import llvmlite.binding
import numba


def cpu() -> tuple[str, frozenset[str]]:
    """The name and the vector extensions that code is compiled for: the host's, unless Numba is told others."""
    settings: Any = numba.config
    if settings.CPU_NAME:
        given = (settings.CPU_FEATURES or "").split(",")
        return settings.CPU_NAME, frozenset(feature[1:] for feature in given if feature.startswith("+"))
    features = llvmlite.binding.get_host_cpu_features()
    return llvmlite.binding.get_host_cpu_name(), frozenset(name for name, present in features.items() if present)


def obstacle() -> str | None:
    """Why the kernel would not be fast here; ``None`` where it is."""
    machine, (name, features) = platform.machine().lower(), cpu()
    if machine in ("arm64", "aarch64") or {"avx2", "fma"} <= features:
        return None
    return f"the processor ({name}, {machine}) has neither AVX2 with FMA nor NEON"


def register_lanes() -> int:
    """How many float32 one register holds."""
    _, features = cpu()
    return 16 if "avx512f" in features else 8 if "avx2" in features else 4


def registers() -> int:
    """How many vector registers there are."""
    return 16 if register_lanes() == 8 else 32
