"""Scalar quantization: float16, and a uniform grid with an entropy coder.

Shape letters: M members, P parameters, T tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainables.codecs.cells import Numbers
from trainables.codecs.classical.blocks import (
    SCALE_BITS,
    WeightBlocks,
    by_tensor,
    halves,
    mean_magnitudes,
    of_tensors,
    scale_codes,
    scales_of,
    take,
    tensor_of_parameter,
)
from trainables.codecs.classical.configs import LosslessConfig, UniformConfig
from trainables.codecs.entropy import Decoder, Encoder, LaplaceColumns, whole
from zoo.data.examples import Examples
from zoo.population import Population


@dataclass(frozen=True)
class Float16(WeightBlocks):
    """Weights as half-precision numbers."""

    name: str = "float16"

    @classmethod
    def fit(cls, config: LosslessConfig, training: Population, examples: Examples) -> Float16:  # noqa: ARG003
        """Needs the layout only."""
        return cls(training.architecture.layout)

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`: the weights themselves, by tensor."""
        halves_MP = halves(self.checked(population)).astype(np.float64)
        return Numbers(by_tensor(halves_MP, self.layout), 0.0, lambda read: of_tensors(read, self.layout))

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """See :class:`WeightBlocks`; numbers beyond float16's range become its largest."""
        return halves(weights_MP).tobytes()

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        weights, _ = take(body, 2 * members * self.parameters)
        return np.frombuffer(weights, dtype="<f2").reshape(members, -1).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Uniform(WeightBlocks):
    """Weights rounded to a uniform grid; symbols coded under a Laplace distribution for each tensor.

    The grid's step is proportional to the mean magnitude of the member's largest tensor, so that members at
    different scales lose about as much; each tensor's magnitude is stored as one byte and gives both the step
    and the distributions.

    Attributes:
        step: Width of a cell, relative to the mean magnitude of the member's largest tensor.
    """

    step: float
    name: str = "uniform"

    @classmethod
    def fit(cls, config: UniformConfig, training: Population, examples: Examples) -> Uniform:  # noqa: ARG003
        """Needs the layout only."""
        return cls(training.architecture.layout, step=config.step)

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`: symbols by tensor; magnitudes are protected."""
        weights_MP = self.checked(population)
        step_M1, _ = self._grid(scale_codes(mean_magnitudes(weights_MP, self.layout)))
        symbols = by_tensor(whole(weights_MP / step_M1), self.layout)
        return Numbers(symbols, SCALE_BITS * len(self.layout), lambda read: of_tensors(read, self.layout, step_M1))

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """See :class:`WeightBlocks`."""
        codes_MT = scale_codes(mean_magnitudes(weights_MP, self.layout))
        step_M1, model = self._grid(codes_MT)
        encoder = Encoder()
        encoder.add(model, whole(weights_MP / step_M1))
        return codes_MT.tobytes() + encoder.finish()

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        codes, stream = take(body, members * len(self.layout))
        step_M1, model = self._grid(np.frombuffer(codes, dtype=np.uint8).reshape(members, -1))
        return Decoder(stream).read(model, members) * step_M1

    def _grid(self, codes_MT: np.ndarray) -> tuple[np.ndarray, LaplaceColumns]:
        """Each member's step ``[M, 1]`` and the distribution of each of its symbols."""
        scale_MT = scales_of(codes_MT)
        largest = int(np.argmax([spec.size for spec in self.layout]))
        step_M1 = self.step * scale_MT[:, [largest]]
        scale_MP = (scale_MT / step_M1)[:, tensor_of_parameter(self.layout)]
        return step_M1, LaplaceColumns(np.zeros_like(scale_MP), scale_MP)
