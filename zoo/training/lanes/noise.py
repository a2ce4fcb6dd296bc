"""Noise on parameters, that of ``zoo.training.weight_noise``: each step sees other weights than it changes.

Shape letters: M members, P parameters, T tensors with noise, S steps, V groups of sixteen, L lanes (16).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.architecture import Architecture
from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.lanes.functions import inverse_error, uniform
from zoo.training.lanes.packing import LANES, Lanes
from zoo.training.lanes.program import Program
from zoo.training.lanes.vectors import (
    Pointer,
    aligned_vectors,
    fma,
    kernel_function,
    load,
    numbers_of,
    splat,
    sqrt,
    store,
    vectors_of,
    where_less,
    words_of,
)
from zoo.training.weight_noise import noisy_tensors


class Noise(NamedTuple):
    """What a group of members draws noise by.

    Attributes:
        active: Whether it has any.
        tensors: Of each tensor where it begins, its size, its neurons, and the draw of the first of these, int64
            ``[T, 4]``. Its neurons are next to one another in the kernel's order.
        counters: The draw of each parameter, in the kernel's order, int32 ``[P]``.
        strengths_VKL: √2 times the noise's deviation in root mean squares, and the draw below which a neuron has it.
        keys_VS2L: Of the draws, int32 in place of uint32.
        noisy: Memory for the weights of one group of sixteen, and behind them for the neurons of one tensor.
    """

    active: bool
    tensors: np.ndarray
    counters: np.ndarray
    strengths_VKL: np.ndarray
    keys_VS2L: np.ndarray
    noisy: np.ndarray

    @classmethod
    def of(cls, architecture: Architecture, program: Program, lanes: Lanes, members: Sequence[Member]) -> Noise:
        """For members that all have noise, or none of which has."""
        active = any(member.weight_noise for member in members)
        noisy = noisy_tensors(architecture) if active else []
        offsets = {spec.name: spec.offset for spec in architecture.layout}
        neurons = max((tensor.neurons.stop for tensor in noisy), default=0)
        place_of = np.empty(len(program.order), dtype=np.int64)
        place_of[program.order] = np.arange(len(program.order))
        tensors, counters = [], np.zeros(len(program.order), dtype=np.int32)
        for tensor in noisy:
            size = math.prod(tensor.shape)
            places = place_of[offsets[tensor.name] : offsets[tensor.name] + size]
            counters[places] = neurons + tensor.entries.start + np.arange(size)
            tensors.append((places.min(), size, tensor.shape[0], tensor.neurons.start))
        strengths_MK = np.array(
            [[math.sqrt(2) * each.weight_noise, 2 * each.weight_noise_share - 1] for each in members], dtype=np.float32
        )
        keys_VS2L = np.zeros((len(lanes), 1, 2, LANES), dtype=np.int32)
        table = np.array(tensors, dtype=np.int64).reshape(-1, 4)
        room = len(counters) + max((neurons for _, _, neurons, _ in tensors), default=0)
        strengths_VKL = lanes.spread(strengths_MK, aligned_vectors(len(lanes), 2))
        return cls(active, table, counters, strengths_VKL, keys_VS2L, aligned_vectors(room if active else 1))

    def of_epoch(self, lanes: Lanes, members: Sequence[Member], epoch: int, steps: int) -> Noise:
        """The same with the keys of an epoch."""
        if not self.active:
            return self
        return self._replace(keys_VS2L=lanes.keys(Purpose.WEIGHT_NOISE, members, epoch, steps))


@kernel_function
def add_noise(noise: Any, v: int, s: int, weights: Pointer, noisy: Pointer, count: int) -> None:
    """Writes the weights of one group of sixteen with the noise of a step.

    Args:
        noise: A :class:`Noise`.
        v: Which group.
        s: Which step of the epoch.
        weights: Theirs.
        noisy: Written: the memory of ``noise``.
        count: P.
    """
    keys, strengths = words_of(noise.keys_VS2L[v, s]), vectors_of(noise.strengths_VKL[v])
    counters, scales = numbers_of(noise.counters), noisy + count
    for i in range(count):
        store(noisy, i, load(weights, i))
    for t in range(len(noise.tensors)):
        begin, size, neurons, first = noise.tensors[t]
        total = splat(0.0)
        for i in range(begin, begin + size):
            weight = load(weights, i)
            total = fma(weight, weight, total)
        deviation = sqrt(total * splat(1 / size)) * load(strengths, 0)
        for unit in range(neurons):
            store(scales, unit, where_less(uniform(keys, first + unit), load(strengths, 1), deviation, splat(0.0)))
        for row in range(begin, begin + size, neurons):
            for unit in range(neurons):
                normal = inverse_error(uniform(keys, load(counters, row + unit)))
                store(noisy, row + unit, fma(normal, load(scales, unit), load(weights, row + unit)))
