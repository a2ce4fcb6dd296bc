"""The dropout hash in NumPy: what every backend's is held to."""

from collections.abc import Sequence

import numpy as np

from zoo.population import Member
from zoo.training.dropout import (
    FIRST_FACTOR,
    FIRST_SHIFT,
    LAST_SHIFT,
    SECOND_FACTOR,
    SECOND_SHIFT,
    drop_thresholds,
    dropout_keys,
    keep_factors,
    require_counters,
)


def dropout_factors(members: Sequence[Member], epoch: int, step: int, units: int, batch: int) -> np.ndarray:
    """What dropout multiplies the outputs of the activations by in one training step.

    Args:
        members: Whose seeds and probabilities are used.
        epoch: Epochs count from 1.
        step: Step within the epoch, from 0.
        units: Units of all activation layers together, numbered through the layers in order, each output flattened
            as torch does.
        batch: Examples a step.

    Returns:
        float32 ``[M, units, B]``: 0 with the member's probability, rounded as :func:`drop_thresholds` says, else
        1/(1 - p); all ones for a member without dropout.

    Raises:
        ValueError: There are more draws in one step than the hash has counters.
    """
    require_counters(units, batch)
    draws = words(dropout_keys([member.seed for member in members], epoch, np.array([step]))[0], units * batch)
    rates = [member.dropout for member in members]
    kept = draws >= drop_thresholds(rates)[:, None]
    return (kept * keep_factors(rates)[:, None]).reshape(len(members), units, batch)


def words(keys_M2: np.ndarray, count: int) -> np.ndarray:
    """The hash of the first counters under the keys of a step, uint32 ``[M, count]``."""
    draws = np.arange(count, dtype=np.uint32) + keys_M2[:, :1]
    draws ^= draws >> np.uint32(FIRST_SHIFT)
    draws *= np.uint32(FIRST_FACTOR)
    draws += keys_M2[:, 1:]
    draws ^= draws >> np.uint32(SECOND_SHIFT)
    draws *= np.uint32(SECOND_FACTOR)
    draws ^= draws >> np.uint32(LAST_SHIFT)
    return draws
