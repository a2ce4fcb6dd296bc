"""Symbols of codecs as numbers that analog memory cells can hold, and the way back from what is read of them.

A codec offers them by a method ``numbers(population) -> Numbers``. One whose payload has no such symbols says so in its
registry entry.

Shape letters: M members, P parameters, K numbers of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from trainables.codecs.codec import Codec
from zoo.population import Population


@dataclass(frozen=True)
class Numbers:
    """Symbols of some networks.

    Attributes:
        groups: ``[M, K]`` each; a network's numbers of one group are written on one scale.
        protected_bits: Of each network, what is stored beside them without errors.
        weights: From groups of numbers as they were read, which are not whole, to ``weights_MP`` float32.
    """

    groups: tuple[np.ndarray, ...]
    protected_bits: float
    weights: Callable[[Sequence[np.ndarray]], Tensor]


@runtime_checkable
class InCells(Protocol):
    """A codec with symbols that cells can hold."""

    def numbers(self, population: Population) -> Numbers:
        """The symbols of networks that this codec can code."""
        ...


def numbers_of(codec: Codec, population: Population) -> Numbers:
    """The symbols of networks, as numbers.

    Raises:
        ValueError: The codec has none.
    """
    if not isinstance(codec, InCells):
        raise ValueError(
            f"codec {codec.name!r} has no method numbers(): no symbols of its payloads can be held by cells"
        )
    return codec.numbers(population)
