"""Fidelity of outputs: what takes agreement's place where networks predict values, not classes.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

import torch

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from trainables import metrics
from zoo.metric import Metric


def run(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """Squared output errors beside the original outputs' variance: ``output_r2`` [M, N], ``output_error`` [M].

    The mean over examples of a member's ``output_r2`` is its R².
    """
    original = required(original)
    before_MNC = original.outputs(data)
    error_MN = (subject.outputs(data) - before_MNC).square().sum(2)
    variance_M = (before_MNC - before_MNC.mean(1, keepdim=True)).square().sum(2).mean(1)
    # An original that answers the same to everything has no variance that could be kept.
    relative_MN = error_MN / variance_M.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(1)
    relative_MN = torch.where(error_MN == 0, 0, relative_MN)
    return {"output_r2": 1 - relative_MN, "output_error": relative_MN.double().mean(1).sqrt()}


def loss(subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
    """The task's loss of each member on each example, ``[M, N]``, before and after."""
    original = required(original)
    of_task = data.dataset.task.losses()
    losses = {}
    for name, networks in (("loss_original", original), ("loss_reconstructed", subject)):
        targets = data.targets(networks.population)
        losses[name] = torch.stack([of_task(outputs_NC, targets) for outputs_NC in networks.outputs(data)])
    return losses


OUTPUTS = Evaluator(
    name="outputs",
    run=run,
    by_members=True,
    judges="values",
    measures=(
        Measure(
            metric=metrics.OUTPUT_R2,
            shifted=True,
        ),
        Measure(
            metric=Metric(
                name="output_r2_p5",
                label="R² of outputs, 5th percentile",
                direction="max",
                description="R² of outputs that 95 % of the members exceed: how bad the bad cases are.",
            ),
            of="output_r2",
            statistic="p5",
        ),
        Measure(metric=metrics.OUTPUT_ERROR),
    ),
    description="How much of what a network answers survives, where it predicts values.",
)

LOSS = Evaluator(
    name="loss",
    run=loss,
    by_members=True,
    judges="values",
    measures=tuple(
        Measure(
            metric=Metric(
                name=f"loss_{which}",
                label=f"{which} loss",
                direction="min",
                description=f"Mean loss of the {which} networks on test examples, that of the data set's task.",
            )
        )
        for which in ("original", "reconstructed")
    ),
    description="The task's own loss before and after, where networks predict values.",
)
