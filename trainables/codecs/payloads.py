"""A codec's payload together with what else a receiver needs to run the networks: which architecture each one has.

Networks of one layout differ in what has no weights, such as the activation; whatever codes the weights, a receiver
must be told. Rates are counted of these payloads, for all codecs alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from trainables.codecs.codec import Codec, number_to_bytes, read_number
from zoo.population import Population


@runtime_checkable
class SymbolCodec(Protocol):
    """A codec that decides on each network's symbols, which can take long, before it makes bytes of them."""

    def symbols(self, population: Population) -> Any:
        """The symbols of all rows; their ``select(rows)`` gives those of some."""
        ...

    def payload(self, symbols: Any) -> bytes:
        """What ``compress`` makes of networks with these symbols."""
        ...


def compress(codec: Codec, population: Population) -> bytes:
    """The codec's payload; where the population has several architectures, behind the number of each network's own.

    All numbers are one integer to the base of how many architectures there are: 2.6 bits a network for six.
    """
    return _framed(codec.compress(population), population)


def compressor(codec: Codec, population: Population) -> Callable[[Sequence[int]], bytes]:
    """What makes of some rows of a population the payload that :func:`compress` does; symbols are decided on once."""
    if not isinstance(codec, SymbolCodec):
        return lambda rows: compress(codec, population.select(rows))
    symbols = codec.symbols(population)
    return lambda rows: _framed(codec.payload(symbols.select(rows)), population.select(rows))


def _framed(payload: bytes, population: Population) -> bytes:
    """The payload behind the architectures' numbers, where there are several."""
    base = len(population.architectures)
    if base == 1:
        return payload
    value = 0
    for number in reversed(population.architecture_M.tolist()):
        value = value * base + number
    size = _size(len(population), base)
    return number_to_bytes(len(population)) + value.to_bytes(size, "little") + payload


def decompress(codec: Codec, payload: bytes, architectures: int) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`compress`.

    Args:
        codec: The codec.
        payload: What :func:`compress` gave.
        architectures: How many architectures the population has that was compressed.

    Returns:
        (``weights_MP``, each network's number among the architectures: int64 ``[M]``).

    Raises:
        ValueError: The payload is corrupted or truncated.
    """
    if architectures == 1:
        weights_MP = codec.decompress(payload)
        return weights_MP, torch.zeros(len(weights_MP), dtype=torch.int64)
    members, start = read_number(payload)
    end = start + _size(members, architectures)
    value, numbers = int.from_bytes(payload[start:end], "little"), []
    for _ in range(members):
        value, number = divmod(value, architectures)
        numbers.append(number)
    return codec.decompress(payload[end:]), torch.tensor(numbers)


def _size(members: int, base: int) -> int:
    """Bytes of the largest integer of so many digits."""
    return math.ceil((base**members - 1).bit_length() / 8)
