"""The registry of evaluators: one line each; ``module:attribute`` names those of the user's own."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.evaluators.accuracy import ACCURACY, ACCURACY_CHANGE
from analysis.evaluators.agreement import AGREEMENT
from analysis.evaluators.attacks import ATTACK, attack
from analysis.evaluators.boundaries import BOUNDARIES, BOUNDARY_DISTANCE
from analysis.evaluators.distances import DISTANCES
from analysis.evaluators.divergence import DIVERGENCE
from analysis.evaluators.errors import ERRORS
from analysis.evaluators.evaluator import Evaluator
from analysis.evaluators.fisher import FISHER
from analysis.evaluators.layers import LAYERS
from analysis.evaluators.outputs import LOSS, OUTPUTS
from analysis.evaluators.weight_noise import WEIGHT_NOISE, weight_noise
from analysis.evaluators.weights import WEIGHTS
from zoo.config import lookup

USUAL = (AGREEMENT, OUTPUTS, ACCURACY_CHANGE, LOSS, DIVERGENCE, WEIGHTS)
EVALUATORS: dict[str, Evaluator] = {
    evaluator.name: evaluator
    for evaluator in (
        *USUAL,
        ACCURACY,
        DISTANCES,
        FISHER,
        LAYERS,
        BOUNDARIES,
        BOUNDARY_DISTANCE,
        ERRORS,
        # Of these any other strength can be named.
        attack("fgsm-0.1"),
        attack("pgd-0.1"),
        attack("transfer-0.1"),
        weight_noise("weight-noise-0.1"),
        weight_noise("weight-noise-0.1x20"),
    )
}
# What codecs are measured by, where nothing else is asked for.
DEFAULT = tuple(evaluator.name for evaluator in USUAL)


def find_evaluator(name: str) -> Evaluator:
    """An evaluator by its name in ``EVALUATORS``, one of robustness, or the user's own by ``module:attribute``.

    Those of robustness are named with how strong they are: "fgsm-0.05", "weight-noise-0.2x100".

    Raises:
        ValueError: There is no such evaluator, or it is something else.
    """
    if ATTACK.fullmatch(name):
        return attack(name)
    if WEIGHT_NOISE.fullmatch(name):
        return weight_noise(name)
    evaluator = lookup(EVALUATORS, name, "evaluator")
    if not isinstance(evaluator, Evaluator):
        raise ValueError(
            f"evaluator {name!r} is a {type(evaluator).__name__}; it must be an analysis.evaluators.evaluator.Evaluator"
        )
    return evaluator


def chosen_evaluators(names: Sequence[str] | None) -> tuple[Evaluator, ...]:
    """The evaluators of these names beside the default ones; a user's own adds to what is always measured."""
    return tuple(find_evaluator(name) for name in dict.fromkeys([*DEFAULT, *(names or ())]))
