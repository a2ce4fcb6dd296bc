"""What members that tell classes apart do on examples: accuracy, calibration, predictions, agreement.

Shape letters: M members, N examples, C classes, B bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.examples import Examples
from zoo.evaluation.applying import OUTPUTS_AT_ONCE, apply
from zoo.population import Population

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Classification:
    """What each member achieves, in float64; all NaN where a logit is not finite.

    Attributes:
        loss_M: Mean cross-entropy in nats.
        accuracy_M: Share of examples classified correctly.
        class_accuracy_MC: The same for the examples of each class; NaN where there are none.
        calibration_error_M: Expected calibration error (Guo et al., "On Calibration of Modern Neural Networks", ICML
            2017): examples are put into 15 equal bins of confidence, the largest class probability; the mean over
            examples of the distance between a bin's mean confidence and its accuracy.
    """

    loss_M: Tensor
    accuracy_M: Tensor
    class_accuracy_MC: Tensor
    calibration_error_M: Tensor


def classification(population: Population, examples: Examples) -> Classification:
    """Measures every member on all examples, in pieces of bounded memory.

    Raises:
        ValueError: A label is not among the classes that the members know.
    """
    members, classes = len(population), population.architecture.classes
    if int(examples.targets.max()) >= classes:
        raise ValueError(f"labels go up to {int(examples.targets.max())}; the members have {classes} logits")
    onehot = torch.eye(classes)
    first_C = torch.arange(classes, 0, -1, dtype=torch.int16)  # of several largest logits, the first counts
    finite_M = torch.ones(members, dtype=torch.bool)
    loss_M = torch.zeros(members, dtype=torch.float64)
    correct_MC = torch.zeros(members, classes, dtype=torch.float64)
    gap_MB = torch.zeros(members, CALIBRATION_BINS, dtype=torch.float64)
    for rows, span, logits_MNC in apply(population, examples):
        labels = examples.targets[span]
        # With examples last, reductions over classes are vectorized, other than torch's argmax.
        logits_MCN = logits_MNC.transpose(1, 2).contiguous()
        is_largest_MCN = logits_MCN == logits_MCN.amax(1, keepdim=True)
        right_MN = ((is_largest_MCN * first_C[:, None]).amax(1) == first_C[labels]).float()
        finite_M[rows] &= torch.isfinite(logits_MCN.amax((1, 2))) & torch.isfinite(logits_MCN.amin((1, 2)))
        log_MCN = F.log_softmax(logits_MCN, 1)
        loss_M[rows] -= log_MCN.gather(1, labels.expand(len(rows), 1, -1)).double().sum((1, 2))
        correct_MC[rows] += (right_MN @ onehot[labels]).double()
        confidence_MN = log_MCN.amax(1).exp_().nan_to_num_(0)
        bin_MN = (confidence_MN * CALIBRATION_BINS).ceil_().long().sub_(1).clamp_(0, CALIBRATION_BINS - 1)
        part_MB = torch.zeros(len(rows), CALIBRATION_BINS, dtype=torch.float64)
        gap_MB[rows] += part_MB.scatter_add_(1, bin_MN, (right_MN - confidence_MN).double())
    count, count_C = len(examples), torch.bincount(examples.targets, minlength=classes)
    missing = torch.tensor(math.nan, dtype=torch.float64)
    return Classification(
        loss_M=torch.where(finite_M, loss_M / count, missing),
        accuracy_M=torch.where(finite_M, correct_MC.sum(1) / count, missing),
        class_accuracy_MC=torch.where(finite_M[:, None], correct_MC / count_C, missing),
        calibration_error_M=torch.where(finite_M, gap_MB.abs().sum(1) / count, missing),
    )


def predictions(population: Population, examples: Examples) -> Tensor:
    """The class that each member predicts for each example: ``predicted_MN`` int64; of one that diverged, any."""
    predicted_MN = torch.empty(len(population), len(examples), dtype=torch.int64)
    for rows, span, logits_MNC in apply(population, examples):
        predicted_MN[rows, span] = logits_MNC.argmax(-1)
    return predicted_MN


def agreement_matrix(predicted_MN: Tensor) -> Tensor:
    """Share of examples on which each two members predict the same class: ``[M, M]`` float64."""
    members, examples = predicted_MN.shape
    classes = int(predicted_MN.max()) + 1
    equal_MM = torch.zeros(members, members, dtype=torch.float64)
    # Sums of ones in float32 are exact up to 2**24.
    size = max(1, min(2**24, OUTPUTS_AT_ONCE // (members * classes)))
    for part_MN in predicted_MN.split(size, dim=1):
        onehot = F.one_hot(part_MN, classes).flatten(1).float()
        equal_MM += onehot @ onehot.T
    return equal_MM / examples
