"""Pooling as functions over lanes, like the layers in ``zoo.training.lanes.layers``."""

from __future__ import annotations

from typing import Any

from zoo.training.lanes.layers import Piece, Room, clear
from zoo.training.lanes.vectors import (
    Pointer,
    inlined,
    kernel_function,
    load,
    splat,
    store,
    where_equal,
    where_less,
)


@inlined
def _highest(inputs: Pointer, columns: Pointer, depth: int, channel: int) -> Any:
    """The largest value of a window."""
    highest = load(inputs, channel + load(columns, 0))
    for i in range(1, depth):
        value = load(inputs, channel + load(columns, i))
        highest = where_less(highest, value, value, highest)
    return highest


@kernel_function
def forward_maximum(step: Any, room: Room, piece: Piece) -> None:
    """Max pooling."""
    tables = room.tables
    for example in range(piece.size):
        source = room.values + (step.source + example * step.source_size)
        target = room.values + (step.target + example * step.target_size)
        for position in range(step.positions):
            inputs = source + load(tables, step.rows + position)
            outputs = target + load(tables, step.outs + position)
            for channel in range(step.channels):
                store(outputs, channel, _highest(inputs, tables + step.columns, step.depth, channel))


@kernel_function
def backward_maximum(step: Any, room: Room, piece: Piece) -> None:
    """The gradient of max pooling: it goes to the first of the largest values of a window."""
    tables, zero = room.tables, splat(0.0)
    columns = tables + step.columns
    for example in range(piece.size):
        source, target = step.source + example * step.source_size, step.target + example * step.target_size
        clear(room.slopes + source, step.clears)
        for position in range(step.positions):
            begin = source + load(tables, step.rows + position)
            values, slopes = room.values + begin, room.slopes + begin
            outputs = room.slopes + (target + load(tables, step.outs + position))
            for channel in range(step.channels):
                highest = _highest(values, columns, step.depth, channel)
                left = load(outputs, channel)
                for i in range(step.depth):
                    place = channel + load(columns, i)
                    part = where_equal(load(values, place), highest, left, zero)
                    left = left - part
                    if step.adds:
                        part = part + load(slopes, place)
                    store(slopes, place, part)


@kernel_function
def forward_mean(step: Any, room: Room, piece: Piece) -> None:
    """Average pooling."""
    tables, share = room.tables, splat(1 / step.depth)
    for example in range(piece.size):
        source = room.values + (step.source + example * step.source_size)
        target = room.values + (step.target + example * step.target_size)
        for position in range(step.positions):
            inputs = source + load(tables, step.rows + position)
            outputs = target + load(tables, step.outs + position)
            for channel in range(step.channels):
                total = load(inputs, channel + load(tables, step.columns))
                for i in range(1, step.depth):
                    total = total + load(inputs, channel + load(tables, step.columns + i))
                store(outputs, channel, total * share)


@kernel_function
def backward_mean(step: Any, room: Room, piece: Piece) -> None:
    """The gradient of average pooling."""
    tables, share = room.tables, splat(1 / step.depth)
    for example in range(piece.size):
        source = room.slopes + (step.source + example * step.source_size)
        target = room.slopes + (step.target + example * step.target_size)
        clear(source, step.clears)
        for position in range(step.positions):
            inputs = source + load(tables, step.rows + position)
            outputs = target + load(tables, step.outs + position)
            for channel in range(step.channels):
                part = load(outputs, channel) * share
                for i in range(step.depth):
                    place = channel + load(tables, step.columns + i)
                    store(inputs, place, part + load(inputs, place) if step.adds else part)
