"""Optimizers, each as its namesake in ``torch.optim`` at that class's default coefficients.

Learning rates and weight decay are vectors; coefficients are those of ``zoo.population.optimizers``.
"""

from __future__ import annotations

from zoo.population.optimizers import BETA1, BETA2, EPSILON, RMS_ALPHA
from zoo.population.optimizers import MOMENTUM as VELOCITY_KEPT
from zoo.training.lanes.codes import ADAM, ADAMW, MOMENTUM, SGD
from zoo.training.lanes.vectors import Pointer, fma, kernel_function, load, splat, sqrt, store


@kernel_function
def update(
    optimizer: int,
    weights: Pointer,
    gradient: Pointer,
    first: Pointer,
    second: Pointer,
    rates: Pointer,
    count: int,
    step: int,
) -> None:
    """One step of an optimizer on all parameters.

    Args:
        optimizer: Its code.
        weights: Changed in place.
        gradient: Of the mean loss.
        first: Velocity or mean of gradients.
        second: Mean of their squares.
        rates: Learning rate and weight decay.
        count: P.
        step: Number of this step, from 1.
    """
    rate, decay = load(rates, 0), load(rates, 1)
    zero, one = splat(0.0), splat(1.0)
    if optimizer == SGD:
        for i in range(count):
            weight = load(weights, i)
            slope = fma(decay, weight, load(gradient, i))
            store(weights, i, fma(zero - rate, slope, weight))
    elif optimizer == MOMENTUM:
        for i in range(count):
            weight = load(weights, i)
            slope = fma(decay, weight, load(gradient, i))
            velocity = fma(splat(VELOCITY_KEPT), load(first, i), slope)
            store(first, i, velocity)
            store(weights, i, fma(zero - rate, velocity, weight))
    elif optimizer in (ADAM, ADAMW):
        stride = zero - rate * splat(1 / (1 - BETA1**step))
        unbias = splat(1 / (1 - BETA2**step) ** 0.5)
        added = decay if optimizer == ADAM else zero
        kept = one if optimizer == ADAM else one - rate * decay
        for i in range(count):
            weight = load(weights, i)
            slope = fma(added, weight, load(gradient, i))
            mean = load(first, i)
            mean = fma(splat(1 - BETA1), slope - mean, mean)
            square = fma(splat(1 - BETA2) * slope, slope, splat(BETA2) * load(second, i))
            store(first, i, mean)
            store(second, i, square)
            move = mean / fma(sqrt(square), unbias, splat(EPSILON))
            store(weights, i, fma(stride, move, weight * kept))
    else:
        for i in range(count):
            weight = load(weights, i)
            slope = fma(decay, weight, load(gradient, i))
            square = fma(splat(1 - RMS_ALPHA) * slope, slope, splat(RMS_ALPHA) * load(second, i))
            store(second, i, square)
            store(weights, i, fma(zero - rate, slope / (sqrt(square) + splat(EPSILON)), weight))
