"""The compiled entry points: training one epoch, and logits.

Shape letters: V groups of sixteen members, L lanes (16), P parameters, N examples, C classes, G blocks that share
minibatches, S steps, B batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zoo.training.lanes.cache import compiled_entry
from zoo.training.lanes.inputs import own_inputs, shared_inputs
from zoo.training.lanes.layers import (
    Dropout,
    Room,
    backward_activation,
    backward_product,
    forward_activation,
    forward_product,
    loss_slopes,
)
from zoo.training.lanes.pooling import backward_maximum, backward_mean, forward_maximum, forward_mean
from zoo.training.lanes.program import ACTIVATION, LANES, MAXIMUM, PRODUCT
from zoo.training.lanes.updates import update
from zoo.training.lanes.vectors import aligned_vectors, kernel_function, numbers_of, vectors_of, words_of

__all__ = ["Code", "Data", "Schedule", "State", "Work", "aligned_vectors", "apply", "train_epoch"]


class Code(NamedTuple):
    """What runs; see :class:`zoo.training.lanes.program.Program`."""

    steps: np.ndarray
    tables: np.ndarray
    zeros: int
    places: np.ndarray
    in_order: bool
    image_size: int
    classes: int
    at_once: int
    own_at_once: int


class Data(NamedTuple):
    """Images as bytes ``[N, inputs]`` and what one step of a byte is worth, float32 ``[1]``."""

    pixels: np.ndarray
    scale: np.ndarray


class Schedule(NamedTuple):
    """Rows of the images and their labels, int64 ``[G, S, B]``, and each lane's block, int64 ``[V, L]``."""

    examples_GSB: np.ndarray
    labels_GSB: np.ndarray
    block_VL: np.ndarray


class State(NamedTuple):
    """Members in training.

    Attributes:
        weights_VPL: Parameters in the kernel's order.
        first_VPL: First moments.
        second_VPL: Second moments.
        settings_VKL: Learning rate, weight decay, what dropout multiplies kept units by, and its inverse.
        thresholds_VL: Of dropout, int32 in place of uint32.
        drops_V: Whether any member of a group of sixteen drops units.
    """

    weights_VPL: np.ndarray
    first_VPL: np.ndarray
    second_VPL: np.ndarray
    settings_VKL: np.ndarray
    thresholds_VL: np.ndarray
    drops_V: np.ndarray


class Work(NamedTuple):
    """Memory for one group of sixteen at a time; see :class:`zoo.training.lanes.layers.Room`."""

    numbers: np.ndarray
    vectors: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    gradient: np.ndarray
    labels: np.ndarray
    begins: np.ndarray
    nothing: np.ndarray
    one: np.ndarray


@kernel_function
def _room(code: Code, work: Work, weights: Any, shared: bool) -> Room:
    """Where the layers of one group of sixteen find everything; ``weights`` are its own."""
    tables = numbers_of(code.tables)
    return Room(
        tables, tables + code.zeros, numbers_of(work.one), vectors_of(work.nothing), numbers_of(work.numbers),
        vectors_of(work.vectors), shared, vectors_of(work.values), vectors_of(work.slopes), weights,
        vectors_of(work.gradient),
    )  # fmt: skip


@kernel_function
def _shared_minibatch(code: Code, data: Data, work: Work, count: int) -> None:
    """Inputs of the images that ``work.begins`` names, which all members see."""
    shared_inputs(
        numbers_of(data.pixels), data.pixels.shape[1], numbers_of(work.begins), count, numbers_of(code.places),
        code.in_order, data.scale[0], numbers_of(work.numbers), code.image_size,
    )  # fmt: skip


@kernel_function
def _forward(steps: Any, room: Room, dropout: Dropout, count: int) -> None:
    """All layers in order."""
    for i in range(len(steps)):
        step = steps[i]
        if step.kind == PRODUCT:
            forward_product(step, room, count)
        elif step.kind == ACTIVATION:
            forward_activation(step, room, dropout, count)
        elif step.kind == MAXIMUM:
            forward_maximum(step, room, count)
        else:
            forward_mean(step, room, count)


@kernel_function
def _backward(steps: Any, room: Room, dropout: Dropout, count: int, more: bool) -> None:
    """All layers from last to first."""
    for i in range(len(steps) - 1, -1, -1):
        step = steps[i]
        if step.kind == PRODUCT:
            backward_product(step, room, count, more)
        elif step.kind == ACTIVATION:
            backward_activation(step, room, dropout, count)
        elif step.kind == MAXIMUM:
            backward_maximum(step, room, count)
        else:
            backward_mean(step, room, count)


@compiled_entry
def train_epoch(
    code: Code,
    data: Data,
    schedule: Schedule,
    state: State,
    keys_VS2L: np.ndarray,
    work: Work,
    optimizer: int,
    done: int,
) -> None:
    """Trains each group of sixteen for one epoch, one group after the other.

    Args:
        code: The architecture.
        data: The images.
        schedule: Which of them each step uses.
        state: Changed in place.
        keys_VS2L: Keys of dropout, int32 in place of uint32; not read for groups that drop nothing.
        work: Memory.
        optimizer: Its code.
        done: Optimizer steps before this epoch.
    """
    examples_GSB, labels_GSB, block_VL = schedule
    _, steps, batch = examples_GSB.shape
    size = data.pixels.shape[1]
    last = code.steps[len(code.steps) - 1]
    images, places, scale = numbers_of(data.pixels), numbers_of(code.places), data.scale[0]
    labels = words_of(work.labels)
    for v in range(len(state.weights_VPL)):
        block = block_VL[v, 0]
        shared = True
        for lane in range(1, LANES):
            shared = shared and block_VL[v, lane] == block
        weights, gradient = vectors_of(state.weights_VPL[v]), vectors_of(work.gradient)
        settings = vectors_of(state.settings_VKL[v])
        room = _room(code, work, weights, shared)
        at_once = code.at_once if shared else code.own_at_once
        for s in range(steps):
            for begin in range(0, batch, at_once):
                count = min(at_once, batch - begin)
                if shared:
                    for e in range(count):
                        work.begins[e] = examples_GSB[block, s, begin + e]
                        label = np.int32(labels_GSB[block, s, begin + e])
                        for lane in range(LANES):
                            work.labels[e, lane] = label
                    _shared_minibatch(code, data, work, count)
                else:
                    for e in range(count):
                        for lane in range(LANES):
                            own = block_VL[v, lane]
                            work.begins[e * LANES + lane] = examples_GSB[own, s, begin + e] * size
                            work.labels[e, lane] = np.int32(labels_GSB[own, s, begin + e])
                    own_inputs(
                        images, size, numbers_of(work.begins), count, places, scale, work.vectors, code.image_size
                    )
                dropout = Dropout(
                    state.drops_V[v], words_of(keys_VS2L[v, s]), words_of(state.thresholds_VL[v]), settings + 2,
                    batch, begin,
                )  # fmt: skip
                _forward(code.steps, room, dropout, count)
                loss_slopes(room, last.target, code.classes, labels, count, 1 / batch)
                _backward(code.steps, room, dropout, count, begin > 0)
            update(
                optimizer, weights, gradient, vectors_of(state.first_VPL[v]), vectors_of(state.second_VPL[v]),
                settings, len(work.gradient), done + s + 1,
            )  # fmt: skip


@compiled_entry
def apply(code: Code, data: Data, weights_VPL: np.ndarray, work: Work, logits_VNCL: np.ndarray) -> None:
    """Logits of every member for all images.

    Args:
        code: The architecture.
        data: The images.
        weights_VPL: Parameters in the kernel's order.
        work: Memory.
        logits_VNCL: Written.
    """
    count_all = len(data.pixels)
    last = code.steps[len(code.steps) - 1]
    dropout = Dropout(False, words_of(work.labels), words_of(work.labels), vectors_of(work.nothing), 0, 0)
    for begin in range(0, count_all, code.at_once):
        count = min(code.at_once, count_all - begin)
        for e in range(count):
            work.begins[e] = begin + e
        for v in range(len(weights_VPL)):
            room = _room(code, work, vectors_of(weights_VPL[v]), True)
            if v == 0:
                _shared_minibatch(code, data, work, count)
            _forward(code.steps, room, dropout, count)
            for e in range(count):
                for c in range(code.classes):
                    for lane in range(LANES):
                        logits_VNCL[v, begin + e, c, lane] = work.values[last.target + e * code.classes + c, lane]
