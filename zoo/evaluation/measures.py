"""What judges members on examples: the metrics of their task.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.evaluation.applying import apply
from zoo.evaluation.classes import classification
from zoo.population import Population


def evaluate(population: Population, examples: Examples, task: Task) -> dict[str, Tensor]:
    """Measures every member on all examples, in pieces of bounded memory.

    Args:
        population: The members.
        examples: What they are measured on.
        task: What they were trained for.

    Returns:
        For each of the task's metrics, by its name, float64 ``[M]``; NaN where an output is not finite.

    Raises:
        ValueError: The targets are not of the task, or the members have other outputs than it needs.
    """
    task.check(examples.targets, "examples")
    outputs = population.architecture.classes
    if not task.allows(outputs):
        raise ValueError(f"the task needs {task.outputs} outputs; the members have {outputs}")
    if task.has_classes:
        found = classification(population, examples)
        return {"loss": found.loss_M, "accuracy": found.accuracy_M}
    members, losses, scores = len(population), task.losses(), SCORES.get(task.loss, ())
    finite_M = torch.ones(members, dtype=torch.bool)
    loss_M = torch.zeros(members, dtype=torch.float64)
    sums = [torch.zeros(members, outputs, dtype=torch.float64) for _ in scores]
    for rows, span, outputs_MNC in apply(population, examples):
        targets = examples.targets[span]
        finite_M[rows] &= torch.isfinite(outputs_MNC).flatten(1).all(1)
        # The loss is one of each example, so that members are so many more examples.
        repeated = targets.expand(len(rows), *targets.shape).flatten(0, 1)
        losses_MN = losses(outputs_MNC.flatten(0, 1), repeated).unflatten(0, outputs_MNC.shape[:2])
        loss_M[rows] += losses_MN.double().sum(1)
        for score, sums_MC in zip(scores, sums, strict=True):
            sums_MC[rows] += score.summed(outputs_MNC, targets).double().sum(1)
    values = {"loss": loss_M / len(examples)}
    for score, sums_MC in zip(scores, sums, strict=True):
        values[score.name] = score.of_sums(sums_MC, examples.targets)
    return {name: torch.where(finite_M, values_M, math.nan) for name, values_M in values.items()}


def concordance_matrix(outputs_MNC: Tensor) -> Tensor:
    """Lin's concordance of each two members' outputs, each output about its mean: ``[M, M]`` float64."""
    flat_MO = outputs_MNC.double().flatten(1)
    mean_MC = outputs_MNC.double().mean(1)
    variance_M = (outputs_MNC.double() - mean_MC[:, None]).square().sum((1, 2))
    shift_MM = torch.cdist(mean_MC, mean_MC).square() * outputs_MNC.shape[1]
    scale_MM = variance_M[:, None] + variance_M + shift_MM
    return 1 - torch.cdist(flat_MO, flat_MO).square() / scale_MM.clamp_min(1e-300)


class _Score(NamedTuple):
    """How a score comes about: its name, what is summed over examples ``[M, N, C]``, and what becomes of the sums."""

    name: str
    summed: Callable[[Tensor, Tensor], Tensor]
    of_sums: Callable[[Tensor, Tensor], Tensor]


def _right_labels(outputs_MNC: Tensor, targets_NC: Tensor) -> Tensor:
    """1 where an output's sigmoid is on the same side of one half as its label, else 0."""
    return (outputs_MNC > 0) == (targets_NC > 0.5)


def _right_counts(outputs_MN1: Tensor, targets_N: Tensor) -> Tensor:
    """1 where an output, rounded, is the label, else 0."""
    return outputs_MN1.round() == targets_N[:, None]


def _share(right_MC: Tensor, targets_NC: Tensor) -> Tensor:
    """The share of labels that are right."""
    return right_MC.mean(1) / len(targets_NC)


def _squared_errors(outputs_MNC: Tensor, targets: Tensor) -> Tensor:
    return (outputs_MNC.double() - _columns(targets)).square()


def _explained(errors_MC: Tensor, targets: Tensor) -> Tensor:
    """R², the mean over outputs, as scikit-learn's ``r2_score``: 0 or, without errors, 1 where targets are constant."""
    targets_NC = _columns(targets).double()
    variation_C = (targets_NC - targets_NC.mean(0)).square().sum(0)
    return torch.where(variation_C > 0, 1 - errors_MC / variation_C, (errors_MC == 0).double()).mean(1)


def _columns(targets: Tensor) -> Tensor:
    """Targets of each output ``[N, C]``; labels that are counted are of one."""
    return targets if targets.ndim == 2 else targets[:, None]


_R2 = _Score("r2", _squared_errors, _explained)
SCORES = {
    "sigmoid": (_Score("accuracy", _right_labels, _share),),
    "squared": (_R2,),
    "count": (_Score("accuracy", _right_counts, _share), _R2),
}
