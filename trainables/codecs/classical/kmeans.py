"""Non-uniform scalar quantization: k-means codebooks with an entropy coder.

Shape letters: M members, P parameters, T tensors, K codebook entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from trainables.codecs.cells import Numbers
from trainables.codecs.classical.blocks import (
    SCALE_BITS,
    WeightBlocks,
    halves,
    mean_magnitudes,
    of_tensors,
    scale_codes,
    scales_of,
    take,
    tensor_of_parameter,
)
from trainables.codecs.classical.configs import KMeansConfig
from trainables.codecs.entropy import Decoder, Encoder, TableColumns
from zoo.data.examples import Examples
from zoo.population import Population

ITERATIONS = 50
QUANTILES = 257
# A table of code lengths reserves its first and last entry for symbols outside of it.
UNUSED_ENDS = 1


def lloyd(values: np.ndarray, clusters: int, iterations: int = ITERATIONS) -> np.ndarray:
    """k-means in one dimension, by Lloyd's algorithm.

    On sorted values a cluster is an interval and its mean a difference of prefix sums, so that an iteration costs
    one search for each boundary.

    Args:
        values: ``[N]``, at least one.
        clusters: Largest number of centers; fewer where there are fewer distinct values.
        iterations: Largest number of iterations.

    Returns:
        The centers in increasing order, at most ``clusters`` float64.
    """
    ordered = np.sort(values.astype(np.float64))
    prefix = np.concatenate([[0.0], np.cumsum(ordered)])
    points = np.quantile(ordered, np.linspace(0, 1, QUANTILES))
    # The best quantizer's centers lie as dense as the cube root of the density (Panter and Dite, 1951).
    spread = np.concatenate([[0.0], np.cumsum(np.diff(points) ** (2 / 3))])
    centers = np.unique(np.interp((np.arange(clusters) + 0.5) / clusters * spread[-1], spread, points))
    for _ in range(iterations):
        inner = np.searchsorted(ordered, (centers[:-1] + centers[1:]) / 2)
        bounds = np.concatenate([[0], inner, [len(ordered)]])
        counts = np.diff(bounds)
        kept = counts > 0
        moved = np.diff(prefix[bounds])[kept] / counts[kept]
        if len(moved) == len(centers) and np.array_equal(moved, centers):
            break
        centers = moved
    return centers


def nearest(values: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Number of the nearest of the increasing ``centers`` for each value."""
    return np.searchsorted((centers[:-1] + centers[1:]) / 2, values)


@dataclass(frozen=True, kw_only=True)
class KMeans(WeightBlocks):
    """Each tensor of the block has a codebook, which is part of the payload.

    Weights are divided by the mean magnitude of their member's tensor (one byte each) before they are clustered,
    so that members at different scales share a codebook. Symbols are coded with their frequencies.

    Attributes:
        clusters: Largest number of codebook entries of a tensor.
    """

    clusters: int
    name: str = "kmeans"

    @classmethod
    def fit(cls, config: KMeansConfig, training: Population, examples: Examples) -> KMeans:  # noqa: ARG003
        """Needs the layout only."""
        return cls(training.architecture.layout, clusters=config.clusters)

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`: numbers of entries, counted from that nearest to zero.

        What is read between two entries is taken to be between their values. Codebooks and magnitudes are protected.
        """
        codes_MT, entries = self._entries(self.checked(population))
        zeros = [int(np.abs(centers.astype(np.float64)).argmin()) for centers, _ in entries]
        scale_MP = scales_of(codes_MT)[:, tensor_of_parameter(self.layout)]

        def weights(read: Sequence[np.ndarray]) -> Tensor:
            found = [
                np.interp(part_MK + zero, np.arange(len(centers)), centers.astype(np.float64))
                for part_MK, zero, (centers, _) in zip(read, zeros, entries, strict=True)
            ]
            return of_tensors(found, self.layout, scale_MP)

        codebook_bits = 16 * sum(len(centers) for centers, _ in entries) / len(population)
        groups = tuple(symbols_MK - zero for (_, symbols_MK), zero in zip(entries, zeros, strict=True))
        return Numbers(groups, SCALE_BITS * len(self.layout) + codebook_bits, weights)

    def _entries(self, weights_MP: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Magnitudes as bytes ``[M, T]``, and for each tensor its codebook and the entries ``[M, K]``."""
        codes_MT = scale_codes(mean_magnitudes(weights_MP, self.layout))
        relative_MP = weights_MP / scales_of(codes_MT)[:, tensor_of_parameter(self.layout)]
        entries = []
        for spec in self.layout:
            values_MK = relative_MP[:, spec.span]
            centers = np.unique(halves(lloyd(values_MK.ravel(), self.clusters)))
            entries.append((centers, nearest(values_MK, centers.astype(np.float64))))
        return codes_MT, entries

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """See :class:`WeightBlocks`."""
        codes_MT, entries = self._entries(weights_MP)
        codebooks, encoder = [], Encoder()
        for centers, symbols_MK in entries:
            lengths = _code_lengths(np.bincount(symbols_MK.ravel(), minlength=len(centers)))
            codebooks.append(bytes([len(centers) - 1]) + centers.astype("<f2").tobytes() + lengths.tobytes())
            encoder.add(_model(lengths), symbols_MK.reshape(-1, 1))
        return codes_MT.tobytes() + b"".join(codebooks) + encoder.finish()

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        codes, rest = take(body, members * len(self.layout))
        codebooks = []
        for _ in self.layout:
            size, rest = take(rest, 1)
            entries, rest = take(rest, 2 * (size[0] + 1))
            counted, rest = take(rest, size[0] + 1)
            centers = np.frombuffer(entries, dtype="<f2").astype(np.float32)
            codebooks.append((centers, _model(np.frombuffer(counted, dtype=np.uint8))))
        decoder = Decoder(rest)
        parts = []
        for spec, (centers, model) in zip(self.layout, codebooks, strict=True):
            symbols = decoder.read(model, members * spec.size)[:, 0]
            if symbols.min() < 0 or symbols.max() >= len(centers):
                raise ValueError(f"a payload names entry {symbols.max()} of {len(centers)}; it is corrupted")
            parts.append(centers[symbols].reshape(members, spec.size))
        scale_MT = scales_of(np.frombuffer(codes, dtype=np.uint8).reshape(members, -1))
        return np.concatenate(parts, axis=1) * scale_MT[:, tensor_of_parameter(self.layout)]


def _code_lengths(counts: np.ndarray) -> np.ndarray:
    """-8·log2 of the frequencies, as the entropy coder's tables store them; uint8."""
    frequency = np.maximum(counts, 0.5) / counts.sum()
    return np.clip(np.rint(-8 * np.log2(frequency)), 0, 255).astype(np.uint8)


def _model(lengths: np.ndarray) -> TableColumns:
    """The distribution of one tensor's symbols, with unlikely ends that stand for what does not occur."""
    ends = np.full(UNUSED_ENDS, 255, dtype=np.uint8)
    return TableColumns(np.array([-UNUSED_ENDS]), (np.concatenate([ends, lengths, ends]),))
