"""Bytes whose bits flip at random, with a code that corrects them or without.

The code is Reed and Solomon's (Journal of the SIAM 8, 1960), by the package reedsolo: words of at most 255 bytes, in
each of which half as many wrong bytes are corrected as it has check bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from reedsolo import ReedSolomonError, RSCodec


@dataclass(frozen=True, slots=True)
class Protection:
    """How bytes are protected.

    Attributes:
        check_bytes: In each word of at most 255 bytes; 0 for no correction.
    """

    check_bytes: int

    @property
    def name(self) -> str:
        """In tables."""
        return f"Reed-Solomon with {self.check_bytes} check bytes" if self.check_bytes else "no correction"

    def protect(self, data: bytes) -> bytes:
        """What is stored in place of some bytes."""
        return bytes(_code(self.check_bytes).encode(data)) if self.check_bytes else data

    def correct(self, stored: bytes) -> bytes | None:
        """The inverse of :meth:`protect`, exact where no word has more wrong bytes than are corrected.

        Beyond, it is ``None``, or now and then other bytes: checksums tell.
        """
        if not self.check_bytes:
            return stored
        try:
            return bytes(_code(self.check_bytes).decode(stored)[0])
        except ReedSolomonError:
            return None


# Without correction, with the usual number of check bytes, and with four times as many.
PROTECTIONS = (Protection(0), Protection(16), Protection(64))


@cache
def _code(check_bytes: int) -> RSCodec:
    return RSCodec(check_bytes)


def flipped(data: bytes, rate: float, generator: np.random.Generator) -> bytes:
    """Bytes of which each bit has flipped with a probability.

    Raises:
        ValueError: The rate is no probability up to one half.
    """
    if not 0 <= rate <= 0.5:
        raise ValueError(f"rate is {rate}; allowed: 0 to 0.5")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    return np.packbits(bits ^ (generator.random(len(bits)) < rate)).tobytes()
