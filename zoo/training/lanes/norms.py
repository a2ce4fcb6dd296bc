"""Batch normalization as functions over lanes, like the layers in ``zoo.training.lanes.layers``.

It is two steps: ``moments`` takes mean and variance of all examples, ``norm`` applies them. A statistic is of all
values of a channel, or, for vectors, of one value of each example: the step's ``apart`` says which. There are
``depth`` of them, and as many vectors of each of the kinds below.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zoo.architecture.normalization import EPSILON, MOMENTUM
from zoo.training.lanes.layers import Piece, Room, clear
from zoo.training.lanes.vectors import (
    Pointer,
    Vector,
    fma,
    inlined,
    kernel_function,
    load,
    splat,
    sqrt,
    store,
    where_less,
)


class Statistics(NamedTuple):
    """What a norm keeps from one of its functions to the next.

    Attributes:
        means: Of all examples, while they are added of those so far.
        inverses: 1 / deviation; before, the sum of squared distances from the mean.
        factors: What a value is multiplied by,
        shifts: and what is added then.
        sums: Of one example; after the backward pass, the part of a value's gradient that is the same for all.
        products: Likewise with squares or products; then what is multiplied by the distance from the mean.
    """

    means: Pointer
    inverses: Pointer
    factors: Pointer
    shifts: Pointer
    sums: Pointer
    products: Pointer


@inlined
def _statistics(step: Any, room: Room) -> Statistics:
    first, depth = room.statistics + step.statistics, step.depth
    return Statistics(
        first, first + depth, first + 2 * depth, first + 3 * depth, first + 4 * depth, first + 5 * depth
    )  # fmt: skip


@inlined
def _inverse_deviation(variance: Vector) -> Vector:
    return splat(1.0) / sqrt(variance + splat(EPSILON))


@inlined
def _not_negative(variance: Vector) -> Vector:
    """Zero in place of less, which a codec may make of a small running variance."""
    return where_less(variance, splat(0.0), splat(0.0), variance)


@inlined
def _together(step: Any) -> int:
    """Values of one example that share a statistic."""
    return step.positions if step.apart == 0 else 1


@kernel_function
def forward_moments(step: Any, room: Room, piece: Piece) -> None:
    """Takes the moments of these examples too; after the last ones of a step, says how values are normalized.

    Where nothing is trained, the running moments are taken.
    """
    means, inverses, factors, shifts, _, _ = _statistics(step, room)
    running, variances = room.weights + step.mean, room.weights + step.variance
    if room.training:
        _join_examples(step, room, piece)
        if piece.begin + piece.size < piece.batch:
            return
        total = piece.batch * _together(step)
        momentum, share, unbiased = splat(MOMENTUM), splat(1 / total), splat(1 / (total - 1))
        for i in range(step.depth):
            mean, squares = load(running, i), load(inverses, i)
            store(running, i, fma(load(means, i) - mean, momentum, mean))
            variance = _not_negative(load(variances, i))
            store(variances, i, fma(squares * unbiased - variance, momentum, variance))
            store(inverses, i, _inverse_deviation(squares * share))
    else:
        for i in range(step.depth):
            store(means, i, load(running, i))
            store(inverses, i, _inverse_deviation(_not_negative(load(variances, i))))
    for i in range(step.depth):
        factor = load(room.weights, step.weight + i) * load(inverses, i)
        store(factors, i, factor)
        store(shifts, i, fma(splat(0.0) - load(means, i), factor, load(room.weights, step.bias + i)))


@kernel_function
def _join_examples(step: Any, room: Room, piece: Piece) -> None:
    """Joins each example's mean and squared distances with those of the examples before.

    After Chan, Golub and LeVeque (1979): exact where the mean is large, and reads memory once.
    """
    means, all_squares, _, _, sums, squares = _statistics(step, room)
    together = _together(step)
    if piece.begin == 0:
        clear(means, 2 * step.depth)
    for e in range(piece.size):
        source = room.values + (step.source + e * step.source_size)
        example = piece.begin + e
        clear(sums, 2 * step.depth)
        _add_values(step, room.tables, source, sums)
        share = splat(1 / together)
        for i in range(step.depth):
            store(sums, i, load(sums, i) * share)
        if together > 1:
            _add_squares(step, room.tables, source, sums, squares)
        share, between = splat(1 / (example + 1)), splat(together * example / (example + 1))
        for i in range(step.depth):
            further = load(sums, i) - load(means, i)
            store(means, i, fma(further, share, load(means, i)))
            joined = load(all_squares, i) + load(squares, i)
            store(all_squares, i, fma(further * further, between, joined))


@kernel_function
def _add_values(step: Any, tables: Pointer, source: Pointer, sums: Pointer) -> None:
    """Adds one example's values."""
    starts = tables + step.rows
    for position in range(step.positions):
        inputs, out = source + load(starts, position), sums + position * step.apart
        for channel in range(step.channels):
            store(out, channel, load(out, channel) + load(inputs, channel))


@kernel_function
def _add_squares(step: Any, tables: Pointer, source: Pointer, means: Pointer, squares: Pointer) -> None:
    """Adds the squares of their distances from one example's means."""
    starts = tables + step.rows
    for position in range(step.positions):
        inputs = source + load(starts, position)
        for channel in range(step.channels):
            distance = load(inputs, channel) - load(means, channel)
            store(squares, channel, fma(distance, distance, load(squares, channel)))


@kernel_function
def forward_norm(step: Any, room: Room, piece: Piece) -> None:
    """Normalizes, scales and shifts."""
    _, _, factors, shifts, _, _ = _statistics(step, room)
    starts, ends = room.tables + step.rows, room.tables + step.outs
    for e in range(piece.size):
        source = room.values + (step.source + e * step.source_size)
        target = room.values + (step.target + e * step.target_size)
        for position in range(step.positions):
            inputs, outputs = source + load(starts, position), target + load(ends, position)
            first = position * step.apart
            for channel in range(step.channels):
                factor, shift = load(factors, first + channel), load(shifts, first + channel)
                store(outputs, channel, fma(load(inputs, channel), factor, shift))


@kernel_function
def backward_norm(step: Any, room: Room, piece: Piece) -> None:
    """Gradients of a norm's weight and bias; after the last examples, how those of its input follow."""
    means, inverses, factors, _, sums, products = _statistics(step, room)
    weights, biases = room.gradient + step.weight, room.gradient + step.bias
    starts, ends = room.tables + step.rows, room.tables + step.outs
    if piece.begin == 0:
        clear(weights, step.depth)
        clear(biases, step.depth)
    for e in range(piece.size):
        clear(sums, 2 * step.depth)
        source = room.values + (step.source + e * step.source_size)
        target = room.slopes + (step.target + e * step.target_size)
        for position in range(step.positions):
            inputs, outputs = source + load(starts, position), target + load(ends, position)
            first = position * step.apart
            for channel in range(step.channels):
                i, slope = first + channel, load(outputs, channel)
                store(sums, i, load(sums, i) + slope)
                store(products, i, fma(slope, load(inputs, channel) - load(means, i), load(products, i)))
        for i in range(step.depth):
            store(biases, i, load(biases, i) + load(sums, i))
            store(weights, i, load(weights, i) + load(products, i))
    if piece.begin + piece.size == piece.batch:
        share = splat(-1 / (piece.batch * _together(step)))
        for i in range(step.depth):
            weight = load(weights, i) * load(inverses, i)
            store(weights, i, weight)
            part = share * load(factors, i)
            store(sums, i, part * load(biases, i))
            store(products, i, part * load(inverses, i) * weight)


@kernel_function
def backward_moments(step: Any, room: Room, piece: Piece) -> None:
    """The gradient of a norm's input: of the value itself, through the mean, and through the deviation."""
    means, _, factors, _, sums, products = _statistics(step, room)
    starts, ends = room.tables + step.rows, room.tables + step.outs
    adds = step.adds
    for e in range(piece.size):
        begin, target = step.source + e * step.source_size, step.target + e * step.target_size
        for position in range(step.positions):
            place = begin + load(starts, position)
            values, inputs = room.values + place, room.slopes + place
            outputs = room.slopes + (target + load(ends, position))
            first = position * step.apart
            for channel in range(step.channels):
                i = first + channel
                slope = fma(load(outputs, channel), load(factors, i), load(sums, i))
                slope = fma(load(values, channel) - load(means, i), load(products, i), slope)
                store(inputs, channel, slope + load(inputs, channel) if adds else slope)
