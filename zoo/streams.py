"""Counter-based random streams: a draw depends on what it is for, never on when or where it is made."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.random.bit_generator import ISeedSequence


class Purpose(IntEnum):
    """What a stream is for; streams of different purposes are independent."""

    INITIALIZATION = 1
    ORDER = 2
    SUBSET = 3
    DROPOUT = 4
    RECIPE = 5
    WEIGHT_NOISE = 6
    ATTACK = 7


class _Key(ISeedSequence):
    """A Philox key that is used as it is: given as ``key=``, NumPy would also draw entropy that nobody uses."""

    def __init__(self, purpose: Purpose, seed: int) -> None:
        self.words = np.array([seed, int(purpose)], dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> np.ndarray:
        """Philox asks for its two words of 64 bits."""
        if (n_words, dtype) != (2, np.uint64):
            raise ValueError(f"{n_words} words of {dtype} were asked for; a Philox key has 2 of 64 bits")
        return self.words


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
    bits = np.random.Philox(_Key(purpose, seed), counter=counter)  # type: ignore[arg-type]  # the stub knows less
    return np.random.Generator(bits)
