"""What generated networks are worth: how good, how different from each other, and whether they are new.

Mean accuracy proves nothing: a generator that gives back training networks with a little noise has it. After "What Do
Weight Space Generative Models Generate?" (arXiv 2506.07998): distances to the nearest training network, the overlap of
wrong predictions, and simple controls beside every generator; hidden units are matched first. Besides, how much of a
network lies outside the affine hull of the training networks, where means and principal components cannot go. Novelty
proves nothing either: one good network, given out again and again, has it. So networks must also differ from each other
as trained ones do, in what they predict and in their weights, and be no further from the zoo than a bound.

Shape letters: M networks, K training networks, P parameters, N examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.hypernetworks.adaptation import AdaptedWeights, adapt
from trainables.tasks.task_examples import TaskExamples
from zoo.data.class_tasks import select
from zoo.data.examples import Dataset, Examples
from zoo.evaluation import agreement_matrix, evaluate, outputs, predictions
from zoo.metric import Metric
from zoo.population import Population
from zoo.views import align

# Fine-tuning of generated networks, as of networks from scratch that they are compared with.
TUNED_STEPS = (20, 100)
TUNED_BATCH = 64
TUNED_LEARNING_RATE = 1e-3
# Networks that are fine-tuned, and of which ensembles are made.
TUNED, ENSEMBLE = 16, 10

ACCURACY = Metric(
    name="accuracy",
    label="accuracy",
    unit="share",
    direction="max",
    description="Accuracy on test examples of networks as they were made, without a step of training; the mean.",
)
BEST_ACCURACY = Metric(
    name="best_accuracy", label="best accuracy", unit="share", direction="max", description="That of the best of them."
)
ENSEMBLE_ACCURACY = Metric(
    name="ensemble_accuracy",
    label="accuracy of an ensemble",
    unit="share",
    direction="max",
    description=f"Accuracy of the mean predicted probabilities of {ENSEMBLE} of them.",
)
DIVERSITY = Metric(
    name="disagreement",
    label="disagreement",
    unit="share",
    description="Share of test examples for which two of them predict different classes, the mean over pairs.",
)
LOSS = Metric(
    name="test_loss",
    label="cross-entropy",
    unit="nats",
    direction="min",
    description="Mean cross-entropy on test examples of networks as they were made; of networks that are as accurate, "
    "that of those that are too sure of themselves is larger.",
)
SPREAD = Metric(
    name="nearest_made",
    label="distance to each other",
    direction="max",
    description="Distance of a network to the nearest other of its row, in units of the median distance of a training "
    "network to its nearest other; hidden units are matched. It is about 0 where one network is made again and again.",
)
DISTANCE = Metric(
    name="nearest_distance",
    label="distance to the nearest training network",
    description="In units of the median distance of a training network to its nearest other; hidden units are matched. "
    "Small values are copies, large ones networks of another kind than the zoo's.",
)
OUTSIDE = Metric(
    name="outside_hull",
    label="outside the affine hull",
    unit="share",
    direction="max",
    description="Share of the length of a network, from the training networks' mean, that lies outside their affine "
    "hull; hidden units are matched.",
)
OVERLAP = Metric(
    name="error_overlap",
    label="overlap of errors",
    unit="share",
    direction="min",
    description="Of the test examples that a network or a training network has wrong, the share that both have: that "
    "of the training network with which it shares most.",
)
TUNED_ACCURACIES = tuple(
    Metric(
        name=f"accuracy_after_{steps}",
        label=f"accuracy after {steps} steps",
        unit="share",
        direction="max",
        description=f"Accuracy on test examples after {steps} steps of Adam on batches of {TUNED_BATCH} training "
        f"examples, of the first {TUNED} networks; the mean.",
    )
    for steps in TUNED_STEPS
)
# Against held-out networks of the zoo: how far networks may lie from training networks, how much of them must lie
# outside the hull, how much they must differ in what they predict and in their weights. Chosen by hand.
FURTHEST, LEAST_OUTSIDE, LEAST_VARIED, LEAST_APART = 2.0, 0.5, 0.75, 0.5
CRITERIA = {
    "new": (
        "no closer to training networks than these are to each other, or held-out networks to them",
        "closer to training networks than these are to each other",
    ),
    "of the kind": (
        "at a distance where other networks of the zoo are",
        f"more than {FURTHEST:g} times as far from training networks as others of the zoo, so of another kind",
    ),
    "outside": ("outside their affine hull", "hardly outside their affine hull"),
    "own errors": ("with errors of their own", "with errors shared more than held-out networks share theirs"),
    "varied": (
        "no less varied in what they predict than trained networks",
        "less varied in what they predict than trained networks",
    ),
    "apart": (
        "apart from each other in their weights",
        "less than half as far from each other as trained networks, as one network that is made again and again",
    ),
}
"""What is said of networks that meet a criterion of the audit, and of those that do not."""
OF_EACH = (ACCURACY, LOSS, DISTANCE, SPREAD, OUTSIDE, OVERLAP)
OF_ALL = (BEST_ACCURACY, ENSEMBLE_ACCURACY, DIVERSITY, *TUNED_ACCURACIES)


@dataclass(frozen=True)
class Audit:
    """Judges networks against the training networks of a zoo.

    Attributes:
        training: The training networks, finite, one snapshot each.
        dataset: The data set.
        task: Name of the class task that all have; empty for the whole data set.
    """

    training: Population
    dataset: Dataset
    task: str

    @cached_property
    def test(self) -> Examples:
        """Test examples of the task."""
        return select(self.task, self.dataset.test)

    @cached_property
    def _training_weights(self) -> Tensor:
        return self._aligned(self.training)

    @cached_property
    def _usual_distance(self) -> float:
        return float(nearest(self._training_weights, self._training_weights, same=True).median())

    @cached_property
    def _training_errors(self) -> Tensor:
        return self._wrong(predictions(self.training, self.test))

    @cached_property
    def _hull(self) -> tuple[Tensor, Tensor]:
        """The training networks' mean, and orthonormal directions of their differences ``[P, D]``."""
        mean_P = self._training_weights.mean(0)
        _, sizes, directions = torch.linalg.svd(self._training_weights - mean_P, full_matrices=False)
        return mean_P, directions[sizes > sizes[0] * 1e-9].T

    def of_each(self, made: Population) -> dict[str, Tensor]:
        """The metrics of ``OF_EACH`` for every network, float64 ``[M]``."""
        aligned_MP = self._aligned(made)
        mean_P, directions_PD = self._hull
        centered_MP = aligned_MP - mean_P
        left_MP = centered_MP - (centered_MP @ directions_PD) @ directions_PD.T
        outputs_MNC = outputs(made, self.test)
        wrong_MN = self._wrong(outputs_MNC.argmax(2))
        likelihood_MN = F.log_softmax(outputs_MNC.double(), 2)[:, torch.arange(len(self.test)), self.test.targets]
        return {
            ACCURACY.name: 1 - wrong_MN.mean(1),
            LOSS.name: -likelihood_MN.mean(1),
            DISTANCE.name: nearest(aligned_MP, self._training_weights) / self._usual_distance,
            SPREAD.name: nearest(aligned_MP, aligned_MP, same=True) / self._usual_distance,
            OUTSIDE.name: left_MP.norm(dim=1) / centered_MP.norm(dim=1).clamp_min(1e-12),
            OVERLAP.name: overlaps(wrong_MN, self._training_errors).max(1).values,
        }

    def of_all(self, made: Population) -> dict[str, float]:
        """The metrics of ``OF_ALL``."""
        probabilities_MNC = self._probabilities(made)
        predicted_MN = probabilities_MNC.argmax(2)
        right_MN = 1 - self._wrong(predicted_MN)
        ensemble_N = probabilities_MNC[:ENSEMBLE].mean(0).argmax(1)
        agreement_MM = agreement_matrix(predicted_MN)
        pairs = agreement_MM[~torch.eye(len(made), dtype=torch.bool)]
        return {
            BEST_ACCURACY.name: float(right_MN.mean(1).max()),
            ENSEMBLE_ACCURACY.name: float((ensemble_N == self.test.targets).float().mean()),
            DIVERSITY.name: 1 - float(pairs.mean()),
            **self.fine_tuned(made),
        }

    def fine_tuned(self, made: Population) -> dict[str, float]:
        """Mean accuracies of the first networks after some steps of training."""
        chosen = made.select(range(min(TUNED, len(made))))
        examples = TaskExamples([self.task] * len(chosen), self.dataset.train)
        task = self.dataset.task.of_classes(range(made.architecture.classes) if self.task else ())
        found = {}
        for steps, metric in zip(TUNED_STEPS, TUNED_ACCURACIES, strict=True):
            adapted = AdaptedWeights(chosen.weights_MP)
            adapt(
                adapted,
                made.architecture,
                task,
                examples,
                steps=steps,
                learning_rate=TUNED_LEARNING_RATE,
                batch=TUNED_BATCH,
            )
            after = chosen.with_weights(adapted.weights().detach())
            found[metric.name] = float(evaluate(after, self.test, task)["accuracy"].mean())
        return found

    def _aligned(self, population: Population) -> Tensor:
        reference_P = self.training.weights_MP[0]
        return align(population.weights_MP, self.training.architecture, reference_P).weights_MP.double()

    def _probabilities(self, population: Population) -> Tensor:
        return F.softmax(outputs(population, self.test), dim=2)

    def _wrong(self, predicted_MN: Tensor) -> Tensor:
        return (predicted_MN != self.test.targets).double()


def nearest(one_MP: Tensor, other_KP: Tensor, *, same: bool = False) -> Tensor:
    """Distance of each row to the nearest of others: ``[M]``; where they are the same, to the nearest but itself."""
    distance_MK = torch.cdist(one_MP, other_KP, compute_mode="donot_use_mm_for_euclid_dist")
    if same:
        distance_MK.fill_diagonal_(torch.inf)
    return distance_MK.min(1).values


def overlaps(wrong_MN: Tensor, wrong_KN: Tensor) -> Tensor:
    """Of the examples that either of two networks has wrong, the share that both have: ``[M, K]``; 1 without any."""
    both_MK = wrong_MN @ wrong_KN.T
    either_MK = wrong_MN.sum(1)[:, None] + wrong_KN.sum(1) - both_MK
    return torch.where(either_MK > 0, both_MK / either_MK.clamp_min(1), 1.0)


def passed(estimates: Mapping[str, float], usual: Mapping[str, float]) -> dict[str, bool]:
    """Which criteria of the audit are met: as new, and as different from each other, as networks trained apart.

    Args:
        estimates: Of generated networks: metrics of ``OF_EACH``, and ``DIVERSITY``.
        usual: Of held-out trained networks.

    Returns:
        For each of ``CRITERIA``, in their order.
    """
    return {
        "new": estimates[DISTANCE.name] >= min(1.0, usual[DISTANCE.name]),
        "of the kind": estimates[DISTANCE.name] <= FURTHEST * usual[DISTANCE.name],
        "outside": estimates[OUTSIDE.name] >= LEAST_OUTSIDE * usual[OUTSIDE.name],
        "own errors": estimates[OVERLAP.name] <= usual[OVERLAP.name],
        "varied": estimates[DIVERSITY.name] >= LEAST_VARIED * usual[DIVERSITY.name],
        "apart": estimates[SPREAD.name] >= LEAST_APART * usual[SPREAD.name],
    }
