"""What members do on images: loss, accuracy, predictions, agreement.

Shape letters: M members, N examples, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.images import Images
from zoo.population import Population

# Outputs of a layer in one step of evaluation: 16 MB of float32.
OUTPUTS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Loss and accuracy of each member; both NaN where a logit is not finite.

    Attributes:
        loss_M: Mean cross-entropy in nats, float64.
        accuracy_M: Share of images classified correctly, float64.
    """

    loss_M: Tensor
    accuracy_M: Tensor


@torch.no_grad()
def evaluate(population: Population, images: Images) -> Evaluation:
    """Measures every member on all images, in pieces of bounded memory."""
    loss_M = torch.zeros(len(population), dtype=torch.float64)
    correct_M = torch.zeros(len(population), dtype=torch.float64)
    finite_M = torch.ones(len(population), dtype=torch.bool)
    size = examples_at_once(population)
    for x, labels in images.batches(size):
        for architecture, rows in population.groups():
            logits_MNC = architecture.logits(population.weights_MP[rows], x)
            finite_M[rows] &= torch.isfinite(logits_MNC).flatten(1).all(1)
            target_MN = labels.expand(len(rows), -1)
            losses = F.cross_entropy(logits_MNC.flatten(0, 1), target_MN.flatten(), reduction="none")
            loss_M[rows] += losses.view(len(rows), -1).double().sum(1)
            correct_M[rows] += (logits_MNC.argmax(-1) == labels).double().sum(1)
    missing = torch.tensor(float("nan"), dtype=torch.float64)
    return Evaluation(
        loss_M=torch.where(finite_M, loss_M / len(images), missing),
        accuracy_M=torch.where(finite_M, correct_M / len(images), missing),
    )


@torch.no_grad()
def predictions(population: Population, images: Images) -> Tensor:
    """The class that each member predicts for each image: ``predicted_MN`` int64."""
    parts = [population.logits(x).argmax(-1) for x, _ in images.batches(examples_at_once(population))]
    return torch.cat(parts, dim=1)


def agreement_matrix(predicted_MN: Tensor) -> Tensor:
    """Share of images on which each two members predict the same class: ``[M, M]`` float64."""
    classes = int(predicted_MN.max()) + 1
    onehot = F.one_hot(predicted_MN, classes).flatten(1).float()
    return (onehot @ onehot.T).double() / predicted_MN.shape[1]


def examples_at_once(population: Population) -> int:
    """How many images to apply a population to at once, so that no layer's outputs take more than 16 MB."""
    widest = max(weight.shape[0] for weight, _ in population.architecture.linear_layers)
    return max(1, OUTPUTS_AT_ONCE // max(1, len(population) * widest))
