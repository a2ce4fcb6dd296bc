"""How much memory a fit takes, and how much there is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# A worker with Ray and torch, and what fits take whatever they see: measured 0.8 GB with autoencoders of digits.
FIT_BYTES = 10**9
# A fit's own copies of the weights that it sees at the worst moment: measured 4.3 for autoencoders, 3.8 for predictors
# and 1 for codecs. What all fits share lies in the memory of each node once.
WEIGHT_COPIES = 5
MEMORY_INFO = Path("/proc/meminfo")
# What a container may take, and what it takes, by version 2 and 1 of control groups.
GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def fit_memory(weights_bytes: int) -> int:
    """About how much memory a fit takes that sees so many bytes of weights."""
    return FIT_BYTES + WEIGHT_COPIES * weights_bytes


def free_memory() -> int:
    """How much memory of this machine, or of the container, is free; where that is not told, how much there is."""
    found = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        line = next(line for line in MEMORY_INFO.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    for limit, usage in GROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            found.append(int(limit.read_text()) - int(usage.read_text()))
    return max(min(found, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")), 0)
