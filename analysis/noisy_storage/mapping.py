"""How weights are written to analog cells, and what is stored beside them without errors.

After Isik et al., Neural Network Compression for Noisy Storage Devices (arXiv 2102.07725): signs are protected, small
weights get a scale of their own (adaptive mapping), and of pruned networks only weights that are not zero take cells
(sparsity-driven protection). What is protected costs digital bits, which are counted as cells too. The shares of
weights that are large, or kept, and scales for each tensor are chosen here, not taken from the paper; networks are
not trained again after they are pruned.

This is no codec of ``trainables``: there are no bytes to send, and what is read differs each time. So it lies beside
what measures. Everything here is a function of numbers and a generator.

Shape letters: M members, P parameters, K weights of one tensor, T tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.noisy_storage.channel import CellChannel
from zoo.architecture.layout import TensorSpec
from zoo.config import require

# Bits that a cell holds without errors where it is used digitally: four levels, as in multi-level memory.
DIGITAL_BITS_PER_CELL = 2.0
SCALE_BITS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class CellMapping:
    """A way to write weights to cells.

    Attributes:
        signs: Whether signs are stored digitally, so that cells hold magnitudes.
        large: Share of each tensor's weights, the largest, that are written on another scale than the others; a bit
            for each weight tells which. 0 for one scale.
        keep: Share of a network's weights, the largest, that is stored; the others are zero, and a bit for each
            weight tells which.
    """

    signs: bool = False
    large: float = 0.0
    keep: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.large < 1, self, "large", "0 <= large < 1")
        require(self.signs or not self.large, self, "large", "0 without protected signs: scales are of magnitudes")
        require(0 < self.keep <= 1, self, "keep", "0 < keep <= 1")

    def digital_bits(self, layout: tuple[TensorSpec, ...]) -> float:
        """Bits of one network that are stored without errors."""
        parameters = sum(spec.size for spec in layout)
        kept = max(1, round(self.keep * parameters))
        scales = len(layout) * SCALE_BITS * (2 if self.large else 1)
        return scales + kept * (self.signs + (self.large > 0)) + (parameters if self.keep < 1 else 0)

    def cells_per_weight(self, layout: tuple[TensorSpec, ...], cells: int) -> float:
        """Cells for each weight of the network, digital bits among them, where a stored weight takes ``cells``."""
        parameters = sum(spec.size for spec in layout)
        kept = max(1, round(self.keep * parameters))
        return (cells * kept + self.digital_bits(layout) / DIGITAL_BITS_PER_CELL) / parameters


MAPPINGS = {
    "plain cells": CellMapping(),
    "sign protection": CellMapping(signs=True),
    "adaptive mapping": CellMapping(signs=True, large=0.1),
    "sparsity-driven": CellMapping(signs=True, large=0.1, keep=0.5),
}


def read_back(
    weights_MP: np.ndarray,
    layout: tuple[TensorSpec, ...],
    mapping: CellMapping,
    channel: CellChannel,
    cells: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """What is read of networks after they were written.

    Args:
        weights_MP: Networks; all weights finite.
        layout: Their tensors; each has a scale of its own in each network.
        mapping: How they are written.
        channel: The cells.
        cells: How many cells hold each weight.
        generator: Where the noise comes from.

    Returns:
        ``[M, P]`` float32.

    Raises:
        ValueError: A weight is not finite, or there is no cell.
    """
    if not np.isfinite(weights_MP).all():
        raise ValueError(f"{int((~np.isfinite(weights_MP)).sum())} weights are not finite; leave such networks out")
    weights_MP = pruned(weights_MP.astype(np.float64), mapping.keep)
    found_MP = np.empty_like(weights_MP)
    for spec in layout:
        found_MP[:, spec.span] = _tensor(weights_MP[:, spec.span], mapping, channel, cells, generator)
    if mapping.keep < 1:
        found_MP[weights_MP == 0] = 0.0
    return found_MP.astype(np.float32)


def pruned(weights_MP: np.ndarray, keep: float) -> np.ndarray:
    """Networks whose largest weights, so large a share, are kept, and the others are zero."""
    count = max(1, round(keep * weights_MP.shape[1]))
    kept_MK = np.argsort(-np.abs(weights_MP), axis=1, kind="stable")[:, :count]
    found_MP = np.zeros_like(weights_MP)
    np.put_along_axis(found_MP, kept_MK, np.take_along_axis(weights_MP, kept_MK, axis=1), axis=1)
    return found_MP


def _tensor(
    weights_MK: np.ndarray, mapping: CellMapping, channel: CellChannel, cells: int, generator: np.random.Generator
) -> np.ndarray:
    """One tensor of each member."""
    magnitude_MK = np.abs(weights_MK)
    most_M1 = _positive(magnitude_MK.max(1, keepdims=True))
    if not mapping.signs:
        levels_MK = (weights_MK / most_M1 + 1) / 2
        return (2 * channel.read(np.clip(levels_MK, 0, 1), cells, generator) - 1) * most_M1
    # Small magnitudes from 0 to the border, large ones from the border to the largest: each over all levels.
    border_M1 = _border(magnitude_MK, mapping.large) if mapping.large else most_M1
    is_large_MK = magnitude_MK > border_M1
    start_MK = np.where(is_large_MK, border_M1, 0.0)
    width_MK = np.where(is_large_MK, _positive(most_M1 - border_M1), _positive(border_M1))
    read_MK = channel.read(np.clip((magnitude_MK - start_MK) / width_MK, 0, 1), cells, generator)
    # A sign bit has no zero: such a weight is read as a positive one.
    return np.where(weights_MK < 0, -1.0, 1.0) * np.maximum(start_MK + width_MK * read_MK, 0.0)


def _border(magnitude_MK: np.ndarray, large: float) -> np.ndarray:
    """The magnitude ``[M, 1]`` that so large a share of each member's weights in the tensor that are stored exceeds."""
    stored_M = (magnitude_MK > 0).sum(1)
    rank_M = magnitude_MK.shape[1] - 1 - np.floor(large * stored_M).astype(int)
    return np.take_along_axis(np.sort(magnitude_MK, axis=1), rank_M[:, None], axis=1)


def _positive(scale: np.ndarray) -> np.ndarray:
    """A scale to divide by: 1 where it is 0, for there all that it divides is 0."""
    return np.where(scale > 0, scale, 1.0)
