"""From bytes of images to inputs of a minibatch: numbers where all members see the same examples, else vectors."""

# ruff: noqa: ARG001 (Numba hands every emitter more than it needs)

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

from zoo.training.lanes.codes import LANES
from zoo.training.lanes.vectors import (
    FLOATS,
    INTS,
    Number,
    Pointer,
    called,
    element_address,
    kernel_function,
    load,
    primitive,
    repeated,
    store,
    vectors_of,
)

BYTES = ir.VectorType(ir.IntType(8), LANES)


class Pixels(NamedTuple):
    """Bytes of all images, and what becomes of one: ``byte * scale + offset``, rounded once.

    Attributes:
        bytes: The images, one after the other.
        size: Of one.
        scale: What one step of a byte is worth, float32.
        offset: What 0 is worth, float32.
    """

    bytes: Pointer
    size: int
    scale: Number
    offset: Number


@primitive
def _sixteen_pixels(typing: Any, images: Any, begins: Any, places: Any, scale: Any, offset: Any, out: Any) -> Any:
    """Sixteen neighboring pixels of sixteen images as sixteen vectors.

    Args:
        typing: Numba's.
        images: Bytes of the first of the sixteen pixels of image 0.
        begins: Where each lane's image begins, int64.
        places: Where each pixel's vector goes.
        scale: As in :class:`Pixels`.
        offset: Likewise.
        out: Vectors.
    """

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        pixels, begins, places, scale, offset, out = arguments
        kinds = dict(zip(("images", "begins", "places", "scale", "offset", "out"), sig.args, strict=True))

        def element(name: str, pointer: Any, index: int) -> Any:
            return element_address(context, builder, kinds[name], pointer, ir.Constant(ir.IntType(64), index))

        rows = []
        for lane in range(LANES):
            begin = builder.load(element("begins", begins, lane))
            address = element_address(context, builder, kinds["images"], pixels, begin)
            rows.append(builder.load(builder.bitcast(address, BYTES.as_pointer()), align=1))
        # Interleaving registers i and i + 8 rotates the eight bits of (register, byte) by one; four times exchange
        # the two halves, which is the transpose.
        low = ir.Constant(INTS, [i // 2 + LANES * (i % 2) for i in range(LANES)])
        high = ir.Constant(INTS, [LANES // 2 + i // 2 + LANES * (i % 2) for i in range(LANES)])
        for _ in range(4):
            rows = [
                builder.shuffle_vector(rows[i], rows[i + LANES // 2], half)
                for i in range(LANES // 2)
                for half in (low, high)
            ]
        for pixel, row in enumerate(rows):
            place = builder.sext(builder.load(element("places", places, pixel)), ir.IntType(64))
            value = _converted(builder, row, scale, offset)
            builder.store(value, element_address(context, builder, kinds["out"], out, place), align=4)
        return context.get_dummy_value()

    return types.void(images, begins, places, types.float32, types.float32, out), emit


@primitive
def _sixteen_numbers(typing: Any, image: Any, scale: Any, offset: Any, out: Any) -> Any:
    """Sixteen neighboring pixels of one image as sixteen numbers."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        pixels, scale, offset, out = arguments
        row = builder.load(builder.bitcast(pixels, BYTES.as_pointer()), align=1)
        value = _converted(builder, row, scale, offset)
        builder.store(value, builder.bitcast(out, FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(image, types.float32, types.float32, out), emit


@primitive
def _one_number(typing: Any, byte: Any, scale: Any, offset: Any) -> Any:
    """One pixel as a number, to the bit as :func:`_sixteen_numbers` makes it."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        byte, scale, offset = arguments
        return builder.fma(builder.uitofp(byte, scale.type), scale, offset)

    return types.float32(types.uint8, types.float32, types.float32), emit


def _converted(builder: Any, row: Any, scale: Any, offset: Any) -> Any:
    """Emits the conversion of sixteen bytes."""
    floats = builder.uitofp(builder.zext(row, INTS), FLOATS)
    return called(builder, "llvm.fma", floats, repeated(builder, scale), repeated(builder, offset))


@kernel_function
def shared_inputs(
    pixels: Pixels, rows: Pointer, count: int, places: Pointer, in_order: bool, out: Pointer, out_size: int
) -> None:
    """Inputs of one minibatch as numbers.

    Args:
        pixels: The images.
        rows: Which of them, int64.
        count: How many.
        places: Where each input of an image goes.
        in_order: Whether that is where it comes from.
        out: Numbers.
        out_size: From one image to the next.
    """
    images, size, scale, offset = pixels
    for example in range(count):
        image, target = images + load(rows, example) * size, out + example * out_size
        done = 0
        if in_order:
            done = size // LANES * LANES
            for i in range(0, done, LANES):
                _sixteen_numbers(image + i, scale, offset, target + i)
        for i in range(done, size):
            store(target, load(places, i), _one_number(load(image, i), scale, offset))


@kernel_function
def own_inputs(pixels: Pixels, begins: Pointer, count: int, places: Pointer, out: Any, out_size: int) -> None:
    """Inputs of each lane's own minibatch as vectors; like :func:`shared_inputs`.

    Args:
        pixels: The images.
        begins: Where the image of each example and lane begins in the bytes, int64 ``[count * 16]``.
        count: How many examples.
        places: Where each input of an image goes.
        out: Array of vectors.
        out_size: From one image to the next.
    """
    images, size, scale, offset = pixels
    vectors = vectors_of(out)
    for example in range(count):
        begin, target = begins + example * LANES, example * out_size
        for i in range(0, size - LANES + 1, LANES):
            _sixteen_pixels(images + i, begin, places + i, scale, offset, vectors + target)
        if size % LANES and size > LANES:  # the last sixteen overlap the ones before
            last = size - LANES
            _sixteen_pixels(images + last, begin, places + last, scale, offset, vectors + target)
        elif size < LANES:
            for i in range(size):
                place = target + load(places, i)
                for lane in range(LANES):
                    out[place, lane] = _one_number(load(images, load(begin, lane) + i), scale, offset)
