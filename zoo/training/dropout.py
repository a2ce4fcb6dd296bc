"""Dropout as a function of counters: which units a member drops is known without drawing anything before.

Each draw is a hash of (member's seed, epoch, step, unit, example), so that every backend makes the same masks in any
order, a few at a time, next to the values they are for: masks of a whole epoch would take more memory than a
population's weights, and drawing them one after another more time than the step.

A 64-bit key per (seed, epoch, step) comes from SplitMix64's output function (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), applied to one word after another. The draw itself is a 32-bit hash of
the counter ``unit * B + example``: two rounds of xor-shift and multiplication with the constants that Wellons'
hash-prospector search found least biased (https://github.com/skeeto/hash-prospector, issue 19), one half of the key
added before the first round and the other before the second. Two members' draws thereby are two unrelated
permutations of the 32-bit words, not the same one from different places.

Here are keys and constants. ``zoo.training.masks`` and ``zoo.training.lanes.functions`` compute the hash, and a test
holds both to the same in NumPy.

Shape letters: M members, S steps, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.streams import Purpose

# The constants of the hash, for its twins: shift, multiply, add the second key word, shift, multiply, shift.
FIRST_SHIFT, FIRST_FACTOR = 16, 0x21F0AAAD
SECOND_SHIFT, SECOND_FACTOR = 15, 0xD35A2D97
LAST_SHIFT = 15

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def dropout_keys(seeds: Sequence[int], epoch: int, steps: np.ndarray) -> np.ndarray:
    """Those of dropout; see :func:`step_keys`."""
    return step_keys(Purpose.DROPOUT, seeds, epoch, steps)


def step_keys(purpose: Purpose, seeds: Sequence[int], epoch: int, steps: np.ndarray) -> np.ndarray:
    """The keys of the hash: uint32 ``[S, M, 2]`` for the given steps of one epoch and members of the given seeds."""
    state = np.full((1, len(seeds)), int(purpose), dtype=np.uint64)
    state = _absorb(state, np.array(seeds, dtype=np.uint64))
    state = _absorb(state, np.uint64(epoch))
    state = _absorb(state, np.asarray(steps).astype(np.uint64)[:, None])
    return np.stack([state & np.uint64(0xFFFFFFFF), state >> np.uint64(32)], axis=-1).astype(np.uint32)


def drop_thresholds(rates: Sequence[float]) -> np.ndarray:
    """uint32 ``[M]``: a unit is dropped where its draw is below; the probability is thereby rounded to 2**-32."""
    return np.array([min(round(rate * 2**32), 2**32 - 1) for rate in rates], dtype=np.uint32)


def keep_factors(rates: Sequence[float]) -> np.ndarray:
    """float32 ``[M]``: what a kept unit is multiplied by, 1/(1 - p) of the probability as given."""
    return np.array([1 / (1 - rate) for rate in rates], dtype=np.float32)


def require_counters(units: int, batch: int) -> None:
    """Raises :class:`ValueError` where one step of one member needs more draws than there are 32-bit counters."""
    if units * batch > 2**32:
        raise ValueError(
            f"dropout on {units} units with a batch of {batch} makes {units * batch} draws a step; allowed: up to "
            f"2**32 = {2**32}; take a smaller batch"
        )


def _absorb(state: np.ndarray, word: np.ndarray | np.uint64) -> np.ndarray:
    """SplitMix64's output function of the next state xor a word: one-to-one in the word for every state."""
    mixed = (state + _GAMMA) ^ word
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
