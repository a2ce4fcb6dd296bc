"""Accuracy of networks, and what becomes of it beside their originals.

Shape letters: M members, N examples.
"""

from __future__ import annotations

from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables import metrics
from zoo.metric import Metric


def _share(name: str, label: str, description: str) -> Metric:
    return Metric(name=name, label=label, unit="share", direction="max", description=description)


def _correct(subject: Subject, data: EvaluationData) -> Tensor:
    """1 where a member's prediction is right, ``[M, N]``."""
    return (subject.predicted(data) == data.targets(subject.population)).float()


def _accuracy(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:  # noqa: ARG001
    return {"accuracy": _correct(subject, data)} if data.labeled else {}


def _change(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    original = required(original)
    before_MN, after_MN = _correct(original, data), _correct(subject, data)
    return {
        "accuracy_original": before_MN,
        "accuracy_reconstructed": after_MN,
        "accuracy_drop_pp": 100 * (before_MN - after_MN),
    }


def _with_r2(values: Values, part_MN: Tensor | None) -> Values:
    """A member's share in R² about the identity line beside them, so that the mean over members is R²."""
    before_M, after_M = (_means(values[f"accuracy_{which}"], part_MN) for which in ("original", "reconstructed"))
    variance = (before_M - before_M.mean()).square().mean()
    return values if variance == 0 else {**values, "accuracy_r2": 1 - (after_M - before_M).square() / variance}


def _means(values_MN: Tensor, part_MN: Tensor | None) -> Tensor:
    """Means over the examples that are part of each member's task, float64 ``[M]``."""
    if part_MN is None:
        return values_MN.double().mean(1)
    return (values_MN.double() * part_MN).sum(1) / part_MN.sum(1)


ACCURACY = Evaluator(
    name="accuracy",
    run=_accuracy,
    by_members=True,
    needs_original=False,
    judges="classes",
    measures=(Measure(metric=_share("accuracy", "accuracy", "Mean test accuracy of the networks."), shifted=True),),
    description="How often networks are right; needs no original.",
)

ACCURACY_CHANGE = Evaluator(
    name="accuracy-change",
    run=_change,
    by_members=True,
    merge=_with_r2,
    judges="classes",
    measures=(
        Measure(
            metric=metrics.ACCURACY_SHIFT_PP,
            of="accuracy_drop_pp",
            statistic="absolute_mean",
        ),
        Measure(metric=metrics.ACCURACY_DROP_PP),
        Measure(
            metric=_share("accuracy_original", "original accuracy", "Mean test accuracy of the original networks.")
        ),
        Measure(
            metric=_share(
                "accuracy_reconstructed",
                "reconstructed accuracy",
                "Mean test accuracy of the reconstructed networks.",
            )
        ),
        Measure(
            metric=Metric(
                name="accuracy_r2",
                label="R² of accuracy",
                direction="max",
                description="R² about the identity line between original and reconstructed accuracy: 1 if each network"
                " keeps its own accuracy, 0 or less if the codec merely returns networks of average or good accuracy;"
                " none where all originals are equally accurate.",
            )
        ),
    ),
    description="What becomes of a network's accuracy.",
)
