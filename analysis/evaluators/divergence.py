"""Divergence of the predicted distributions.

Shape letters: M members, N examples.
"""

from __future__ import annotations

import torch

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables import metrics
from trainables.behavior import divergence
from zoo.metric import Metric

# Members whose distributions are held beside the outputs.
AT_ONCE = 32


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """KL(original ‖ subject) in nats, ``[M, N]``."""
    original = required(original)
    pairs = zip(original.outputs(data).split(AT_ONCE), subject.outputs(data).split(AT_ONCE), strict=True)
    # Rounding can leave the sum a hair below zero.
    return {"kl": torch.cat([divergence(before, after).clamp_min(0) for before, after in pairs])}


DIVERGENCE = Evaluator(
    name="kl",
    run=run,
    by_members=True,
    judges="classes",
    measures=(
        Measure(metric=metrics.KL),
        Measure(
            metric=Metric(
                name="kl_p95",
                label="KL divergence, 95th percentile",
                unit="nats",
                direction="min",
                description="Kullback–Leibler divergence that 95 % of the members stay below.",
            ),
            of="kl",
            statistic="p95",
        ),
    ),
    description="How far the predicted class probabilities move.",
)
