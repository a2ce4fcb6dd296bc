"""Bytes whose bits flip at random, with a code that corrects them or without.

The code is Hamming's (Bell System Technical Journal 29, 1950) with 64 data bits and 7 check bits, as memory uses it:
it corrects one flip in 71 bits. No library for error correction is among what the project needs, and
this one is a few lines: the numbers of the places whose bit is set add up, without carries, to the place of the flip.

Shape letters: W words, D data bits (64), L bits of a code word (71).
"""

from __future__ import annotations

import numpy as np

DATA_BITS, WORD_BITS = 64, 71
_PLACES_L = np.arange(1, WORD_BITS + 1)
_IS_CHECK_L = (_PLACES_L & (_PLACES_L - 1)) == 0


def flipped(data: bytes, rate: float, generator: np.random.Generator) -> bytes:
    """Bytes of which each bit has flipped with a probability.

    Raises:
        ValueError: The rate is no probability up to one half.
    """
    if not 0 <= rate <= 0.5:
        raise ValueError(f"rate is {rate}; allowed: 0 to 0.5")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    return np.packbits(bits ^ (generator.random(len(bits)) < rate)).tobytes()


def protect(data: bytes) -> bytes:
    """Bytes in code words, zeros behind them up to a whole number of words and of bytes."""
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    words = -(-len(bits) // DATA_BITS)
    word_WL = np.zeros((words, WORD_BITS), dtype=np.uint8)
    word_WL[:, ~_IS_CHECK_L] = np.pad(bits, (0, words * DATA_BITS - len(bits))).reshape(words, DATA_BITS)
    syndrome_W1 = _syndromes(word_WL)[:, None]
    word_WL[:, _IS_CHECK_L] = (syndrome_W1 & _PLACES_L[_IS_CHECK_L]) > 0
    return np.packbits(word_WL.ravel()).tobytes()


def correct(data: bytes, length: int) -> bytes:
    """The inverse of :func:`protect`: so many bytes, exact where no word has more than one flipped bit.

    Raises:
        ValueError: There are too few bytes for this length.
    """
    words = -(-8 * length // DATA_BITS)
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    if len(bits) < words * WORD_BITS:
        raise ValueError(f"{len(data)} bytes hold {len(bits) // WORD_BITS} words; {length} bytes of data need {words}")
    word_WL = bits[: words * WORD_BITS].reshape(words, WORD_BITS).copy()
    syndrome_W = _syndromes(word_WL)
    wrong_W = np.flatnonzero((syndrome_W > 0) & (syndrome_W <= WORD_BITS))
    word_WL[wrong_W, syndrome_W[wrong_W] - 1] ^= 1
    return np.packbits(word_WL[:, ~_IS_CHECK_L].ravel()).tobytes()[:length]


def _syndromes(word_WL: np.ndarray) -> np.ndarray:
    """Of each word the places of its set bits, added without carries: 0 where none flipped."""
    found_W: np.ndarray = np.bitwise_xor.reduce(word_WL * _PLACES_L, axis=1)
    return found_W
