"""Errors of the weights themselves.

Shape letters: M members.
"""

from __future__ import annotations

import torch

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables import metrics
from zoo.metric import Metric


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:  # noqa: ARG001
    """Mean squared error and relative length of the error of each member's weights, ``[M]``."""
    original = required(original)
    weights_MP = original.population.weights_MP.double()
    error_MP = subject.population.weights_MP.double() - weights_MP
    norm_M = weights_MP.norm(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
    return {"weight_mse": error_MP.square().mean(1), "relative_l2": error_MP.norm(dim=1) / norm_M}


WEIGHTS = Evaluator(
    name="weights",
    run=run,
    by_members=True,
    measures=(
        Measure(metric=metrics.WEIGHT_MSE),
        Measure(
            metric=Metric(
                name="relative_l2",
                label="relative error of the weights",
                direction="min",
                description="Length of the weight error divided by that of the weights; see weight_mse.",
            )
        ),
    ),
    description="How far the weights themselves move: a diagnostic.",
)
