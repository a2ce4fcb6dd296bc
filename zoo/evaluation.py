"""What members do on images: loss, accuracy, calibration, predictions, agreement.

Shape letters: M members, N examples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.population import Population
from zoo.training.lanes import forward_obstacle
from zoo.training.lanes import logits as lanes_logits
from zoo.training.lanes.packing import LANES

# Outputs of a layer in one step of evaluation: 16 MB of float32, about where convolutions are fastest too.
OUTPUTS_AT_ONCE = 4_000_000

# Members in one step: enough to fill the products, few enough to leave each some images.
MEMBERS_AT_ONCE = 64

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What each member achieves, in float64; all NaN where a logit is not finite.

    Attributes:
        loss_M: Mean cross-entropy in nats.
        accuracy_M: Share of images classified correctly.
        class_accuracy_MC: The same for the images of each class; NaN where there are none.
        calibration_error_M: Expected calibration error (Guo et al., "On Calibration of Modern Neural Networks", ICML
            2017): images are put into 15 equal bins of confidence, the largest class probability; the mean over
            images of the distance between a bin's mean confidence and its accuracy.
    """

    loss_M: Tensor
    accuracy_M: Tensor
    class_accuracy_MC: Tensor
    calibration_error_M: Tensor


@torch.no_grad()
def evaluate(population: Population, images: Examples) -> Evaluation:
    """Measures every member on all images, in pieces of bounded memory.

    Raises:
        ValueError: A label is not among the classes that the members know.
    """
    members, classes = len(population), population.architecture.classes
    if int(images.targets.max()) >= classes:
        raise ValueError(f"labels go up to {int(images.targets.max())}; the members have {classes} logits")
    onehot = torch.eye(classes)
    first_C = torch.arange(classes, 0, -1, dtype=torch.int16)  # of several largest logits, the first counts
    finite_M = torch.ones(members, dtype=torch.bool)
    loss_M = torch.zeros(members, dtype=torch.float64)
    correct_MC = torch.zeros(members, classes, dtype=torch.float64)
    gap_MB = torch.zeros(members, CALIBRATION_BINS, dtype=torch.float64)
    for rows, span, logits_MNC in apply(population, images):
        labels = images.targets[span]
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
    count, count_C = len(images), torch.bincount(images.targets, minlength=classes)
    missing = torch.tensor(math.nan, dtype=torch.float64)
    return Evaluation(
        loss_M=torch.where(finite_M, loss_M / count, missing),
        accuracy_M=torch.where(finite_M, correct_MC.sum(1) / count, missing),
        class_accuracy_MC=torch.where(finite_M[:, None], correct_MC / count_C, missing),
        calibration_error_M=torch.where(finite_M, gap_MB.abs().sum(1) / count, missing),
    )


@torch.no_grad()
def predictions(population: Population, images: Examples) -> Tensor:
    """The class that each member predicts for each image: ``predicted_MN`` int64; of one that diverged, any."""
    predicted_MN = torch.empty(len(population), len(images), dtype=torch.int64)
    for rows, span, logits_MNC in apply(population, images):
        predicted_MN[rows, span] = logits_MNC.argmax(-1)
    return predicted_MN


def agreement_matrix(predicted_MN: Tensor) -> Tensor:
    """Share of images on which each two members predict the same class: ``[M, M]`` float64."""
    members, examples = predicted_MN.shape
    classes = int(predicted_MN.max()) + 1
    equal_MM = torch.zeros(members, members, dtype=torch.float64)
    # Sums of ones in float32 are exact up to 2**24.
    size = max(1, min(2**24, OUTPUTS_AT_ONCE // (members * classes)))
    for part_MN in predicted_MN.split(size, dim=1):
        onehot = F.one_hot(part_MN, classes).flatten(1).float()
        equal_MM += onehot @ onehot.T
    return equal_MM / examples


def examples_at_once(population: Population) -> int:
    """How many images to apply a whole population to, so that no layer's outputs take more than 16 MB."""
    return min(_examples_at_once(architecture, len(population)) for architecture in population.architectures)


def _examples_at_once(architecture: Architecture, members: int) -> int:
    largest = max(math.prod(place.output_shape) for place in architecture.placed if place.layer.kind != "flatten")
    return max(1, OUTPUTS_AT_ONCE // (members * largest))


def apply(
    population: Population, examples: Examples, weights_MP: Tensor | None = None
) -> Iterator[tuple[Tensor, slice, Tensor]]:
    """Applies all members to all examples, some at a time, without gradients.

    The kernel of ``zoo.training.lanes`` is several times faster than torch on convolutions, and on MLPs where it has
    members for all its lanes.

    Args:
        population: The members.
        examples: What they are applied to.
        weights_MP: Used instead of the population's own weights where given.

    Yields:
        Which rows (int64), which examples, and the outputs ``outputs_MNC`` float32 of the ones on the others.
    """
    every_MP = population.weights_MP if weights_MP is None else weights_MP
    for architecture, every in population.groups():
        wanted = not architecture.is_mlp or len(every) >= LANES
        in_lanes = wanted and forward_obstacle(architecture, examples) is None
        for rows in every.split(MEMBERS_AT_ONCE):
            rows_MP = every_MP[rows].detach()
            size = _examples_at_once(architecture, LANES if in_lanes else len(rows))
            for start in range(0, len(examples), size):
                span = slice(start, min(start + size, len(examples)))
                part = examples.select(span)
                if in_lanes:
                    yield rows, span, lanes_logits(architecture, rows_MP, part)
                else:
                    yield rows, span, architecture.logits(rows_MP, part.inputs)
