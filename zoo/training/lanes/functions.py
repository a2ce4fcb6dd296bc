"""Elementwise functions of vectors: exponentials, activation functions with derivatives, random draws.

All are within a few units in the last place of float32, and values that are not numbers stay so.
"""

from __future__ import annotations

from zoo.architecture.activations import LEAKY_SLOPE
from zoo.training.dropout import FIRST_FACTOR, FIRST_SHIFT, LAST_SHIFT, SECOND_FACTOR, SECOND_SHIFT
from zoo.training.lanes.codes import GELU, LEAKY_RELU, RELU, SIGMOID, TANH
from zoo.training.lanes.vectors import (
    Number,
    Pointer,
    Vector,
    Words,
    absolute,
    bits_of,
    fma,
    from_bits,
    from_words,
    inlined,
    load,
    nearest,
    shifted,
    splat,
    splat_word,
    sqrt,
    to_words,
    where_below,
    where_less,
    with_sign,
)

INVERSE_SQRT_2PI = 0.3989422804014327
# Of a draw as many bits are left as a float32 has, as in ``zoo.training.draws``.
CUT_BITS = 8
UNIFORM_UNIT = 2.0 ** (CUT_BITS - 31)


@inlined
def exp(x: Vector) -> Vector:
    """Gives e^x, for x cut to [-87, 88], where float32 is normal: range reduction and polynomial of Cephes' expf."""
    low, high = splat(-87.0), splat(88.0)
    x = where_less(x, low, low, x)
    x = where_less(high, x, high, x)
    twos = nearest(x * splat(1.4426950408889634))
    rest = fma(twos, splat(-0.693359375), x)
    rest = fma(twos, splat(2.12194440e-4), rest)
    series = splat(1.9875691500e-4)
    series = fma(series, rest, splat(1.3981999507e-3))
    series = fma(series, rest, splat(8.3334519073e-3))
    series = fma(series, rest, splat(4.1665795894e-2))
    series = fma(series, rest, splat(1.6666665459e-1))
    series = fma(series, rest, splat(5.0000001201e-1))
    series = fma(series, rest * rest, rest + splat(1.0))
    return series * from_bits((to_words(twos) + splat_word(127)) << splat_word(23))


@inlined
def tanh(x: Vector) -> Vector:
    """The hyperbolic tangent: a polynomial near 0 (Cephes' tanhf), else from the exponential."""
    size = absolute(x)
    square = x * x
    series = splat(-5.70498872745e-3)
    series = fma(series, square, splat(2.06390887954e-2))
    series = fma(series, square, splat(-5.37397155531e-2))
    series = fma(series, square, splat(1.33314422036e-1))
    series = fma(series, square, splat(-3.33332819422e-1))
    near = fma(series * square, x, x)
    far = splat(1.0) - splat(2.0) / (exp(size + size) + splat(1.0))
    return where_less(size, splat(0.625), near, with_sign(far, x))


@inlined
def sigmoid(x: Vector) -> Vector:
    """1 / (1 + e^-x)."""
    return splat(1.0) / (splat(1.0) + exp(splat(0.0) - x))


@inlined
def normal_tail(x: Vector, bell: Vector) -> Vector:
    """The probability that a normal variable exceeds |x|, given ``bell`` = e^(-x²/2).

    ``erfc(z) = t P(t) e^(-z²)`` with ``t = 1 / (1 + 0.47 z)``: P of degree 8 fitted to 6e-10 for z in [0, 9].
    """
    t = splat(1.0) / fma(splat(0.47 / 2**0.5), absolute(x), splat(1.0))
    series = splat(-4.197584129e-02)
    series = fma(series, t, splat(2.361369487e-01))
    series = fma(series, t, splat(-4.811582736e-01))
    series = fma(series, t, splat(3.463181980e-01))
    series = fma(series, t, splat(-1.945939042e-02))
    series = fma(series, t, splat(1.906769521e-01))
    series = fma(series, t, splat(2.406807252e-01))
    series = fma(series, t, splat(2.634586293e-01))
    series = fma(series, t, splat(2.653220517e-01))
    return splat(0.5) * series * t * bell


@inlined
def normal_share(x: Vector, bell: Vector) -> Vector:
    """The probability that a normal variable is below x, given ``bell`` = e^(-x²/2)."""
    tail = normal_tail(x, bell)
    return where_less(x, splat(0.0), tail, splat(1.0) - tail)


@inlined
def activated(function: Number, x: Vector) -> Vector:
    """The activation function of a code."""
    zero = splat(0.0)
    if function == RELU:
        return where_less(x, zero, zero, x)
    if function == LEAKY_RELU:
        return where_less(x, zero, x * splat(LEAKY_SLOPE), x)
    if function == TANH:
        return tanh(x)
    if function == SIGMOID:
        return sigmoid(x)
    if function == GELU:
        return x * normal_share(x, exp(x * x * splat(-0.5)))
    return x * sigmoid(x)


@inlined
def chained(function: Number, known: Vector, gradient: Vector) -> Vector:
    """The gradient times the derivative of the activation function of a code.

    Args:
        function: Which.
        known: The function's value where ``program.KEEPS_VALUE`` says so, else its argument.
        gradient: The gradient with respect to the value.
    """
    zero, one = splat(0.0), splat(1.0)
    if function == RELU:
        return where_less(zero, known, gradient, zero)
    if function == LEAKY_RELU:
        return where_less(zero, known, gradient, gradient * splat(LEAKY_SLOPE))
    if function == TANH:
        return gradient * (one - known * known)
    if function == SIGMOID:
        return gradient * (known * (one - known))
    if function == GELU:
        bell = exp(known * known * splat(-0.5))
        return gradient * fma(known * splat(INVERSE_SQRT_2PI), bell, normal_share(known, bell))
    share = sigmoid(known)
    return gradient * (share * fma(known, one - share, one))


@inlined
def dropout_factor(keys: Pointer, thresholds: Pointer, keep: Vector, counter: int) -> Vector:
    """What dropout multiplies one unit of one example by; see ``zoo.training.dropout``.

    Args:
        keys: Two words: the step's keys.
        thresholds: One: below it a unit is dropped.
        keep: What others are multiplied by.
        counter: ``unit * B + example``.
    """
    return where_below(drawn(keys, counter), load(thresholds, 0), splat(0.0), keep)


@inlined
def drawn(keys: Pointer, counter: int) -> Words:
    """The hash of a counter by two words of keys; see ``zoo.training.dropout``."""
    draw = splat_word(counter) + load(keys, 0)
    draw = (draw ^ (draw >> splat_word(FIRST_SHIFT))) * splat_word(FIRST_FACTOR) + load(keys, 1)
    draw = (draw ^ (draw >> splat_word(SECOND_SHIFT))) * splat_word(SECOND_FACTOR)
    return draw ^ (draw >> splat_word(LAST_SHIFT))


@inlined
def uniform(keys: Pointer, counter: int) -> Vector:
    """A draw between -1 and 1, neither of them among these: as in ``zoo.training.draws``."""
    return (from_words(shifted(drawn(keys, counter), splat_word(CUT_BITS))) + splat(0.5)) * splat(UNIFORM_UNIT)


@inlined
def log(x: Vector) -> Vector:
    """The logarithm of normal numbers above 0: Cephes' logf."""
    bits = bits_of(x)
    twos = from_words((bits >> splat_word(23)) + splat_word(-127))
    rest = from_bits(((bits << splat_word(9)) >> splat_word(9)) ^ splat_word(127 << 23))
    is_low = where_less(rest, splat(2**0.5), splat(1.0), splat(0.0))
    twos = twos + (splat(1.0) - is_low)
    rest = rest * fma(is_low, splat(0.5), splat(0.5)) - splat(1.0)
    square = rest * rest
    series = splat(7.0376836292e-2)
    series = fma(series, rest, splat(-1.1514610310e-1))
    series = fma(series, rest, splat(1.1676998740e-1))
    series = fma(series, rest, splat(-1.2420140846e-1))
    series = fma(series, rest, splat(1.4249322787e-1))
    series = fma(series, rest, splat(-1.6668057665e-1))
    series = fma(series, rest, splat(2.0000714765e-1))
    series = fma(series, rest, splat(-2.4999993993e-1))
    series = fma(series, rest, splat(3.3333331174e-1))
    series = fma(twos, splat(-2.12194440e-4), series * rest * square)
    return fma(twos, splat(0.693359375), rest + fma(square, splat(-0.5), series))


@inlined
def inverse_error(x: Vector) -> Vector:
    """The inverse of the error function between -1 and 1, whose product with √2 makes a uniform draw a normal one.

    Giles, "Approximating the erfinv function" (GPU Computing Gems, 2012), in single precision: polynomials of
    w = -log(1 - x²), one for w below 5 and one of its root beyond.
    """
    w = splat(0.0) - log((splat(1.0) - x) * (splat(1.0) + x))
    near, far = w - splat(2.5), sqrt(w) - splat(3.0)
    middle = splat(2.81022636e-08)
    middle = fma(middle, near, splat(3.43273939e-07))
    middle = fma(middle, near, splat(-3.5233877e-06))
    middle = fma(middle, near, splat(-4.39150654e-06))
    middle = fma(middle, near, splat(0.00021858087))
    middle = fma(middle, near, splat(-0.00125372503))
    middle = fma(middle, near, splat(-0.00417768164))
    middle = fma(middle, near, splat(0.246640727))
    middle = fma(middle, near, splat(1.50140941))
    tail = splat(-0.000200214257)
    tail = fma(tail, far, splat(0.000100950558))
    tail = fma(tail, far, splat(0.00134934322))
    tail = fma(tail, far, splat(-0.00367342844))
    tail = fma(tail, far, splat(0.00573950773))
    tail = fma(tail, far, splat(-0.0076224613))
    tail = fma(tail, far, splat(0.00943887047))
    tail = fma(tail, far, splat(1.00167406))
    tail = fma(tail, far, splat(2.83297682))
    return x * where_less(w, splat(5.0), middle, tail)
