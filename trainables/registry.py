"""The registry of trainables: one line each; ``module:attribute`` names those of the user's own."""

from __future__ import annotations

from trainables.trainable import Trainable
from zoo.config import lookup

TRAINABLES: dict[str, Trainable] = {}


def find_trainable(name: str) -> Trainable:
    """A trainable by its name in ``TRAINABLES``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such trainable, or it is something else.
    """
    trainable = lookup(TRAINABLES, name, "trainable")
    if not isinstance(trainable, Trainable):
        raise ValueError(f"trainable {name!r} is a {type(trainable).__name__}; it must be a trainables.Trainable")
    return trainable
