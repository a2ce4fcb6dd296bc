"""Distances between weights that are meant to tell how far functions are apart: Fisher information, alignment, angle.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from zoo.metric import Metric
from zoo.population import Population
from zoo.views import align
from zoo.views.fisher import Fisher, fisher

# Test examples on which Fisher information is measured; twice as many change it by some per cent.
FISHER_EXAMPLES = 256


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """Each distance of each member from its original: ``[M]``."""
    original = required(original)
    before, after = original.population, subject.population
    change_MP = after.weights_MP.double() - before.weights_MP.double()
    weights_MP = before.weights_MP.double()
    norm_M = weights_MP.norm(dim=1).clamp_min(1e-12)
    lengths_M = after.weights_MP.double().norm(dim=1).clamp_min(1e-12)
    diagonal_M, kronecker_M = torch.empty(len(before)).double(), torch.empty(len(before)).double()
    for rows, information in original.once("fisher", lambda: _information(before, data)):
        diagonal_M[rows] = information.by_diagonal(change_MP[rows])
        kronecker_M[rows] = information.by_kronecker(change_MP[rows])
    return {
        "l2": change_MP.norm(dim=1),
        "cosine_distance": 1 - (weights_MP * after.weights_MP.double()).sum(1) / (norm_M * lengths_M),
        "aligned_l2": (matched(after, before).double() - before.weights_MP.double()).norm(dim=1),
        "fisher_diagonal": diagonal_M,
        "fisher_kronecker": kronecker_M,
    }


def _information(population: Population, data: EvaluationData) -> list[tuple[Tensor, Fisher]]:
    """Fisher information of the originals, by architecture."""
    x = data.examples.first(FISHER_EXAMPLES).inputs
    softmax = data.dataset.task.has_classes
    return [
        (rows, fisher(architecture, population.weights_MP[rows], x, softmax=softmax))
        for architecture, rows in population.groups()
    ]


def matched(population: Population, original: Population) -> Tensor:
    """Weights after the hidden units of each network were matched to its own original's: ``[M, P]``."""
    pairs = zip(population.weights_MP, original.weights_MP, strict=True)
    return torch.cat([align(one_P[None], original.architecture, other_P).weights_MP for one_P, other_P in pairs])


def _distance(name: str, label: str, description: str, unit: str = "") -> Measure:
    return Measure(metric=Metric(name=name, label=label, unit=unit, direction="min", description=description))


DISTANCES = Evaluator(
    name="distances",
    run=run,
    measures=(
        _distance("l2", "length of the weight error", "Euclidean length of the change of the weights."),
        _distance("cosine_distance", "angle of the weights", "1 minus the cosine between weights before and after."),
        _distance(
            "aligned_l2",
            "length after matching",
            "Euclidean length of the change after hidden units were matched to the original's.",
        ),
        _distance(
            "fisher_diagonal",
            "Fisher distance (diagonal)",
            f"Half the squared change weighted by the original's exact Fisher information, its diagonal, on "
            f"{FISHER_EXAMPLES} test examples: the divergence that it predicts.",
            "nats",
        ),
        _distance(
            "fisher_kronecker",
            "Fisher distance (Kronecker)",
            "The same with the information of each layer as a Kronecker product.",
            "nats",
        ),
    ),
    description="Distances of weights that are meant to tell divergence: by Fisher information, matched, by angle.",
)
