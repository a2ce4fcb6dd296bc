"""Entropy coding of integer arrays: a thin layer over constriction's ANS coder.

Arrays are coded column by column model: ``symbols_NK`` has N rows and K columns, and a model knows how each
column is distributed. Any int32 value can be coded under any model: what lies outside a model's table is
replaced by an escape at the table's end, and the excess follows in a universal code. Several arrays go into
one stream, because a stream is padded to whole bytes and its state costs some more.

Models keep their parameters rounded as they are stored, and ``shared_bytes`` counts them so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import constriction
import numpy as np

Array = np.ndarray[Any, Any]

# Not modules that an import statement could reach.
distributions = constriction.stream.model
AnsCoder = constriction.stream.stack.AnsCoder

# Every symbol that a parametric table supports takes at least 2^-24 of the probability: 8193 of them cost
# 0.0007 bits a symbol.
PARAMETRIC_RANGE = 4096
# Below this a scale gives zero all of the probability that 24 bits can express.
SMALLEST_SCALE = 0.03
CHUNK_BITS = 16
# How many bits an excess has: each further bit half as likely.
EXCESS_BITS = distributions.Categorical(np.ldexp(1.0, -np.arange(33)), perfect=False)


class ColumnModel(Protocol):
    """A distribution for each column of an integer array."""

    @property
    def shared_bytes(self) -> int:
        """Size of the stored parameters."""
        ...

    def push(self, coder: Any, symbols_NK: Array) -> None:
        """Puts the symbols on the coder's stack."""
        ...

    def pop(self, coder: Any, rows: int) -> Array:
        """Takes what :meth:`push` put there from the stack: int32 ``[rows, K]``."""
        ...


def whole(values: Array) -> Array:
    """The nearest integers, int64.

    Raises:
        ValueError: One leaves int32.
    """
    rounded, limits = np.rint(values), np.iinfo(np.int32)
    largest = float(np.abs(rounded).max(initial=0.0))
    if not largest <= limits.max:
        raise ValueError(
            f"a number is {largest:.1e} quantization steps, and symbols reach {limits.max:.1e}: the weights are too "
            "large for this codec; leave such networks out"
        )
    return rounded.astype(np.int64)


class Encoder:
    """Collects arrays, then codes them into one payload."""

    def __init__(self) -> None:
        self._parts: list[tuple[ColumnModel, Array]] = []

    def add(self, model: ColumnModel, symbols_NK: Array) -> None:
        """Appends an array of integers ``[N, K]``; the decoder asks for arrays in the same order.

        Raises:
            ValueError: The array is not two-dimensional, not of integers, or leaves int32.
        """
        symbols_NK = np.asarray(symbols_NK)
        if symbols_NK.ndim != 2 or not np.issubdtype(symbols_NK.dtype, np.integer):
            raise ValueError(f"symbols are {symbols_NK.dtype} {symbols_NK.shape}; expected integers [rows, columns]")
        limits = np.iinfo(np.int32)
        if symbols_NK.size and not limits.min <= symbols_NK.min() <= symbols_NK.max() <= limits.max:
            raise ValueError(f"symbols reach {symbols_NK.min()}..{symbols_NK.max()}; allowed: int32")
        self._parts.append((model, symbols_NK.astype(np.int64)))

    def finish(self) -> bytes:
        """The payload."""
        coder = AnsCoder()
        for model, symbols_NK in reversed(self._parts):  # the coder is a stack
            model.push(coder, symbols_NK)
        # The last word is never zero, so its zero bytes can be restored.
        return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class Decoder:
    """Reads the arrays of a payload in the order in which they were added."""

    def __init__(self, payload: bytes) -> None:
        padded = payload + b"\0" * (-len(payload) % 4)
        self._coder = AnsCoder(np.frombuffer(padded, dtype="<u4").astype(np.uint32))

    def read(self, model: ColumnModel, rows: int) -> Array:
        """The next array: int32 ``[rows, K]``."""
        return model.pop(self._coder, rows)


@dataclass(frozen=True)
class ParametricColumns:
    """A quantized Laplace or Gaussian distribution for each column.

    Attributes:
        location: ``[K]``, float16-rounded; or ``[N, K]`` where a decoder predicts every entry.
        scale: Same shape: Laplace's b or the standard deviation, in symbols.
    """

    location: Array
    scale: Array
    family: ClassVar[Callable[[int, int], Any]]

    def __post_init__(self) -> None:
        if self.location.shape != self.scale.shape:
            raise ValueError(f"location has shape {self.location.shape}, scale {self.scale.shape}; these must be equal")
        object.__setattr__(self, "location", _as_float16(self.location))
        object.__setattr__(self, "scale", np.maximum(_as_float16(self.scale), np.float32(SMALLEST_SCALE)))

    @property
    def shared_bytes(self) -> int:
        """Two float16 numbers a column."""
        return 4 * self.location.size

    def push(self, coder: Any, symbols_NK: Array) -> None:
        """See :class:`ColumnModel`."""
        center, location, scale = self._parameters(len(symbols_NK))
        relative = symbols_NK.ravel() - center
        clipped = np.clip(relative, -PARAMETRIC_RANGE, PARAMETRIC_RANGE)
        escaped = np.abs(clipped) == PARAMETRIC_RANGE
        _push_excess(coder, np.abs(relative[escaped]) - PARAMETRIC_RANGE)
        if clipped.size:
            coder.encode_reverse(clipped.astype(np.int32), self._model(), location, scale)

    def pop(self, coder: Any, rows: int) -> Array:
        """See :class:`ColumnModel`."""
        center, location, scale = self._parameters(rows)
        relative = np.zeros(0, dtype=np.int64)
        if center.size:
            relative = coder.decode(self._model(), location, scale).astype(np.int64)
        escaped = np.abs(relative) == PARAMETRIC_RANGE
        relative[escaped] += np.sign(relative[escaped]) * _pop_excess(coder, int(escaped.sum()))
        return (relative + center).astype(np.int32).reshape(rows, self.location.shape[-1])

    def _model(self) -> Any:
        return type(self).family(-PARAMETRIC_RANGE, PARAMETRIC_RANGE)

    def _parameters(self, rows: int) -> tuple[Array, Array, Array]:
        """(integer center of the table, location relative to it, scale), each ``[rows · K]``."""
        shape = (rows, self.location.shape[-1])
        location, scale = (np.broadcast_to(p, shape).ravel() for p in (self.location, self.scale))
        center = np.rint(location).astype(np.int64)
        return center, (location - center).astype(np.float32), scale


class LaplaceColumns(ParametricColumns):
    """A quantized Laplace distribution for each column."""

    family = staticmethod(distributions.QuantizedLaplace)

    @classmethod
    def fit(cls, symbols_NK: Array) -> LaplaceColumns:
        """Maximum likelihood for the scale; the location is the median, rounded to a symbol."""
        location = np.rint(np.median(symbols_NK, axis=0))
        magnitude = np.abs(symbols_NK - location)
        nonzero, mean = (magnitude > 0).mean(axis=0), magnitude.mean(axis=0)
        # With q = exp(-1/2b): P(0) = 1-q and P(±k) = q^(2k-1)(1-q²)/2; the likelihood has a closed-form root.
        rest = 1 - nonzero
        q = (np.sqrt(rest**2 + 4 * (1 + 2 * mean) * (2 * mean - nonzero)) - rest) / (2 * (1 + 2 * mean))
        return cls(location, -0.5 / np.log(np.clip(q, 1e-9, 1 - 1e-9)))


class GaussianColumns(ParametricColumns):
    """A quantized normal distribution for each column."""

    family = staticmethod(distributions.QuantizedGaussian)

    @classmethod
    def fit(cls, symbols_NK: Array) -> GaussianColumns:
        """Mean and standard deviation; Sheppard's correction for the quantization."""
        variance = np.maximum(symbols_NK.var(axis=0) - 1 / 12, 0.04)
        return cls(symbols_NK.mean(axis=0), np.sqrt(variance))


@dataclass(frozen=True)
class TableColumns:
    """A table of probabilities for each column: a smoothed histogram.

    Attributes:
        low: ``[K]`` integers, the symbol of each column's first entry.
        code_lengths: For each column, -8·log2 of its symbols' probabilities as uint8. The first and the last
            symbol stand for everything at or beyond them.
    """

    low: Array
    code_lengths: tuple[Array, ...]

    @classmethod
    def fit(cls, symbols_NK: Array, smoothing: float = 4.0) -> TableColumns:
        """Histograms of the columns, mixed with the Laplace distribution that fits each best.

        Args:
            symbols_NK: Training symbols.
            smoothing: How many rows the Laplace distribution counts for.
        """
        parametric = LaplaceColumns.fit(symbols_NK)
        low, code_lengths = [], []
        for column, location, scale in zip(symbols_NK.T, parametric.location, parametric.scale, strict=True):
            middle = int(np.median(column))
            first = max(int(column.min()) - 1, middle - PARAMETRIC_RANGE)
            last = min(int(column.max()) + 1, middle + PARAMETRIC_RANGE)
            counts = np.bincount(np.clip(column, first, last) - first, minlength=last - first + 1)
            prior = _laplace_mass(np.arange(first, last + 1), float(location), float(scale))
            probability = (counts + smoothing * prior) / (len(column) + smoothing)
            low.append(first)
            code_lengths.append(np.clip(np.rint(-8 * np.log2(np.maximum(probability, 1e-9))), 0, 255).astype(np.uint8))
        return cls(np.array(low, dtype=np.int64), tuple(code_lengths))

    @property
    def shared_bytes(self) -> int:
        """Four bytes for a column's first symbol, two for its length and one for each entry."""
        return len(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The tables as stored."""
        sizes = np.array([len(lengths) for lengths in self.code_lengths], dtype="<u2")
        return self.low.astype("<i4").tobytes() + sizes.tobytes() + b"".join(c.tobytes() for c in self.code_lengths)

    @classmethod
    def from_bytes(cls, stored: bytes, columns: int) -> TableColumns:
        """The inverse of :meth:`to_bytes`."""
        low = np.frombuffer(stored, dtype="<i4", count=columns).astype(np.int64)
        sizes = np.frombuffer(stored, dtype="<u2", count=columns, offset=4 * columns).astype(np.int64)
        entries = np.frombuffer(stored, dtype=np.uint8, offset=6 * columns)
        return cls(low, tuple(np.split(entries, np.cumsum(sizes))[:-1]))

    def push(self, coder: Any, symbols_NK: Array) -> None:
        """See :class:`ColumnModel`."""
        for column, low, lengths in reversed(list(zip(symbols_NK.T, self.low, self.code_lengths, strict=True))):
            last = len(lengths) - 1
            relative = column - low
            clipped = np.clip(relative, 0, last)
            _push_excess(coder, np.maximum(-relative, relative - last)[(clipped == 0) | (clipped == last)])
            if clipped.size:
                coder.encode_reverse(clipped.astype(np.int32), _table(lengths))

    def pop(self, coder: Any, rows: int) -> Array:
        """See :class:`ColumnModel`."""
        symbols_NK = np.zeros((rows, len(self.low)), dtype=np.int32)
        for index, (low, lengths) in enumerate(zip(self.low, self.code_lengths, strict=True)):
            if not rows:
                break
            last = len(lengths) - 1
            relative = coder.decode(_table(lengths), rows).astype(np.int64)
            escaped = (relative == 0) | (relative == last)
            excess = _pop_excess(coder, int(escaped.sum()))
            relative[escaped] += np.where(relative[escaped] == 0, -excess, excess)
            symbols_NK[:, index] = relative + low
        return symbols_NK


# 2^(-i/8), written out so that no mathematical library decides their last bit. In float64: constriction's sums of
# float32 probabilities leave nothing for the last symbol of some tables.
EIGHTHS = np.array([1.0, 0.917004, 0.840896, 0.771105, 0.707107, 0.64842, 0.594604, 0.545254])


def _table(code_lengths: Array) -> Any:
    """The distribution with these code lengths, in eighths of a bit."""
    whole, eighth = np.divmod(code_lengths.astype(np.int32), 8)
    return distributions.Categorical(np.ldexp(EIGHTHS[eighth], -whole), perfect=False)


def _laplace_mass(symbols: Array, location: float, scale: float) -> Array:
    """Probabilities of integers under a quantized Laplace distribution; the ends take the tails."""

    def cumulative(x: Array) -> Array:
        tail = 0.5 * np.exp(-np.abs(x) / scale)
        return np.where(x < 0, tail, 1 - tail)

    mass = cumulative(symbols + 0.5 - location) - cumulative(symbols - 0.5 - location)
    mass[0] = cumulative(symbols[:1] + 0.5 - location)[0]
    mass[-1] = 1 - cumulative(symbols[-1:] - 0.5 - location)[0]
    return mass


def _as_float16(values: Array) -> Array:
    """Rounded as stored, computed with as float32; beyond float16's range at its end."""
    limit = float(np.finfo(np.float16).max)
    return np.clip(values, -limit, limit).astype(np.float16).astype(np.float32)


def _push_excess(coder: Any, excess: Array) -> None:
    """Codes integers of 0 to 2^32 - 1 in a universal code: how many bits, then those below the highest."""
    for value in reversed(excess.tolist()):
        bits = value.bit_length()
        below = value - (1 << bits >> 1)
        for position in reversed(range(0, bits - 1, CHUNK_BITS)):
            size = min(CHUNK_BITS, bits - 1 - position)
            coder.encode_reverse(below >> position & ((1 << size) - 1), distributions.Uniform(1 << size))
        coder.encode_reverse(bits, EXCESS_BITS)


def _pop_excess(coder: Any, count: int) -> Array:
    """The inverse of :func:`_push_excess`."""
    excess = np.zeros(count, dtype=np.int64)
    for index in range(count):
        bits = coder.decode(EXCESS_BITS)
        value = 1 << bits >> 1
        for position in range(0, bits - 1, CHUNK_BITS):
            size = min(CHUNK_BITS, bits - 1 - position)
            value += coder.decode(distributions.Uniform(1 << size)) << position
        excess[index] = value
    return excess
