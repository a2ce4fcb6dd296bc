"""Matrix products of sixteen members at once: where almost all the time goes.

A product is ``out[m, n] = start[m, n] + sum over k of a[m, k] * b[k, n]``, where every entry is a vector (or, for
inputs that all members share, ``a`` a number). Entries are found through tables of offsets, so that one routine does
linear layers, convolutions without copying patches, and both their gradients:

    a[m, k]     at  a_rows[m] + a_columns[k]
    b[k, n]     at  b_rows[k] + n * b_step
    out[m, n]   at  out_rows[m] + n * out_step
    start[m, n] at  out_rows[m] * start_follows + n * start_step

with ``start_follows`` 1 to begin with what is there, and 0 for a bias or zeros. Sums over k run in order in one
accumulator each: their bits depend neither on how a product is cut into pieces nor on the sizes beside it.
"""

# ruff: noqa: ARG001 (Numba hands every emitter more than it needs)

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from zoo.training.lanes.codes import LANES
from zoo.training.lanes.cpu import register_lanes, registers
from zoo.training.lanes.vectors import (
    FLOAT,
    INDEX,
    INT,
    called,
    kernel_function,
    primitive,
    vector,
)

# Three of a pointer, tables and steps; see the head.
Operand = Any

WIDTH = register_lanes()
PARTS = LANES // WIDTH
PART = ir.VectorType(FLOAT, WIDTH)

# The most rows and columns of one tile: its sums, one row of b and one entry of a fit the registers. Taller tiles
# lack general registers for their rows' addresses: 8 x 3 ran at a third of the speed of 4 x 3.
MOST_ROWS = 4
MOST_COLUMNS = 4 if registers() == 32 else 3


def _tile_routine(module: ir.Module, rows: int, columns: int, *, numbers: bool) -> ir.Function:
    """Emits, once a module, the product of ``rows`` by ``columns`` entries that stay in registers.

    A register may hold fewer than 16 lanes; then the tile is done for one part of the lanes after the other.
    """
    name = f"tile_{rows}x{columns}_{'numbers' if numbers else 'vectors'}"
    if name in module.globals:
        return module.globals[name]
    byte, table = ir.IntType(8).as_pointer(), INT.as_pointer()
    kind = ir.FunctionType(
        ir.VoidType(),
        [byte, table, table, byte, table, INDEX, byte, INDEX, INDEX, byte, table, INDEX, INDEX],
    )
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    a, a_rows, a_columns, b, b_rows, b_step, start, follows, start_step, out, out_rows, out_step, depth = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def entry(table: Any, index: Any) -> Any:
        return builder.sext(builder.load(builder.gep(table, [index])), INDEX)

    def address(base: Any, index: Any, part: int, *, number: bool = False) -> Any:
        if number:
            return builder.gep(builder.bitcast(base, FLOAT.as_pointer()), [index])
        place = builder.add(builder.mul(index, INDEX(PARTS)), INDEX(part))
        return builder.gep(builder.bitcast(base, PART.as_pointer()), [place])

    def times(number: int, step: Any) -> Any:
        return builder.mul(INDEX(number), step)

    cells = [(m, n) for m in range(rows) for n in range(columns)]
    targets = [entry(out_rows, INDEX(m)) for m in range(rows)]
    sources = [entry(a_rows, INDEX(m)) for m in range(rows)]
    sums = {cell: cgutils.alloca_once(builder, PART) for cell in cells}
    for part in range(PARTS):
        for m, n in cells:
            place = builder.add(builder.mul(targets[m], follows), times(n, start_step))
            builder.store(builder.load(address(start, place, part), align=4), sums[m, n])
        with cgutils.for_range(builder, depth) as loop:
            right, left = entry(b_rows, loop.index), entry(a_columns, loop.index)
            loaded = [
                builder.load(address(b, builder.add(right, times(n, b_step)), part), align=4) for n in range(columns)
            ]
            for m in range(rows):
                factor = builder.load(address(a, builder.add(sources[m], left), part, number=numbers), align=4)
                if numbers:
                    factor = _filled(builder, factor)
                for n in range(columns):
                    total = called(builder, "llvm.fma", factor, loaded[n], builder.load(sums[m, n]))
                    builder.store(total, sums[m, n])
        for m, n in cells:
            place = builder.add(targets[m], times(n, out_step))
            builder.store(builder.load(sums[m, n]), address(out, place, part), align=4)
    builder.ret_void()
    return function


def _filled(builder: ir.IRBuilder, number: Any) -> Any:
    """One number in all lanes of a register."""
    undefined = ir.Constant(PART, ir.Undefined)
    first = builder.insert_element(undefined, number, INT(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT, WIDTH), [0] * WIDTH))


@partial(primitive, prefer_literal=True)
def _tile(typing: Any, rows: Any, columns: Any, left: Any, right: Any, start: Any, out: Any, depth: Any) -> Any:
    """The product of as many rows and columns as the two literals say."""
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        routine = _tile_routine(
            builder.module, rows.literal_value, columns.literal_value, numbers=left.types[0].element != vector
        )
        values = [builder.extract_value(operand, part) for operand in arguments[2:6] for part in range(3)]
        values = [
            builder.bitcast(value, kind) if isinstance(kind, ir.PointerType) else value
            for value, kind in zip([*values, arguments[6]], routine.function_type.args, strict=True)
        ]
        builder.call(routine, values)
        return context.get_dummy_value()

    return types.void(rows, columns, left, right, start, out, types.intp), emit


def _strip(columns: int) -> Callable[..., None]:
    """All rows of a few columns."""

    @kernel_function
    def strip(rows: int, depth: int, left: Operand, right: Operand, start: Operand, out: Operand) -> None:
        (a, a_rows, a_columns), (sums, sum_rows, sum_step) = left, out
        m = 0
        while m + MOST_ROWS <= rows:
            _tile(MOST_ROWS, columns, (a, a_rows + m, a_columns), right, start, (sums, sum_rows + m, sum_step), depth)
            m += MOST_ROWS
        while m < rows:
            _tile(1, columns, (a, a_rows + m, a_columns), right, start, (sums, sum_rows + m, sum_step), depth)
            m += 1

    return strip


_one_column, _three_columns, _most_columns = _strip(1), _strip(3), _strip(MOST_COLUMNS)


@kernel_function
def multiply(rows: int, columns: int, depth: int, left: Operand, right: Operand, start: Operand, out: Operand) -> None:
    """The product of ``rows`` by ``columns`` entries with sums over ``depth``, as the head of this file says.

    Args:
        rows: Number of m.
        columns: Number of n.
        depth: Number of k.
        left: (a, a_rows, a_columns).
        right: (b, b_rows, b_step).
        start: (start, start_follows, start_step).
        out: (out, out_rows, out_step).
    """
    (b, b_rows, b_step), (first, follows, first_step), (sums, sum_rows, sum_step) = right, start, out
    n = 0
    while n < columns:
        rest = columns - n
        # 10 columns are 4 + 3 + 3 and 6 are 3 + 3: every width more would be a fifth of the time to compile.
        width = 1 if rest < 3 else 3 if rest < MOST_COLUMNS or rest % MOST_COLUMNS == MOST_COLUMNS - 2 else MOST_COLUMNS
        part_right = (b + n * b_step, b_rows, b_step)
        part_start = (first + n * first_step, follows, first_step)
        part_out = (sums + n * sum_step, sum_rows, sum_step)
        if width == 1:
            _one_column(rows, depth, left, part_right, part_start, part_out)
        elif width == 3:
            _three_columns(rows, depth, left, part_right, part_start, part_out)
        else:
            _most_columns(rows, depth, left, part_right, part_start, part_out)
        n += width
