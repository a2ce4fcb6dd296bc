"""The compiled entry points: training one epoch, and logits.

Shape letters: V groups of sixteen members, L lanes (16), P parameters, N examples, C classes, G blocks that share
minibatches, S steps, B batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zoo.training.lanes.attack import Attack, Inputs, begin_attack, move
from zoo.training.lanes.cache import compiled_entry
from zoo.training.lanes.codes import ACTIVATION, LANES, MAXIMUM, MEAN, MOMENTS, NORM, PRODUCT
from zoo.training.lanes.inputs import Pixels, own_inputs, shared_inputs
from zoo.training.lanes.layers import (
    Dropout,
    Piece,
    Room,
    backward_activation,
    backward_product,
    backward_sum,
    forward_activation,
    forward_product,
    forward_sum,
    input_slopes,
    loss_slopes,
)
from zoo.training.lanes.noise import Noise, add_noise
from zoo.training.lanes.norms import backward_moments, backward_norm, forward_moments, forward_norm
from zoo.training.lanes.pooling import backward_maximum, backward_mean, forward_maximum, forward_mean
from zoo.training.lanes.program import Program
from zoo.training.lanes.updates import update
from zoo.training.lanes.vectors import (
    Pointer,
    aligned_vectors,
    expanded,
    inlined,
    kernel_function,
    load,
    numbers_of,
    store,
    vectors_of,
    words_of,
)

__all__ = ["Attack", "Data", "Noise", "Schedule", "State", "Work", "aligned_vectors", "apply", "train_epoch"]


class Data(NamedTuple):
    """Images as bytes ``[N, inputs]``, and scale and offset that make inputs of them, float32 ``[2]``."""

    pixels: np.ndarray
    conversion: np.ndarray


class Schedule(NamedTuple):
    """Rows of the images and their labels, int64 ``[G, S, B]``, and each lane's block, int64 ``[V, L]``."""

    examples_GSB: np.ndarray
    labels_GSB: np.ndarray
    block_VL: np.ndarray


class State(NamedTuple):
    """Members in training.

    Attributes:
        weights_VPL: Parameters in the kernel's order, buffers last.
        first_VPL: First moments of those that are trained.
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
    statistics: np.ndarray
    gradient: np.ndarray
    labels: np.ndarray
    begins: np.ndarray
    nothing: np.ndarray
    one: np.ndarray


@kernel_function
def room_of(program: Program, work: Work, weights: Any, shared: bool, training: bool) -> Room:
    """Where the layers of one group of sixteen find everything; ``weights`` are its own."""
    tables = numbers_of(program.tables)
    return Room(
        tables, tables + program.zeros, numbers_of(work.one), vectors_of(work.nothing), numbers_of(work.numbers),
        vectors_of(work.vectors), shared, training, vectors_of(work.values), vectors_of(work.slopes),
        vectors_of(work.statistics), weights, vectors_of(work.gradient),
    )  # fmt: skip


@inlined
def _room_from(room: Room, image: int, values: int) -> Room:
    """The same for examples that lie further on in memory."""
    return Room(
        room.tables, room.zeros, room.one, room.nothing, room.numbers + image, room.vectors + image, room.shared,
        room.training, room.values + values, room.slopes + values, room.statistics, room.weights, room.gradient,
    )  # fmt: skip


@inlined
def _room_aside(room: Room, slopes: Pointer, gradient: Pointer) -> Room:
    """The same with other memory for gradients."""
    return Room(
        room.tables, room.zeros, room.one, room.nothing, room.numbers, room.vectors, room.shared, room.training,
        room.values, slopes, room.statistics, room.weights, gradient,
    )  # fmt: skip


@kernel_function
def _pixels(data: Data) -> Pixels:
    """The images as pointers."""
    return Pixels(numbers_of(data.pixels), data.pixels.shape[1], data.conversion[0], data.conversion[1])


@kernel_function
def shared_minibatch(program: Program, data: Data, work: Work, count: int) -> None:
    """Inputs of the images that ``work.begins`` names, which all members see."""
    shared_inputs(
        _pixels(data), numbers_of(work.begins), count, numbers_of(program.places), program.in_order,
        numbers_of(work.numbers), program.image_size,
    )  # fmt: skip


@kernel_function
def forward(steps: Any, begin: int, end: int, room: Room, dropout: Dropout, piece: Piece) -> None:
    """Some steps in order."""
    for i in range(begin, end):
        step = steps[i]
        if step.kind == PRODUCT:
            forward_product(step, room, piece)
        elif step.kind == ACTIVATION:
            forward_activation(step, room, dropout, piece)
        elif step.kind == MAXIMUM:
            forward_maximum(step, room, piece)
        elif step.kind == MEAN:
            forward_mean(step, room, piece)
        elif step.kind == MOMENTS:
            forward_moments(step, room, piece)
        elif step.kind == NORM:
            forward_norm(step, room, piece)
        else:
            forward_sum(step, room, piece)


@kernel_function
def backward(steps: Any, begin: int, end: int, room: Room, dropout: Dropout, piece: Piece) -> None:
    """Some steps from last to first."""
    for i in range(end - 1, begin - 1, -1):
        step = steps[i]
        if step.kind == PRODUCT:
            backward_product(step, room, piece)
        elif step.kind == ACTIVATION:
            backward_activation(step, room, dropout, piece)
        elif step.kind == MAXIMUM:
            backward_maximum(step, room, piece)
        elif step.kind == MEAN:
            backward_mean(step, room, piece)
        elif step.kind == MOMENTS:
            backward_moments(step, room, piece)
        elif step.kind == NORM:
            backward_norm(step, room, piece)
        else:
            backward_sum(step, room, piece)


@expanded
def _compute_gradient(
    program: Program, at_once: int, kept: Room, dropout: Dropout, labels: Pointer, held: Piece
) -> None:
    """Adds the gradients of the examples in memory to those before, or begins with them.

    Where a step takes moments of all examples, those before it are done for all of them first: each section of the
    steps for one piece after the other, as fits the cache.
    """
    steps, ends = program.steps, program.ends
    last = len(ends) - 1
    # All sections forward; then backward, the last one for each piece right after its forward pass.
    for turn in range(2 * last + 1):
        section = min(turn, 2 * last - turn)
        begin, end = 0 if section == 0 else ends[section - 1], ends[section]
        for first in range(0, held.size, at_once):
            piece = Piece(held.begin + first, min(at_once, held.size - first), held.batch)
            room = _room_from(kept, first * program.image_size, first * program.values)
            if turn <= last:
                forward(steps, begin, end, room, dropout, piece)
            if turn == last:
                loss_slopes(room, steps[len(steps) - 1], labels + first, piece)
            if turn >= last:
                backward(steps, begin, end, room, dropout, piece)


@kernel_function
def attack_examples(
    program: Program, attack: Any, v: int, s: int, room: Room, dropout: Dropout, labels: Pointer, held: Piece
) -> None:
    """Moves the examples in memory to where losses are larger; see ``zoo.training.lanes.plan.attack_obstacle``."""
    steps, places = program.steps, program.places
    first, last = steps[0], steps[len(steps) - 1]
    aside = _room_aside(room, room.slopes, vectors_of(attack.gradient))
    of_inputs = _room_aside(room, vectors_of(attack.slopes), vectors_of(attack.gradient))
    inputs = Inputs(numbers_of(places), len(places), program.image_size)
    rows, repeats = (held.size, 1) if first.positions == 1 else (first.positions, held.size)
    begin_attack(attack, v, s, room.vectors, inputs, held.begin, held.size)
    for _ in range(attack.steps):
        forward(steps, 0, len(steps), aside, dropout, held)
        loss_slopes(aside, last, labels, held)
        backward(steps, 1, len(steps), aside, dropout, held)
        for example in range(repeats):
            slopes = aside.slopes + (first.target + example * first.target_size)
            input_slopes(first, of_inputs, rows, example * first.source_size, slopes)
        move(attack, v, room.vectors, inputs, held.size)


@compiled_entry
def train_epoch(
    program: Program,
    data: Data,
    schedule: Schedule,
    state: State,
    keys_VS2L: np.ndarray,
    noise: Noise,
    attack: Attack,
    work: Work,
    optimizer: int,
    done: int,
) -> None:
    """Trains each group of sixteen for one epoch, one group after the other.

    Args:
        program: The architecture.
        data: The images.
        schedule: Which of them each step uses.
        state: Changed in place.
        keys_VS2L: Keys of dropout, int32 in place of uint32; not read for groups that drop nothing.
        noise: On the weights.
        attack: On the examples.
        work: Memory.
        optimizer: Its code.
        done: Optimizer steps before this epoch.
    """
    examples_GSB, labels_GSB, block_VL = schedule
    _, steps, batch = examples_GSB.shape
    pixels, places, labels = _pixels(data), numbers_of(program.places), words_of(work.labels)
    for v in range(len(state.weights_VPL)):
        block = block_VL[v, 0]
        shared = attack.steps == 0
        for lane in range(1, LANES):
            shared = shared and block_VL[v, lane] == block
        weights, gradient = vectors_of(state.weights_VPL[v]), vectors_of(work.gradient)
        settings = vectors_of(state.settings_VKL[v])
        noisy, count = vectors_of(noise.noisy), state.weights_VPL.shape[1]
        room = room_of(program, work, noisy if noise.active else weights, shared, True)
        pieces = program.pieces
        at_once, kept = (pieces.at_once, pieces.kept) if shared else (pieces.own_at_once, pieces.own_kept)
        for s in range(steps):
            dropout = Dropout(
                state.drops_V[v], words_of(keys_VS2L[v, s]), words_of(state.thresholds_VL[v]), settings + 2
            )  # fmt: skip
            if noise.active:
                add_noise(noise, v, s, weights, noisy, count)
            for begin in range(0, batch, kept):
                held = Piece(begin, min(kept, batch - begin), batch)
                if shared:
                    for e in range(held.size):
                        work.begins[e] = examples_GSB[block, s, begin + e]
                        label = np.int32(labels_GSB[block, s, begin + e])
                        for lane in range(LANES):
                            work.labels[e, lane] = label
                    shared_minibatch(program, data, work, held.size)
                else:
                    for e in range(held.size):
                        for lane in range(LANES):
                            own = block_VL[v, lane]
                            work.begins[e * LANES + lane] = examples_GSB[own, s, begin + e] * pixels.size
                            work.labels[e, lane] = np.int32(labels_GSB[own, s, begin + e])
                    begins = numbers_of(work.begins)
                    own_inputs(pixels, begins, held.size, places, work.vectors, program.image_size)
                if attack.steps > 0:
                    attack_examples(program, attack, v, s, room, dropout, labels, held)
                _compute_gradient(program, at_once, room, dropout, labels, held)
            if noise.active:  # what norms keep is of the weights themselves
                for i in range(len(work.gradient), count):
                    store(weights, i, load(noisy, i))
            update(
                optimizer, weights, gradient, vectors_of(state.first_VPL[v]), vectors_of(state.second_VPL[v]),
                settings, len(work.gradient), done + s + 1,
            )  # fmt: skip


@compiled_entry
def apply(program: Program, data: Data, weights_VPL: np.ndarray, work: Work, logits_VNCL: np.ndarray) -> None:
    """Logits of every member for all images.

    Args:
        program: The architecture.
        data: The images.
        weights_VPL: Parameters in the kernel's order.
        work: Memory.
        logits_VNCL: Written.
    """
    count_all = len(data.pixels)
    last = program.steps[len(program.steps) - 1]
    dropout = Dropout(False, words_of(work.labels), words_of(work.labels), vectors_of(work.nothing))
    for begin in range(0, count_all, program.pieces.at_once):
        piece = Piece(begin, min(program.pieces.at_once, count_all - begin), count_all)
        for e in range(piece.size):
            work.begins[e] = begin + e
        for v in range(len(weights_VPL)):
            room = room_of(program, work, vectors_of(weights_VPL[v]), True, False)
            if v == 0:
                shared_minibatch(program, data, work, piece.size)
            forward(program.steps, 0, len(program.steps), room, dropout, piece)
            for e in range(piece.size):
                place = last.target + e * last.target_size
                for c in range(program.classes):
                    for lane in range(LANES):
                        logits_VNCL[v, begin + e, c, lane] = work.values[place + c, lane]
