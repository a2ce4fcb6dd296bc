"""Principal components over members, quantized and entropy coded.

Shape letters: M members, P parameters, K components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainables.codecs.cells import Numbers
from trainables.codecs.classical.blocks import WeightBlocks, halves
from trainables.codecs.classical.configs import PcaConfig
from trainables.codecs.entropy import Decoder, Encoder, LaplaceColumns, whole
from zoo.data.examples import Examples
from zoo.population import Population

BASIS_LEVELS = 127
# Weights that the components are taken from (128 MB as float64), of members spread evenly over the population.
ENTRIES = 16_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Pca(WeightBlocks):
    """Coordinates in the training members' principal components, on one uniform grid.

    One step for all components spends bits where the variance is (reverse water-filling). The receiver holds the
    mean (float16), the basis (int8 with a float16 factor for each component) and the coordinates' distributions.

    Attributes:
        mean_P: Mean of the training members.
        basis_KP: Components as integers of -127 to 127.
        unit_K: What one step of each component is worth.
        step: Width of a cell, in units of weight.
        location_K: Where the distribution of each coordinate's symbols lies.
        scale_K: How wide it is.
        projector_KP: Least-squares coordinates in the basis; what the sender uses.
    """

    mean_P: np.ndarray
    basis_KP: np.ndarray
    unit_K: np.ndarray
    step: float
    location_K: np.ndarray
    scale_K: np.ndarray
    projector_KP: np.ndarray
    name: str = "pca"

    @classmethod
    def fit(cls, config: PcaConfig, training: Population, examples: Examples) -> Pca:  # noqa: ARG003
        """Takes the components from the training members.

        Args:
            config: How many components, and the step.
            training: At least two members.
            examples: Not used.

        Raises:
            ValueError: There are fewer than two training members.
        """
        if len(training) < 2:
            raise ValueError(f"there are {len(training)} training members; components need at least 2")
        count = min(len(training), max(2, ENTRIES // training.parameters))
        rows = np.linspace(0, len(training) - 1, count).round().astype(int)
        weights_MP = training.weights_MP.double().numpy()[rows]
        mean_P = halves(weights_MP.mean(0)).astype(np.float64)
        centered_MP = weights_MP - mean_P
        basis_KP = _principal_directions(centered_MP, min(config.components, len(rows) - 1))
        unit_K = (np.abs(basis_KP).max(1) / BASIS_LEVELS).astype(np.float16).astype(np.float64)
        whole_KP = np.clip(np.rint(basis_KP / unit_K[:, None]), -BASIS_LEVELS, BASIS_LEVELS).astype(np.int8)
        width = float(np.float32(config.step * np.sqrt((centered_MP**2).mean())))
        rounded_KP = whole_KP * unit_K[:, None]
        # Rounded, the basis is no longer orthonormal.
        projector_KP = np.linalg.solve(rounded_KP @ rounded_KP.T, rounded_KP)
        symbols_MK = whole(centered_MP @ projector_KP.T / width)
        model = LaplaceColumns.fit(symbols_MK)
        return cls(
            training.architecture.layout,
            mean_P=mean_P,
            basis_KP=whole_KP,
            unit_K=unit_K,
            step=width,
            location_K=model.location,
            scale_K=model.scale,
            projector_KP=projector_KP,
        )

    @cached_property
    def model(self) -> LaplaceColumns:
        """Distribution of each coordinate's symbols."""
        return LaplaceColumns(self.location_K, self.scale_K)

    @property
    def shared_bytes(self) -> int:
        """Mean, basis with its factors, the step, distributions."""
        return 2 * self.mean_P.size + self.basis_KP.size + 2 * self.unit_K.size + 4 + self.model.shared_bytes

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`: symbols, each about its mean and in its own spread.

        The receiver knows both, so that cells hold the small components as exactly as the large ones.
        """
        spread_K = np.maximum(self.scale_K, 1.0)
        relative_MK = (self._symbols(self.checked(population)) - self.location_K) / spread_K

        def weights(read: Sequence[np.ndarray]) -> Tensor:
            found_MP = self._weights(read[0] * spread_K + self.location_K)
            return torch.from_numpy(found_MP.astype(np.float32))

        return Numbers((relative_MK,), 0.0, weights)

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """See :class:`WeightBlocks`."""
        encoder = Encoder()
        encoder.add(self.model, self._symbols(weights_MP))
        return encoder.finish()

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        return self._weights(Decoder(body).read(self.model, members))

    def _symbols(self, weights_MP: np.ndarray) -> np.ndarray:
        """Whole coordinates ``[M, K]``."""
        coordinates_MK = (weights_MP - self.mean_P) @ self.projector_KP.T
        return whole(coordinates_MK / self.step)

    def _weights(self, symbols_MK: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`_symbols`, but for the rounding."""
        found_MP: np.ndarray = self.mean_P + (symbols_MK * self.step) @ (self.basis_KP * self.unit_K[:, None])
        return found_MP


def _principal_directions(centered_MP: np.ndarray, components: int) -> np.ndarray:
    """Orthonormal directions of largest variance, ``[K, P]``, K at most ``components`` and P."""
    members, parameters = centered_MP.shape
    if parameters <= members:
        _, vectors = np.linalg.eigh(centered_MP.T @ centered_MP)
        return vectors[:, ::-1][:, :components].T
    values, vectors = np.linalg.eigh(centered_MP @ centered_MP.T)
    kept = [column for column in range(members - 1, -1, -1) if values[column] > 1e-12 * values[-1]][:components]
    return vectors[:, kept].T @ centered_MP / np.sqrt(values[kept])[:, None]
