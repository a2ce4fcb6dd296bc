"""SZ3, an error-bounded compressor of scientific data (Liang et al., IEEE Transactions on Big Data 2023).

Shape letters: M members, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode

from trainables.codecs.classical.blocks import WeightBlocks, scale_codes, scales_of, take
from trainables.codecs.classical.configs import Sz3Config
from zoo.data.examples import Examples
from zoo.population import Population


@dataclass(frozen=True, kw_only=True)
class Sz3(WeightBlocks):
    """SZ3 with an error bound and without its predictor: neighboring weights predict nothing.

    Members are divided by their mean magnitude (one byte each), so that those at different scales lose about as
    much; SZ3's own bound is absolute.

    Attributes:
        bound: Largest error of a weight, relative to its member's mean magnitude.
    """

    bound: float
    name: str = "sz3"

    @classmethod
    def fit(cls, config: Sz3Config, training: Population, examples: Examples) -> Sz3:  # noqa: ARG003
        """Needs the layout only."""
        return cls(training.architecture.layout, bound=config.bound)

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """See :class:`WeightBlocks`."""
        config = szConfig()
        config.errorBoundMode = szErrorBoundMode.ABS
        config.absErrorBound = self.bound
        config.cmprAlgo = szAlgorithm.NOPRED
        config.openmp = False
        codes_M = scale_codes(np.abs(weights_MP).mean(1))
        compressed, _ = sz.compress(weights_MP / scales_of(codes_M)[:, None], config)
        return codes_M.tobytes() + compressed.tobytes()

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        codes, stream = take(body, members)
        compressed = np.frombuffer(stream, dtype=np.uint8).copy()
        relative_MP, _ = sz.decompress(compressed, np.float32, (members, self.parameters))
        return relative_MP * scales_of(np.frombuffer(codes, dtype=np.uint8))[:, None]
