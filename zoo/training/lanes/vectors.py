"""The SIMD vocabulary: sixteen members side by side, one in each lane.

A *vector* is ``<16 x float>`` in LLVM and *words* are ``<16 x i32>``; LLVM lowers them to one AVX-512 register, two of
AVX2 or four of NEON. Compiled functions get arrays as *pointers*, made once at the top by :func:`vectors_of`,
:func:`words_of` and :func:`numbers_of`: ``pointer + n`` moves by n elements (vectors, words or single numbers),
``load`` and ``store`` do what they say, and nothing checks bounds. Arrays of vectors end in an axis of 16.

No operation has a fast-math flag, and products are fused with sums where :func:`fma` says so and nowhere else: what a
lane computes does not depend on the neighboring code, let alone on the other lanes.
"""

# ruff: noqa: ARG001, ARG005 (Numba hands every emitter more than it needs)

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

from zoo.training.lanes.codes import LANES

# What stands for the compiler's types in annotations: Python never sees their values.
Vector = Any
Words = Any
Pointer = Any
Number = Any

FLOAT, INT = ir.FloatType(), ir.IntType(32)
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)
INDEX = ir.IntType(64)


class VectorType(types.Type):
    """Sixteen float32."""

    def __init__(self) -> None:
        super().__init__("vector")


class WordsType(types.Type):
    """Sixteen 32-bit words, unsigned where it matters."""

    def __init__(self) -> None:
        super().__init__("words")


class PointerType(types.Type):
    """The address of elements of one kind: vectors, words or a number type."""

    def __init__(self, element: types.Type) -> None:
        super().__init__(f"pointer({element})")
        self.element = element


vector, words = VectorType(), WordsType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, FLOATS)


@register_model(WordsType)
class _WordsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, INTS)


@register_model(PointerType)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: PointerType) -> None:
        super().__init__(manager, kind, ir.IntType(8).as_pointer())


def primitive(function: Callable[..., Any], *, prefer_literal: bool = False) -> Callable[..., Any]:
    """A function that is given by the LLVM code it emits."""
    return intrinsic(prefer_literal=prefer_literal)(function)


# Only compiled functions call these: nothing is emitted for Python and C. (Numba's stubs lack two of the options.)
INNER: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
}  # fmt: skip


def kernel_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function that only compiled functions call."""
    return njit(**INNER)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a small function into its callers."""
    return njit(**INNER, forceinline=True)(function)


def expanded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function as a part of its only caller: else all that it calls is optimized once more, for a second."""
    return njit(**INNER, inline="always")(function)


def _element(context: Any, kind: PointerType) -> ir.Type:
    """The LLVM type of what a pointer points to."""
    return context.get_data_type(kind.element)


def element_address(context: Any, builder: ir.IRBuilder, kind: PointerType, pointer: Any, index: Any) -> Any:
    """The LLVM address of the index-th element."""
    return builder.gep(builder.bitcast(pointer, _element(context, kind).as_pointer()), [index])


def _pointer_maker(element: types.Type | None) -> Callable[..., Any]:
    @primitive
    def of(typing: Any, array: Any) -> Any:
        kind = PointerType(element or array.dtype)

        def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            data = context.make_array(sig.args[0])(context, builder, arguments[0]).data
            return builder.bitcast(data, ir.IntType(8).as_pointer())

        return kind(array), emit

    return of


vectors_of = _pointer_maker(vector)
words_of = _pointer_maker(words)
numbers_of = _pointer_maker(None)


@primitive
def _move(typing: Any, pointer: Any, count: Any) -> Any:
    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        address = element_address(context, builder, sig.args[0], *arguments)
        return builder.bitcast(address, ir.IntType(8).as_pointer())

    return pointer(pointer, types.intp), emit


@primitive
def load(typing: Any, pointer: Any, index: Any) -> Any:
    """The element at an index: a vector, words or a number."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.load(element_address(context, builder, sig.args[0], *arguments), align=_alignment(pointer))

    return pointer.element(pointer, types.intp), emit


@primitive
def store(typing: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Writes the element at an index."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        address = element_address(context, builder, sig.args[0], *arguments[:2])
        builder.store(arguments[2], address, align=_alignment(pointer))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, pointer.element), emit


def _alignment(pointer: PointerType) -> int:
    """Vectors may start anywhere a float may."""
    element: Any = pointer.element
    return 4 if element in (vector, words) else element.bitwidth // 8


def _same(operation: Any, kind: types.Type, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Gives an operator to two values of one kind."""

    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases = [signature(kind, kind, kind)]  # noqa: RUF012

    @lower_builtin(operation, kind, kind)
    def _lower(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return emit(builder, *arguments)


_same(operator.add, vector, lambda builder, x, y: builder.fadd(x, y))
_same(operator.sub, vector, lambda builder, x, y: builder.fsub(x, y))
_same(operator.mul, vector, lambda builder, x, y: builder.fmul(x, y))
_same(operator.truediv, vector, lambda builder, x, y: builder.fdiv(x, y))
_same(operator.add, words, lambda builder, x, y: builder.add(x, y))
_same(operator.mul, words, lambda builder, x, y: builder.mul(x, y))
_same(operator.xor, words, lambda builder, x, y: builder.xor(x, y))
_same(operator.rshift, words, lambda builder, x, y: builder.lshr(x, y))
_same(operator.lshift, words, lambda builder, x, y: builder.shl(x, y))


def repeated(builder: Any, number: Any) -> Any:
    """Emits a vector with one number in all lanes."""
    kind = ir.VectorType(number.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, INT(0))
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), ir.Constant(INTS, [0] * LANES))


def called(builder: Any, name: str, *arguments: Any) -> Any:
    """Emits a call of one of LLVM's own functions on vectors."""
    kind = arguments[0].type
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(arguments)), f"{name}.v{kind.count}f32"
    )
    return builder.call(function, arguments)


@primitive
def splat(typing: Any, number: Any) -> Any:
    """A number in all lanes, rounded to float32."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return repeated(builder, context.cast(builder, arguments[0], sig.args[0], types.float32))

    return vector(number), emit


@primitive
def splat_word(typing: Any, number: Any) -> Any:
    """The low 32 bits of a whole number in all lanes."""

    def emit(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return repeated(builder, builder.trunc(arguments[0], INT))

    return words(types.intp), emit


@primitive
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """``x * y + z``, rounded once."""
    return vector(vector, vector, vector), lambda context, builder, sig, v: called(builder, "llvm.fma", *v)


@primitive
def sqrt(typing: Any, x: Any) -> Any:
    """The square root."""
    return vector(vector), lambda context, builder, sig, v: called(builder, "llvm.sqrt", *v)


@primitive
def nearest(typing: Any, x: Any) -> Any:
    """The nearest whole number, ties to even."""
    return vector(vector), lambda context, builder, sig, v: called(builder, "llvm.rint", *v)


@primitive
def absolute(typing: Any, x: Any) -> Any:
    """The value without its sign."""
    return vector(vector), lambda context, builder, sig, v: called(builder, "llvm.fabs", *v)


@primitive
def with_sign(typing: Any, x: Any, sign: Any) -> Any:
    """``x`` with the sign of another vector."""
    return vector(vector, vector), lambda context, builder, sig, v: called(builder, "llvm.copysign", *v)


@primitive
def to_words(typing: Any, x: Any) -> Any:
    """Whole numbers as signed integers; other values give anything."""
    return words(vector), lambda context, builder, sig, v: builder.fptosi(v[0], INTS)


@primitive
def from_words(typing: Any, x: Any) -> Any:
    """Signed integers as the nearest floats."""
    return vector(words), lambda context, builder, sig, v: builder.sitofp(v[0], FLOATS)


@primitive
def bits_of(typing: Any, x: Any) -> Any:
    """The bits of floats."""
    return words(vector), lambda context, builder, sig, v: builder.bitcast(v[0], INTS)


@primitive
def shifted(typing: Any, x: Any, count: Any) -> Any:
    """Signed words shifted to the right, with copies of their sign."""
    return words(words, words), lambda context, builder, sig, v: builder.ashr(v[0], v[1])


@primitive
def from_bits(typing: Any, x: Any) -> Any:
    """The floats that have these bits."""
    return vector(words), lambda context, builder, sig, v: builder.bitcast(v[0], FLOATS)


@primitive
def where_less(typing: Any, x: Any, y: Any, then: Any, otherwise: Any) -> Any:
    """``then`` where x < y, else ``otherwise``: also where one is not a number."""
    return vector(vector, vector, vector, vector), lambda context, builder, sig, v: builder.select(
        builder.fcmp_ordered("<", v[0], v[1]), v[2], v[3]
    )


@primitive
def where_equal(typing: Any, x: Any, y: Any, then: Any, otherwise: Any) -> Any:
    """``then`` where two vectors or two words are equal, else ``otherwise``."""

    def emit(context: Any, builder: Any, sig: Any, v: Any) -> Any:
        compare = builder.fcmp_ordered if sig.args[0] == vector else builder.icmp_signed
        return builder.select(compare("==", v[0], v[1]), v[2], v[3])

    return vector(x, x, vector, vector), emit


@primitive
def where_below(typing: Any, x: Any, y: Any, then: Any, otherwise: Any) -> Any:
    """``then`` where the unsigned word x < y, else ``otherwise``."""
    return vector(words, words, vector, vector), lambda context, builder, sig, v: builder.select(
        builder.icmp_unsigned("<", v[0], v[1]), v[2], v[3]
    )


@overload(operator.add)
def _add(pointer: Any, count: Any) -> Any:
    def moved(pointer: Any, count: Any) -> Any:
        return _move(pointer, count)

    return moved if isinstance(pointer, PointerType) and isinstance(count, types.Integer) else None


def aligned_vectors(*shape: int) -> np.ndarray:
    """A zeroed float32 array ``[*shape, 16]`` that begins where a cache line does."""
    size = math.prod(shape) * LANES
    memory = np.zeros(size + LANES, dtype=np.float32)
    start = -memory.ctypes.data % (4 * LANES) // 4
    return memory[start : start + size].reshape(*shape, LANES)
