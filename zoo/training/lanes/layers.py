"""Products, activations, sums and the loss over lanes: forward and backward for some examples of sixteen members.

Each gets its ``STEP`` record and a :class:`Room` of pointers. ``values`` and ``slopes`` (gradients of the loss with
respect to the values) are laid out alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from zoo.training.lanes.codes import KEEPS_VALUE, SUM
from zoo.training.lanes.functions import activated, chained, dropout_factor, exp
from zoo.training.lanes.product import multiply
from zoo.training.lanes.vectors import (
    Pointer,
    kernel_function,
    load,
    splat,
    splat_word,
    store,
    where_equal,
    where_less,
)

# The last function code of which the value is kept, as in KEEPS_VALUE.
LAST_KEPT = max(KEEPS_VALUE)


class Room(NamedTuple):
    """What the layers of one group of sixteen work on.

    Attributes:
        tables: Offsets; begin with 0, 1, 2, ...
        zeros: A run of zeros.
        one: The number 1.
        nothing: Vectors of zeros.
        numbers: Inputs, where the members share them.
        vectors: Inputs, where each has its own.
        shared: Whether they share them.
        training: Whether norms take the examples' statistics.
        values: Outputs of all layers.
        slopes: Gradients with respect to them.
        statistics: What norms keep.
        weights: Parameters.
        gradient: Gradients with respect to them.
    """

    tables: Pointer
    zeros: Pointer
    one: Pointer
    nothing: Pointer
    numbers: Pointer
    vectors: Pointer
    shared: bool
    training: bool
    values: Pointer
    slopes: Pointer
    statistics: Pointer
    weights: Pointer
    gradient: Pointer


class Piece(NamedTuple):
    """The examples in work.

    Attributes:
        begin: The first of them, counted from the first of a step.
        size: How many.
        batch: Examples of the whole step.
    """

    begin: int
    size: int
    batch: int


class Dropout(NamedTuple):
    """How a step drops units.

    Attributes:
        active: Whether any of the sixteen members does.
        keys: The step's keys.
        thresholds: Below which a draw drops a unit.
        keep: Two vectors: what others are multiplied by, and its inverse.
    """

    active: bool
    keys: Pointer
    thresholds: Pointer
    keep: Pointer


@kernel_function
def forward_product(step: Any, room: Room, piece: Piece) -> None:
    """A linear layer or a convolution."""
    rows, repeats = (piece.size, 1) if step.positions == 1 else (step.positions, piece.size)
    tables = room.tables
    right = (room.weights + step.weight, tables + step.weight_rows, 1)
    start = (room.nothing, 0, 0)
    if step.bias >= 0:
        start = (room.weights + step.bias, 0, 1)
    for example in range(repeats):
        begin = step.source + example * step.source_size
        out = (room.values + (step.target + example * step.target_size), tables + step.outs, 1)
        if step.first and room.shared:
            left = (room.numbers + begin, tables + step.rows, tables + step.columns)
            multiply(rows, step.channels, step.depth, left, right, start, out)
        else:
            inputs = room.vectors if step.first else room.values
            left_vectors = (inputs + begin, tables + step.rows, tables + step.columns)
            multiply(rows, step.channels, step.depth, left_vectors, right, start, out)


@kernel_function
def backward_product(step: Any, room: Room, piece: Piece) -> None:
    """Gradients of a linear layer or a convolution, those of the parameters added to those of examples before."""
    rows, repeats = (piece.size, 1) if step.positions == 1 else (step.positions, piece.size)
    tables, more = room.tables, piece.begin > 0
    weight = room.gradient + step.weight
    for example in range(repeats):
        begin = step.source + example * step.source_size
        slopes = room.slopes + (step.target + example * step.target_size)
        right = (slopes, tables + step.outs, 1)
        start = (room.nothing, 0, 0)
        if more or example > 0:
            start = (weight, 1, 1)
        out = (weight, tables + step.weight_rows, 1)
        if step.first and room.shared:
            left = (room.numbers + begin, tables + step.columns, tables + step.rows)
            multiply(step.depth, step.channels, rows, left, right, start, out)
        else:
            inputs = room.vectors if step.first else room.values
            left_vectors = (inputs + begin, tables + step.columns, tables + step.rows)
            multiply(step.depth, step.channels, rows, left_vectors, right, start, out)
        if step.bias >= 0:
            bias = room.gradient + step.bias
            if more or example > 0:
                start = (bias, 1, 1)
            multiply(1, step.channels, rows, (room.one, room.zeros, room.zeros), right, start, (bias, room.zeros, 1))
        if not step.first:
            input_slopes(step, room, rows, begin, slopes)


@kernel_function
def input_slopes(step: Any, room: Room, rows: int, begin: int, slopes: Pointer) -> None:
    """The gradient of a product's input, one position of the kernel after the other; into the room's slopes."""
    tables, target = room.tables, room.slopes + begin
    for example in range(rows if step.positions == 1 else 1):
        clear(target + example * step.source_size, step.clears)
    inputs = step.depth // step.taps
    for tap in range(step.taps):
        place = target + load(tables, step.columns + tap * inputs)
        start = (room.nothing, 0, 0)
        if step.adds:
            start = (place, 1, 1)
        left = (slopes, tables + step.outs, tables)
        right = (room.weights + (step.weight + tap * inputs * step.channels), tables, step.channels)
        multiply(rows, inputs, step.channels, left, right, start, (place, tables + step.rows, 1))


@kernel_function
def clear(target: Pointer, count: int) -> None:
    """Writes zeros."""
    for i in range(count):
        store(target, i, splat(0.0))


@kernel_function
def forward_activation(step: Any, room: Room, dropout: Dropout, piece: Piece) -> None:
    """An activation function, and dropout on its values."""
    starts, ends = room.tables + step.rows, room.tables + step.outs
    keep = load(dropout.keep, 0)
    for example in range(piece.size):
        source = room.values + (step.source + example * step.source_size)
        target = room.values + (step.target + example * step.target_size)
        for position in range(step.positions):
            inputs, outputs = source + load(starts, position), target + load(ends, position)
            for channel in range(step.channels):
                value = activated(step.function, load(inputs, channel))
                if dropout.active:
                    unit = step.unit + channel * step.positions + position
                    counter = unit * piece.batch + piece.begin + example
                    value = value * dropout_factor(dropout.keys, dropout.thresholds, keep, counter)
                store(outputs, channel, value)


@kernel_function
def backward_activation(step: Any, room: Room, dropout: Dropout, piece: Piece) -> None:
    """The gradient of an activation's input."""
    starts, ends = room.tables + step.rows, room.tables + step.outs
    keep, inverse = load(dropout.keep, 0), load(dropout.keep, 1)
    by_value, adds = step.function <= LAST_KEPT, step.adds
    for example in range(piece.size):
        source, target = step.source + example * step.source_size, step.target + example * step.target_size
        for position in range(step.positions):
            begin, end = source + load(starts, position), target + load(ends, position)
            inputs, outputs = room.slopes + begin, room.slopes + end
            known = room.values + (end if by_value else begin)
            for channel in range(step.channels):
                value, slope = load(known, channel), load(outputs, channel)
                if dropout.active:
                    unit = step.unit + channel * step.positions + position
                    counter = unit * piece.batch + piece.begin + example
                    slope = slope * dropout_factor(dropout.keys, dropout.thresholds, keep, counter)
                    if by_value:  # what was dropped has no gradient, whatever its value was
                        value = value * inverse
                slope = chained(step.function, value, slope)
                store(inputs, channel, slope + load(inputs, channel) if adds else slope)


@kernel_function
def forward_sum(step: Any, room: Room, piece: Piece) -> None:
    """Adds values to others, or begins a sum with them."""
    starts, ends = room.tables + step.rows, room.tables + step.outs
    for example in range(piece.size):
        source = room.values + (step.source + example * step.source_size)
        target = room.values + (step.target + example * step.target_size)
        for position in range(step.positions):
            inputs, outputs = source + load(starts, position), target + load(ends, position)
            for channel in range(step.channels):
                value = load(inputs, channel)
                store(outputs, channel, value + load(outputs, channel) if step.kind == SUM else value)


@kernel_function
def backward_sum(step: Any, room: Room, piece: Piece) -> None:
    """The gradient of what was added: that of the sum."""
    starts, ends = room.tables + step.rows, room.tables + step.outs
    for example in range(piece.size):
        source = room.slopes + (step.source + example * step.source_size)
        target = room.slopes + (step.target + example * step.target_size)
        for position in range(step.positions):
            inputs, outputs = source + load(starts, position), target + load(ends, position)
            for channel in range(step.channels):
                slope = load(outputs, channel)
                store(inputs, channel, slope + load(inputs, channel) if step.adds else slope)


@kernel_function
def exponentials(logits: Pointer, found: Pointer, classes: int) -> Any:
    """Writes what a softmax divides, exponentials of logits less the largest, and returns their sum."""
    highest = load(logits, 0)
    for i in range(1, classes):
        logit = load(logits, i)
        highest = where_less(highest, logit, logit, highest)
    total = splat(0.0)
    for i in range(classes):
        likelihood = exp(load(logits, i) - highest)
        store(found, i, likelihood)
        total = total + likelihood
    return total


@kernel_function
def loss_slopes(room: Room, step: Any, labels: Pointer, piece: Piece) -> None:
    """Gradient of the mean cross-entropy with respect to the logits, ``(softmax - one-hot) * share``.

    Args:
        room: Pointers.
        step: What gave the logits.
        labels: Words, one for each example.
        piece: Which examples.
    """
    zero, part, classes = splat(0.0), splat(1 / piece.batch), step.channels
    for example in range(piece.size):
        place = step.target + example * step.target_size
        logits, slopes = room.values + place, room.slopes + place
        label = load(labels, example)
        factor = part / exponentials(logits, slopes, classes)
        for i in range(classes):
            target = where_equal(label, splat_word(i), part, zero)
            store(slopes, i, load(slopes, i) * factor - target)
