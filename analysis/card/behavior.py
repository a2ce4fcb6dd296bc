"""What sampled members do on test images: accuracy by class, calibration, agreement with one another.

Shape letters: M members, N images, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from analysis.card.distributions import Distribution, Histogram, distribution, even_edges, evenly_spaced, histogram
from zoo.architecture import Architecture
from zoo.data.class_tasks import parse_task, select
from zoo.data.examples import Examples
from zoo.evaluation import agreement_matrix, classification, predictions
from zoo.population import Population

HISTOGRAM_BINS = 40
# Members of the matrix of agreements that is shown.
MATRIX_MEMBERS = 60
# Members that are compared with each other, some 4.5 million pairs; all of them would take memory by their square.
COMPARED_MEMBERS = 3000
# Multiplications of one pass over all members: bounds three passes to about a minute, with fewer images for
# convolutions. Fewer images than the least would say nothing.
MOST_WORK, LEAST_IMAGES = 40_000_000_000, 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassFacts:
    """Accuracy on the images of one class, over members whose task has it."""

    label: int
    members: int
    accuracy: Distribution


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementFacts:
    """On what share of images two members predict the same class; pairs have the same task.

    Attributes:
        snapshots: "last": the last snapshot of each member. "one": one of each, its epoch chosen by a hash of the
            member's number, as ``Zoo.population(epochs="one")`` does; what codecs are measured on.
        members: Members compared: all those measured, or about ``COMPARED_MEMBERS`` of them, evenly spaced.
        pairs: Pairs of them.
        agreement: Over pairs.
        histogram: Over pairs.
        accuracy: Test accuracy of these snapshots on the same images.
        matrix_members: Some of them, by rising accuracy; none where members have different tasks.
        matrix: Agreement of each two of those.
    """

    snapshots: str
    members: int
    pairs: int
    agreement: Distribution
    histogram: Histogram
    accuracy: Distribution
    matrix_members: tuple[int, ...]
    matrix: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BehaviorFacts:
    """What sampled members do on test images.

    Attributes:
        members: Members measured: those of the sample whose last snapshot has not diverged.
        images: Test images that were used, at most, for each task.
        classes: Accuracy by class.
        calibration_error: Expected calibration error over members.
        calibration_histogram: The same.
        agreement: Of last snapshots, and of one snapshot a member.
    """

    members: int
    images: int
    classes: tuple[ClassFacts, ...]
    calibration_error: Distribution
    calibration_histogram: Histogram
    agreement: tuple[AgreementFacts, ...]


def behavior(
    last: Sequence[Population], one: Sequence[Population], test: Examples, classes: int, images: int
) -> BehaviorFacts:
    """Applies snapshots to test images.

    Args:
        last: The last snapshot of each sampled member, a population for each layout.
        one: One snapshot of each, likewise; empty if these are the same.
        test: Test images.
        classes: Classes of the data set.
        images: Use at most so many images, for each task; fewer where the networks take long, see ``MOST_WORK``.
    """
    work = sum(multiplications(architecture) * len(rows) for part in last for architecture, rows in part.groups())
    images = min(images, max(LEAST_IMAGES, MOST_WORK // max(work, 1)))
    by_class: dict[int, list[np.ndarray]] = {label: [] for label in range(classes)}
    calibration = []
    for population in last:
        for task, rows in tasks_of(population):
            evaluation = classification(population.select(rows), select(task, test).first(images))
            labels = parse_task(task) or tuple(range(classes))
            for place, label in enumerate(labels):
                by_class[label].append(evaluation.class_accuracy_MC[:, place].numpy())
            calibration.append(evaluation.calibration_error_M.numpy())
    errors_M = np.concatenate(calibration)
    return BehaviorFacts(
        members=len(errors_M),
        images=min(images, len(test)),
        classes=tuple(
            ClassFacts(label=label, members=sum(map(len, parts)), accuracy=distribution(np.concatenate(parts)))
            for label, parts in by_class.items()
            if parts
        ),
        calibration_error=distribution(errors_M),
        calibration_histogram=histogram(errors_M, even_edges(errors_M, HISTOGRAM_BINS)),
        agreement=tuple(
            agreement(populations, test, images, name)
            for name, populations in (("last", last), ("one", one))
            if populations
        ),
    )


def agreement(populations: Sequence[Population], test: Examples, images: int, snapshots: str) -> AgreementFacts:
    """Compares the predictions of each two snapshots of the same task.

    Args:
        populations: The snapshots, a population for each layout.
        test: Test images.
        images: Use at most so many, for each task.
        snapshots: What they are; see :class:`AgreementFacts`.
    """
    total = sum(map(len, populations))
    predicted: dict[str, list[torch.Tensor]] = {}
    ids: dict[str, list[int]] = {}
    for population in populations:
        compared = evenly_spaced(len(population), -(-COMPARED_MEMBERS * len(population) // total))
        population = population.select(torch.from_numpy(compared))
        for task, rows in tasks_of(population):
            chosen = population.select(rows)
            predicted.setdefault(task, []).append(predictions(chosen, select(task, test).first(images)))
            ids.setdefault(task, []).extend(member.id for member in chosen.members)
    pairs, accuracies = [], []
    matrix_members: tuple[int, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()
    for task, parts in predicted.items():
        predicted_MN = torch.cat(parts)
        agreement_MM = agreement_matrix(predicted_MN).numpy()
        pairs.append(agreement_MM[np.triu_indices(len(agreement_MM), 1)])
        labels = select(task, test).first(images).targets
        accuracy_M = (predicted_MN == labels).double().mean(1).numpy()
        accuracies.append(accuracy_M)
        if len(predicted) == 1:
            rows_K = np.argsort(accuracy_M, kind="stable")[evenly_spaced(len(accuracy_M), MATRIX_MEMBERS)]
            matrix_members = tuple(ids[task][row] for row in rows_K)
            matrix = tuple(map(tuple, agreement_MM[np.ix_(rows_K, rows_K)].round(4).tolist()))
    values, accuracy = np.concatenate(pairs), np.concatenate(accuracies)
    return AgreementFacts(
        snapshots=snapshots,
        members=len(accuracy),
        pairs=len(values),
        agreement=distribution(values),
        histogram=histogram(values, even_edges(values, HISTOGRAM_BINS)),
        accuracy=distribution(accuracy),
        matrix_members=matrix_members,
        matrix=matrix,
    )


def multiplications(architecture: Architecture) -> int:
    """How many products one network takes for one image."""
    shapes = {spec.name: spec.shape for spec in architecture.layout}
    weights = ((shapes.get(f"{place.name}.weight", ()), place.output_shape) for place in architecture.placed)
    return sum(math.prod(shape) * math.prod(output[1:]) for shape, output in weights if len(shape) > 1)


def tasks_of(population: Population) -> Iterator[tuple[str, list[int]]]:
    """Each task that occurs with the rows that have it."""
    rows: dict[str, list[int]] = {}
    for row, member in enumerate(population.members):
        rows.setdefault(member.task, []).append(row)
    yield from rows.items()
