"""Counter-based random streams: a draw depends on what it is for, never on when or where it is made."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; streams of different purposes are independent."""

    INITIALISATION = 1
    ORDER = 2
    SUBSET = 3
    DROPOUT = 4
    RECIPE = 5


def stream(purpose: Purpose, seed: int, *counters: int) -> np.random.Generator:
    """A generator for (purpose, seed, counters).

    Args:
        purpose: What the numbers are for.
        seed: 0 to 2**64 - 1.
        counters: At most two further coordinates, such as an epoch or an index; each 0 to 2**64 - 1.

    Returns:
        A Philox generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) whose
        128-bit key is (seed, purpose) and whose upper counter words are ``counters``.

    Raises:
        ValueError: The seed is out of range.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}; allowed: 0 to 2**64 - 1")
    words = [0, 0, *counters, *([0] * (2 - len(counters)))]
    counter = sum(word << (64 * position) for position, word in enumerate(words))
    key = (int(purpose) << 64) | seed
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
