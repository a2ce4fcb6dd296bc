"""Agreement: whether a network and its original predict the same class."""

from __future__ import annotations

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables import metrics
from zoo.metric import Metric


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """1 where the predictions are the same, ``[M, N]``."""
    original = required(original)
    return {"agreement": (subject.predicted(data) == original.predicted(data)).float()}


AGREEMENT = Evaluator(
    name="agreement",
    run=run,
    by_members=True,
    judges="classes",
    measures=(
        Measure(
            metric=metrics.AGREEMENT,
            shifted=True,
        ),
        Measure(
            metric=Metric(
                name="agreement_p5",
                label="agreement, 5th percentile",
                unit="share",
                direction="max",
                description="Agreement that 95 % of the members exceed: how bad the bad cases are.",
            ),
            of="agreement",
            statistic="p5",
        ),
    ),
    description="How often a network and its original predict the same class.",
)
