"""The registry of trainables, each kind with its entries; ``module:attribute`` names those of the user's own."""

from __future__ import annotations

from dataclasses import replace

from trainables.aggregators.entries import AGGREGATORS
from trainables.autoencoders.entries import AUTOENCODERS
from trainables.codecs.entries import CODECS
from trainables.encoders.entries import ENCODERS
from trainables.generators.entries import GENERATORS
from trainables.hypernetworks.entries import HYPERNETWORKS
from trainables.predictors.entries import PREDICTORS
from trainables.trainable import Trainable
from zoo.config import lookup

TRAINABLES: dict[str, Trainable] = {
    **CODECS,
    **AUTOENCODERS,
    **ENCODERS,
    **PREDICTORS,
    **HYPERNETWORKS,
    **GENERATORS,
    **AGGREGATORS,
}


def find_trainable(name: str) -> Trainable:
    """A trainable by its name in ``TRAINABLES``, or the user's own by ``module:attribute``.

    Of the user's own, that reference is the name: by it what was fitted is found again.

    Raises:
        ValueError: There is no such trainable, or it is something else.
    """
    trainable = lookup(TRAINABLES, name, "trainable")
    if not isinstance(trainable, Trainable):
        raise ValueError(
            f"trainable {name!r} is a {type(trainable).__name__}; it must be a trainables.trainable.Trainable"
        )
    return replace(trainable, name=name)
