"""Magnitude pruning: only the largest weights are kept, with their positions.

Shape letters: M members, P parameters, T tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.codecs.cells import Numbers
from trainables.codecs.classical.blocks import (
    SCALE_BITS,
    WeightBlocks,
    halves,
    scale_codes,
    scales_of,
    take,
)
from trainables.codecs.classical.configs import PruningConfig
from trainables.codecs.entropy import Decoder, Encoder, LaplaceColumns, TableColumns, whole
from zoo.data.examples import Examples
from zoo.population import Population


@dataclass(frozen=True, kw_only=True)
class Pruning(WeightBlocks):
    """Keeps the weights of largest magnitude of each member and zeroes the others.

    Which weights are kept is coded with each tensor's share of them in the block.

    Attributes:
        keep: Share of the weights that is kept.
        step: Width of a quantization cell relative to the mean magnitude of the member's kept weights, entropy
            coded; kept weights are float16 where ``None``.
    """

    keep: float
    step: float | None = None
    name: str = "pruning"

    @classmethod
    def fit(cls, config: PruningConfig, training: Population, examples: Examples) -> Pruning:  # noqa: ARG003
        """Needs the layout only."""
        name = "pruning" if config.step is None else "pruning+uniform"
        return cls(training.architecture.layout, keep=config.keep, step=config.step, name=name)

    @property
    def kept(self) -> int:
        """Number of weights kept in each member."""
        return max(1, round(self.keep * self.parameters))

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`: weights that are kept, or their symbols.

        A bit for each weight tells which are kept; these and the magnitude of a step are protected.
        """
        weights_MP = self.checked(population)
        mask_MP = self._mask(weights_MP)
        values_MK, step_M1 = weights_MP[mask_MP].reshape(-1, self.kept), np.ones((len(weights_MP), 1))
        if self.step is None:
            values_MK = halves(values_MK).astype(np.float64)
        else:
            step_M1, _ = self._grid(scale_codes(np.abs(values_MK).mean(1)))
            values_MK = whole(values_MK / step_M1)

        def weights(read: Sequence[np.ndarray]) -> Tensor:
            found_MP = np.zeros(mask_MP.shape, dtype=np.float32)
            found_MP[mask_MP] = (read[0] * step_M1).ravel()
            return torch.from_numpy(found_MP)

        return Numbers((values_MK,), self.parameters + SCALE_BITS * (self.step is not None), weights)

    def _mask(self, weights_MP: np.ndarray) -> np.ndarray:
        """Which weights are kept, bool ``[M, P]``."""
        order_MP = np.argsort(-np.abs(weights_MP), axis=1, kind="stable")
        mask_MP = np.zeros(weights_MP.shape, dtype=bool)
        np.put_along_axis(mask_MP, order_MP[:, : self.kept], values=True, axis=1)
        return mask_MP

    def encode(self, weights_MP: np.ndarray) -> bytes:
        """See :class:`WeightBlocks`."""
        mask_MP = self._mask(weights_MP)
        starts = [spec.offset for spec in self.layout]
        totals_T = np.add.reduceat(mask_MP.sum(0), starts)
        shares_T = np.rint(255 * totals_T / [len(mask_MP) * spec.size for spec in self.layout]).astype(np.uint8)
        encoder = Encoder()
        for spec, model in zip(self.layout, _positions(shares_T), strict=True):
            encoder.add(model, mask_MP[:, spec.span].reshape(-1, 1).astype(np.int64))
        values_MK = weights_MP[mask_MP].reshape(-1, self.kept)
        if self.step is None:
            return shares_T.tobytes() + halves(values_MK).tobytes() + encoder.finish()
        codes_M = scale_codes(np.abs(values_MK).mean(1))
        step_M1, laplace = self._grid(codes_M)
        encoder.add(laplace, whole(values_MK / step_M1))
        return shares_T.tobytes() + codes_M.tobytes() + encoder.finish()

    def decode(self, body: bytes, members: int) -> np.ndarray:
        """See :class:`WeightBlocks`."""
        shares, rest = take(body, len(self.layout))
        head, stream = take(rest, members * (2 * self.kept if self.step is None else 1))
        decoder = Decoder(stream)
        models = _positions(np.frombuffer(shares, dtype=np.uint8))
        masks = [
            decoder.read(model, members * spec.size).reshape(members, spec.size)
            for spec, model in zip(self.layout, models, strict=True)
        ]
        mask_MP = np.concatenate(masks, axis=1).astype(bool)
        if not (mask_MP.sum(1) == self.kept).all():
            raise ValueError(f"a payload does not keep {self.kept} weights of each member; it is corrupted")
        if self.step is None:
            values_MK = np.frombuffer(head, dtype="<f2").astype(np.float32).reshape(members, -1)
        else:
            step_M1, laplace = self._grid(np.frombuffer(head, dtype=np.uint8))
            values_MK = decoder.read(laplace, members) * step_M1
        weights_MP = np.zeros(mask_MP.shape, dtype=np.float32)
        weights_MP[mask_MP] = values_MK.ravel()
        return weights_MP

    def _grid(self, codes_M: np.ndarray) -> tuple[np.ndarray, LaplaceColumns]:
        """Each member's step ``[M, 1]`` and the distribution of each of its symbols."""
        scale_MK = np.full((len(codes_M), self.kept), 1 / (self.step or 1))
        return (self.step or 1) * scales_of(codes_M)[:, None], LaplaceColumns(np.zeros_like(scale_MK), scale_MK)


def _positions(shares_T: np.ndarray) -> list[TableColumns]:
    """For each tensor the distribution of (zeroed, kept), with unlikely ends for what does not occur."""
    share_T = np.clip(shares_T / 255, 1 / 1024, 1 - 1 / 1024)
    lengths_T2 = np.rint(-8 * np.log2(np.stack([1 - share_T, share_T], axis=1))).astype(np.uint8)
    return [TableColumns(np.array([-1]), (np.array([255, *lengths, 255], np.uint8),)) for lengths in lengths_T2]
