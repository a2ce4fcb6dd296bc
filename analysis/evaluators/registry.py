"""The registry of evaluators: one line each; ``module:attribute`` names those of the user's own."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.evaluators.accuracy import ACCURACY, ACCURACY_CHANGE
from analysis.evaluators.agreement import AGREEMENT
from analysis.evaluators.distances import DISTANCES
from analysis.evaluators.divergence import DIVERGENCE
from analysis.evaluators.evaluator import Evaluator
from analysis.evaluators.outputs import LOSS, OUTPUTS
from analysis.evaluators.weights import WEIGHTS
from zoo.config import lookup

EVALUATORS: dict[str, Evaluator] = {
    evaluator.name: evaluator
    for evaluator in (AGREEMENT, OUTPUTS, ACCURACY_CHANGE, ACCURACY, LOSS, DIVERGENCE, WEIGHTS, DISTANCES)
}
# What codecs are measured by, where nothing else is asked for; without what the original's own figures tell already,
# and what takes long.
DEFAULT = tuple(name for name in EVALUATORS if name not in (ACCURACY.name, DISTANCES.name))


def find_evaluator(name: str) -> Evaluator:
    """An evaluator by its name in ``EVALUATORS``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such evaluator, or it is something else.
    """
    evaluator = lookup(EVALUATORS, name, "evaluator")
    if not isinstance(evaluator, Evaluator):
        raise ValueError(
            f"evaluator {name!r} is a {type(evaluator).__name__}; it must be an analysis.evaluators.evaluator.Evaluator"
        )
    return evaluator


def chosen_evaluators(names: Sequence[str] | None) -> tuple[Evaluator, ...]:
    """The evaluators of these names beside the default ones; a user's own adds to what is always measured."""
    return tuple(find_evaluator(name) for name in dict.fromkeys([*DEFAULT, *(names or ())]))
