"""Adversarial examples, those of ``zoo.training.adversary``: minibatches that are moved to where losses are large.

Each lane has examples of its own then. The border that a convolution pads stays as it is.

Shape letters: M members, S steps, V groups of sixteen, L lanes (16).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.data.examples import Examples
from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.adversary import STEP_SHARE, pixel_limits
from zoo.training.lanes.functions import uniform
from zoo.training.lanes.packing import LANES, Lanes
from zoo.training.lanes.program import Program
from zoo.training.lanes.vectors import (
    Pointer,
    Vector,
    aligned_vectors,
    fma,
    inlined,
    kernel_function,
    load,
    splat,
    store,
    vectors_of,
    where_less,
    words_of,
)


class Attack(NamedTuple):
    """How the examples of a group of members are moved.

    Attributes:
        steps: How many; 0 where they are not moved.
        radii_VKL: Radius of the ball, and length of a step.
        limits: The least and the largest input, float32.
        keys_VS2L: Of the draws where attacks start, int32 in place of uint32.
        clean: Memory for the examples of a piece as they are.
        slopes: For the gradient by them.
        gradient: For the parameters' gradient, which nobody wants.
    """

    steps: int
    radii_VKL: np.ndarray
    limits: np.ndarray
    keys_VS2L: np.ndarray
    clean: np.ndarray
    slopes: np.ndarray
    gradient: np.ndarray

    @classmethod
    def of(cls, program: Program, lanes: Lanes, members: Sequence[Member], examples: Examples) -> Attack:
        """For members whose attacks have as many steps."""
        steps = members[0].attack_steps
        share = 1.0 if steps <= 1 else STEP_SHARE / steps
        radii_MK = np.array(
            [[each.adversarial_epsilon * factor for factor in (1.0, share)] for each in members], dtype=np.float32
        )
        limits = pixel_limits(examples.values, examples.scale) or (-np.inf, np.inf)
        inputs = program.pieces.own_kept * program.image_size if steps else 1
        return cls(
            steps,
            lanes.spread(radii_MK, aligned_vectors(len(lanes), 2)),
            np.array(limits, dtype=np.float32),
            np.zeros((len(lanes), 1, 2, LANES), dtype=np.int32),
            aligned_vectors(inputs),
            aligned_vectors(inputs),
            aligned_vectors(program.trained if steps else 1),
        )

    def of_epoch(self, lanes: Lanes, members: Sequence[Member], epoch: int, steps: int) -> Attack:
        """The same with the keys of an epoch, where attacks start at random."""
        if self.steps <= 1:
            return self
        return self._replace(keys_VS2L=lanes.keys(Purpose.ATTACK, members, epoch, steps))


class Inputs(NamedTuple):
    """Where the inputs of examples lie.

    Attributes:
        places: Each input's place in an example, in torch's order.
        size: How many there are.
        image_size: From one example to the next.
    """

    places: Pointer
    size: int
    image_size: int


@inlined
def _between(x: Vector, low: Vector, high: Vector) -> Vector:
    x = where_less(x, low, low, x)
    return where_less(high, x, high, x)


@kernel_function
def begin_attack(attack: Any, v: int, s: int, moved: Pointer, inputs: Inputs, first: int, count: int) -> None:
    """Keeps examples as they are, and puts them where the attack starts: that is elsewhere where it has several steps.

    Args:
        attack: An :class:`Attack`.
        v: Which group of sixteen.
        s: Which step of the epoch.
        moved: The examples; changed.
        inputs: Where their inputs lie.
        first: Number of the first of them in the minibatch.
        count: How many there are.
    """
    clean, keys = vectors_of(attack.clean), words_of(attack.keys_VS2L[v, s if attack.steps > 1 else 0])
    radius = load(vectors_of(attack.radii_VKL[v]), 0)
    low, high = splat(attack.limits[0]), splat(attack.limits[1])
    for example in range(count):
        begin, draw = example * inputs.image_size, (first + example) * inputs.size
        for i in range(inputs.size):
            place = begin + load(inputs.places, i)
            value = load(moved, place)
            store(clean, place, value)
            if attack.steps > 1:
                store(moved, place, _between(fma(radius, uniform(keys, draw + i), value), low, high))


@kernel_function
def move(attack: Any, v: int, moved: Pointer, inputs: Inputs, count: int) -> None:
    """One step along the gradient's sign, back into the ball and within the limits; for arguments see above."""
    clean, slopes, radii = vectors_of(attack.clean), vectors_of(attack.slopes), vectors_of(attack.radii_VKL[v])
    radius, length = load(radii, 0), load(radii, 1)
    low, high, zero = splat(attack.limits[0]), splat(attack.limits[1]), splat(0.0)
    for example in range(count):
        begin = example * inputs.image_size
        for i in range(inputs.size):
            place = begin + load(inputs.places, i)
            slope, value = load(slopes, place), load(clean, place)
            sign = where_less(zero, slope, splat(1.0), where_less(slope, zero, splat(-1.0), zero))
            offset = _between(fma(length, sign, load(moved, place)) - value, zero - radius, radius)
            store(moved, place, _between(value + offset, low, high))
