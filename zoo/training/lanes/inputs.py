"""From bytes of images to inputs of a minibatch: numbers where all members see the same examples, else vectors."""

# ruff: noqa: ARG001 (Numba hands every emitter more than it needs)

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from zoo.training.lanes.program import LANES
from zoo.training.lanes.vectors import (
    FLOATS,
    INTS,
    Number,
    Pointer,
    element_address,
    kernel_function,
    load,
    primitive,
    repeated,
    store,
    vectors_of,
)

BYTES = ir.VectorType(ir.IntType(8), LANES)


@primitive
def _sixteen_pixels(typing: Any, images: Any, begins: Any, places: Any, scale: Any, out: Any) -> Any:
    """Sixteen neighbouring pixels of sixteen images as sixteen vectors.

    Args:
        typing: Numba's.
        images: Bytes of the first of the sixteen pixels of image 0.
        begins: Where each lane's image begins, int64.
        places: Where each pixel's vector goes.
        scale: What one step of a pixel is worth.
        out: Vectors.
    """

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        pixels, begins, places, scale, out = arguments
        kinds = dict(zip(("images", "begins", "places", "scale", "out"), sig.args, strict=True))

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
        factor = repeated(builder, scale)
        for pixel, row in enumerate(rows):
            place = builder.sext(builder.load(element("places", places, pixel)), ir.IntType(64))
            value = builder.fmul(builder.uitofp(builder.zext(row, INTS), FLOATS), factor)
            builder.store(value, element_address(context, builder, kinds["out"], out, place), align=4)
        return context.get_dummy_value()

    return types.void(images, begins, places, types.float32, out), emit


@primitive
def _sixteen_numbers(typing: Any, image: Any, scale: Any, out: Any) -> Any:
    """Sixteen neighbouring pixels of one image as sixteen numbers."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        pixels, scale, out = arguments
        row = builder.load(builder.bitcast(pixels, BYTES.as_pointer()), align=1)
        value = builder.fmul(builder.uitofp(builder.zext(row, INTS), FLOATS), repeated(builder, scale))
        builder.store(value, builder.bitcast(out, FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(image, types.float32, out), emit


@kernel_function
def shared_inputs(
    images: Pointer,
    size: int,
    rows: Pointer,
    count: int,
    places: Pointer,
    in_order: bool,
    scale: Number,
    out: Pointer,
    out_size: int,
) -> None:
    """Inputs of one minibatch as numbers.

    Args:
        images: Bytes of all images.
        size: Of one.
        rows: Which images, int64.
        count: How many.
        places: Where each input of an image goes.
        in_order: Whether that is where it comes from.
        scale: What one step of a pixel is worth, float32.
        out: Numbers.
        out_size: From one image to the next.
    """
    for example in range(count):
        image, target = images + load(rows, example) * size, out + example * out_size
        done = 0
        if in_order:
            done = size // LANES * LANES
            for i in range(0, done, LANES):
                _sixteen_numbers(image + i, scale, target + i)
        for i in range(done, size):
            store(target, load(places, i), load(image, i) * scale)


@kernel_function
def own_inputs(
    images: Pointer, size: int, rows: Pointer, count: int, places: Pointer, scale: Number, out: Any, out_size: int
) -> None:
    """Inputs of each lane's own minibatch as vectors; like :func:`shared_inputs`.

    Args:
        images: Bytes of all images.
        size: Of one.
        rows: Where the image of each example and lane begins in the bytes, int64 ``[count * 16]``.
        count: How many examples.
        places: Where each input of an image goes.
        scale: What one step of a pixel is worth, float32.
        out: Array of vectors.
        out_size: From one image to the next.
    """
    vectors = vectors_of(out)
    for example in range(count):
        begins, target = rows + example * LANES, example * out_size
        for i in range(0, size - LANES + 1, LANES):
            _sixteen_pixels(images + i, begins, places + i, scale, vectors + target)
        if size % LANES and size > LANES:  # the last sixteen overlap the ones before
            last = size - LANES
            _sixteen_pixels(images + last, begins, places + last, scale, vectors + target)
        elif size < LANES:
            for i in range(size):
                place = target + load(places, i)
                for lane in range(LANES):
                    out[place, lane] = load(images, load(begins, lane) + i) * scale
