"""The order of hidden units is not sent: they come sorted by one of their symbols.

Shape letters: M members, T tokens of a layer, K entries of a token, U hidden units that move together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trainables.codecs.entropy import Array
from trainables.codecs.function_metric.transform import Symbols, Transform
from zoo.architecture import Axis


def sorted_layers(transform: Transform) -> dict[int, tuple[Axis, ...]]:
    """The layers by whose symbols units are sorted, each with the axes that move with its outputs.

    Of layers whose inputs have names that symbol is a unit's first coefficient, of others its bias.
    """
    indices = {layer.weight.name: index for index, layer in enumerate(transform.layers)}
    found: dict[int, tuple[Axis, ...]] = {}
    for axes in transform.folding.folded.symmetry.values():
        for axis in axes:
            index = indices.get(axis.tensor)
            if index is not None and axis.axis == 0 and axis.block == 1:
                layer = transform.layers[index]
                if layer.named or layer.bias is not None:
                    found[index] = axes
                    break
    return dict(sorted(found.items()))


def keys(transform: Transform, index: int, layer: Array) -> Array:
    """The symbols by which a layer's outputs are sorted: ``[M, U]``."""
    key_MU: Array = layer[:, :, 0] if transform.layers[index].named else layer[:, -1, :]
    return key_MU


def sorted_symbols(transform: Transform, symbols: Symbols) -> Symbols:
    """The same functions, hidden units by decreasing keys."""
    layers = list(symbols.layers)
    indices = {layer.weight.name: index for index, layer in enumerate(transform.layers)}
    for index, axes in sorted_layers(transform).items():
        order_MU = np.argsort(-keys(transform, index, layers[index]), axis=1, kind="stable")
        for axis in axes:
            moved = indices.get(axis.tensor)  # a bias moves with its weights
            if moved is not None:
                layers[moved] = _reordered(transform, moved, layers[moved], axis, order_MU)
    return Symbols(symbols.exponents_ME, tuple(layers))


def _reordered(transform: Transform, index: int, layer: Array, axis: Axis, order_MU: Array) -> Array:
    """A layer's symbols ``[M, T, K]`` after the units along an axis of its weights were put in order."""
    described = transform.layers[index]
    if axis.axis == 0:
        order_MU = (order_MU[..., None] * axis.block + np.arange(axis.block)).reshape(len(order_MU), -1)
        if described.named:
            return np.take_along_axis(layer, order_MU[:, :, None], axis=1)
        return np.take_along_axis(layer, order_MU[:, None, :], axis=2)
    read = described.units * described.entries
    units = layer[:, :read].reshape(len(layer), order_MU.shape[1], -1, layer.shape[2])
    moved = np.take_along_axis(units, order_MU[:, :, None, None], axis=1).reshape(len(layer), read, layer.shape[2])
    return np.concatenate([moved, layer[:, read:]], axis=1)


def streams(transform: Transform, index: int, layer: Array) -> list[Array]:
    """The arrays ``[rows, columns]`` in which a layer's symbols are coded, units in order.

    The symbol by which units are sorted is coded as its differences from unit to unit, a column for each.
    """
    if index not in sorted_layers(transform):
        return transform.parts(index, layer)
    difference_MU = np.diff(keys(transform, index, layer), axis=1, prepend=0)
    if transform.layers[index].named:
        return [difference_MU, layer[:, :, 1:].reshape(-1, layer.shape[2] - 1)]
    return [*transform.parts(index, layer)[:-1], difference_MU]


def from_streams(transform: Transform, index: int, read: Sequence[Array], members: int) -> Array:
    """The inverse of :func:`streams`."""
    if index not in sorted_layers(transform):
        return transform.from_parts(index, read, members)
    if transform.layers[index].named:
        key_MU = np.cumsum(read[0], axis=1)
        rest = read[1].reshape(*key_MU.shape, transform.entries(index) - 1)
        return np.concatenate([key_MU[..., None], rest], axis=2)
    return transform.from_parts(index, [*read[:-1], np.cumsum(read[-1], axis=1)], members)


def stream_shapes(transform: Transform, members: int) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    """(layer, shapes of its :func:`streams`) for a number of members."""
    for index in range(len(transform.layers)):
        empty = np.zeros((members, transform.tokens(index), transform.entries(index)), dtype=np.int32)
        yield index, [stream.shape for stream in streams(transform, index, empty)]
