"""The compiled entry point for students: how networks are to change to predict what others do.

Shape letters: V groups of sixteen members, L lanes (16), P parameters, N examples, B those of a step, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.training.lanes.cache import compiled_entry
from zoo.training.lanes.kernel import Data, Work, backward, forward, room_of, shared_minibatch
from zoo.training.lanes.layers import Dropout, Piece, Room, exponentials
from zoo.training.lanes.program import Program
from zoo.training.lanes.vectors import (
    Pointer,
    kernel_function,
    load,
    splat,
    store,
    vectors_of,
    words_of,
)


@kernel_function
def _student_slopes(room: Room, step: Any, wanted: Pointer, chosen: Any, piece: Piece) -> None:
    """Gradient of the mean KL divergence with respect to the logits, ``(softmax - wanted) * share``.

    Args:
        room: Pointers.
        step: What gave the logits.
        wanted: Probabilities of all examples.
        chosen: Which of them there are.
        piece: Which of the chosen.
    """
    part, classes = splat(1 / piece.batch), step.channels
    for example in range(piece.size):
        place = step.target + example * step.target_size
        logits, slopes = room.values + place, room.slopes + place
        target = wanted + chosen[piece.begin + example] * classes
        factor = part / exponentials(logits, slopes, classes)
        for i in range(classes):
            store(slopes, i, load(slopes, i) * factor - load(target, i) * part)


@compiled_entry
def student_gradients(
    program: Program,
    data: Data,
    chosen_B: np.ndarray,
    weights_VPL: np.ndarray,
    wanted_VNCL: np.ndarray,
    work: Work,
    gradients_VPL: np.ndarray,
) -> None:
    """Gradients of the mean KL divergence from wanted probabilities to those that members predict.

    Args:
        program: The architecture, without batch norms.
        data: The images.
        chosen_B: Which of them, int64.
        weights_VPL: Parameters in the kernel's order.
        wanted_VNCL: Probabilities, of all images.
        work: Memory.
        gradients_VPL: Written.
    """
    steps = program.steps
    # Nothing is dropped, so that no key or threshold is read; the factors are, and count for nothing.
    unread = words_of(work.labels)
    for v in range(len(weights_VPL)):
        room = room_of(program, work, vectors_of(weights_VPL[v]), True, True)
        dropout = Dropout(False, unread, unread, vectors_of(work.values))
        for begin in range(0, len(chosen_B), program.pieces.at_once):
            piece = Piece(begin, min(program.pieces.at_once, len(chosen_B) - begin), len(chosen_B))
            for e in range(piece.size):
                work.begins[e] = chosen_B[begin + e]
            shared_minibatch(program, data, work, piece.size)
            forward(steps, 0, len(steps), room, dropout, piece)
            _student_slopes(room, steps[len(steps) - 1], vectors_of(wanted_VNCL[v]), chosen_B, piece)
            backward(steps, 0, len(steps), room, dropout, piece)
        gradients_VPL[v] = work.gradient
