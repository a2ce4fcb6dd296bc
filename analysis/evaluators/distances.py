"""Distances between weights: length, angle, after matching of units, and in the metric of the function.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables.autoencoders.input_metric import InputMetric
from zoo.metric import Metric
from zoo.population import Population
from zoo.views import align


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """Each distance of each member from its original: ``[M]``."""
    original = required(original)
    before, after = original.population, subject.population
    change_MP = after.weights_MP.double() - before.weights_MP.double()
    weights_MP = before.weights_MP.double()
    norm_M = weights_MP.norm(dim=1).clamp_min(1e-12)
    lengths_M = after.weights_MP.double().norm(dim=1).clamp_min(1e-12)
    matched_MP = matched(subject, original).double() - weights_MP
    every = original.whole
    metric = every.once("function metric", lambda: InputMetric.fit(every.population, data.examples))
    return {
        "l2": change_MP.norm(dim=1),
        "cosine_distance": 1 - (weights_MP * after.weights_MP.double()).sum(1) / (norm_M * lengths_M),
        "aligned_l2": matched_MP.norm(dim=1),
        "function_metric": _lengths(metric, before, matched_MP),
    }


def _lengths(metric: InputMetric, population: Population, change_MP: Tensor) -> Tensor:
    lengths_M = torch.empty(len(change_MP), dtype=torch.float64)
    for rows in population.blocks():
        lengths_M[rows] = metric.forward(change_MP[rows]).double().norm(dim=1)
    return lengths_M


def matched(subject: Subject, original: Subject) -> Tensor:
    """Weights after the hidden units of each network were matched to its own original's: ``[M, P]``.

    Found once for all evaluators that need them.
    """

    def found() -> tuple[Subject, Tensor]:
        pairs = zip(subject.population.weights_MP, original.population.weights_MP, strict=True)
        architecture = original.population.architecture
        return original, torch.cat([align(one_P[None], architecture, other_P).weights_MP for one_P, other_P in pairs])

    # The original is kept beside it, so that no other one gets its number.
    matched_MP: Tensor = subject.once(f"matched {id(original)}", found)[1]
    return matched_MP


def _distance(name: str, label: str, description: str) -> Measure:
    return Measure(metric=Metric(name=name, label=label, direction="min", description=description))


DISTANCES = Evaluator(
    name="distances",
    run=run,
    by_members=True,
    measures=(
        _distance("l2", "length of the weight error", "Euclidean length of the change of the weights."),
        _distance("cosine_distance", "angle of the weights", "1 minus the cosine between weights before and after."),
        _distance(
            "aligned_l2",
            "length after matching",
            "Euclidean length of the change after hidden units were matched to the original's.",
        ),
        _distance(
            "function_metric",
            "length in the function metric",
            "The same in the metric of the function that all originals share: each layer's rows by a root of its "
            "inputs' second moment on test examples, times what logits make of the layer.",
        ),
    ),
    description="Distances of weights: length, angle, after matching, in the metric of the function.",
)
