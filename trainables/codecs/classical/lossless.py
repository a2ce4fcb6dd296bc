"""Lossless coding: bytes of equal significance together, then zstandard.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trainables.codecs.classical.blocks import WeightBlocks
from trainables.codecs.classical.configs import LosslessConfig
from zoo.data.examples import Examples
from zoo.population import Population

LEVEL = 19


@dataclass(frozen=True)
class ByteSplitZstd(WeightBlocks):
    """Float32 weights, split by byte (sign and exponent compress, mantissas hardly), compressed by zstandard."""

    name: str = "zstd"

    @classmethod
    def fit(cls, config: LosslessConfig, training: Population, examples: Examples) -> ByteSplitZstd:  # noqa: ARG003
        """Needs the layout only."""
        return cls(training.architecture.layout)

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """See :class:`WeightBlocks`."""
        planes = weights_MP.astype("<f4").view(np.uint8).reshape(-1, 4).T
        return pa.Codec("zstd", compression_level=LEVEL).compress(planes.tobytes(), asbytes=True)

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        size = 4 * members * self.parameters
        try:
            planes = pa.Codec("zstd").decompress(body, decompressed_size=size, asbytes=True)
        except OSError as error:
            raise ValueError(f"a payload body of {len(body)} bytes is no zstandard stream: {error}") from error
        return np.frombuffer(planes, dtype=np.uint8).reshape(4, -1).T.copy().view("<f4").reshape(members, -1)
