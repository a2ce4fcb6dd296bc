"""What sampled members do on test examples: scores by class, calibration, how alike their outputs are.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from analysis.card.describe import Row, bins, describe, even_edges, evenly_spaced
from zoo.architecture import Architecture
from zoo.data import Dataset
from zoo.data.class_tasks import parse_task, select
from zoo.data.examples import Examples
from zoo.evaluation import agreement_matrix, apply, classification, predictions
from zoo.metric import Metric
from zoo.population import Population

AGREEMENT = Metric(
    name="agreement",
    label="agreement of two members",
    unit="share",
    description="Share of test examples on which two networks predict the same class, right or wrong.",
)
CONCORDANCE = Metric(
    name="concordance",
    label="concordance of two members",
    description="Lin's concordance of two networks' outputs over test examples, each output about its mean: 1 where "
    "they are equal, 0 where they have nothing in common.",
)
CLASS_ACCURACY = Metric(
    name="class_accuracy",
    label="accuracy by class",
    unit="share",
    direction="max",
    description="Accuracy on the test examples of one class.",
)
CALIBRATION_ERROR = Metric(
    name="calibration_error",
    label="expected calibration error",
    unit="share",
    direction="min",
    description="How far confidence, the largest class probability, is from accuracy, over 15 bins of confidence.",
)
HISTOGRAM_BINS = 40
# Members of the matrix that is shown.
MATRIX_MEMBERS = 60
# Members that are compared with each other, some 4.5 million pairs; all of them would take memory by their square.
COMPARED_MEMBERS = 3000
# Multiplications of one pass over all members: bounds three passes to about a minute, with fewer examples for
# convolutions. Fewer examples than the least would say nothing.
MOST_WORK, LEAST_EXAMPLES = 40_000_000_000, 200


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """What was found.

    Attributes:
        members: Members measured: those of the sample whose last snapshot has not diverged.
        examples: Test examples that they were applied to, at most, for each task.
        compared: Members compared with each other, for the "last" snapshot of each and for "one" snapshot of each, its
            epoch chosen by a hash of the member's number as ``Zoo.population(epochs="one")`` does.
        distributions: Of accuracy by class, of calibration error, and of agreement or concordance over pairs.
        histograms: Likewise.
        matrix: How similar some members are, by rising accuracy; nothing where members have different tasks.
    """

    members: int = 0
    examples: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    distributions: list[Row] = field(default_factory=list)
    histograms: list[Row] = field(default_factory=list)
    matrix: list[Row] = field(default_factory=list)


def behavior(last: Sequence[Population], one: Sequence[Population], data: Dataset, examples: int) -> Behavior:
    """Applies snapshots to test examples.

    Args:
        last: The last snapshot of each sampled member, a population for each layout.
        one: One snapshot of each, its epoch drawn, likewise; empty if these are the same.
        data: The data set.
        examples: Use at most so many, for each task; fewer where the networks take long, see ``MOST_WORK``.
    """
    work = sum(multiplications(architecture) * len(rows) for part in last for architecture, rows in part.groups())
    examples = min(examples, max(LEAST_EXAMPLES, MOST_WORK // max(work, 1)))
    found = Behavior(members=sum(map(len, last)), examples=min(examples, len(data.test)))
    if data.task.loss == "softmax":
        _by_class(found, last, data)
    for snapshots, populations in (("last", last), ("one", one)):
        if populations:
            _compare(found, populations, data, snapshots)
    return found


def _by_class(found: Behavior, populations: Sequence[Population], data: Dataset) -> None:
    by_class: dict[int, list[np.ndarray]] = {label: [] for label in range(data.classes)}
    errors = []
    for population in populations:
        for task, rows in tasks_of(population):
            evaluation = classification(population.select(rows), select(task, data.test).first(found.examples))
            for place, label in enumerate(parse_task(task) or range(data.classes)):
                by_class[label].append(evaluation.class_accuracy_MC[:, place].numpy())
            errors.append(evaluation.calibration_error_M.numpy())
    for label, parts in by_class.items():
        if parts:
            row = describe(np.concatenate(parts), metric=CLASS_ACCURACY.name, by="class", value=label)
            found.distributions.append(row)
    errors_M = np.concatenate(errors)
    found.distributions.append(describe(errors_M, metric=CALIBRATION_ERROR.name))
    found.histograms.extend(bins(errors_M, even_edges(errors_M, HISTOGRAM_BINS), metric=CALIBRATION_ERROR.name))


def _compare(found: Behavior, populations: Sequence[Population], data: Dataset, snapshots: str) -> None:
    """Compares the outputs of each two snapshots of the same task."""
    of_classes = data.task.loss == "softmax"
    metric = AGREEMENT if of_classes else CONCORDANCE
    total = sum(map(len, populations))
    parts: dict[str, list[Tensor]] = {}
    ids: dict[str, list[int]] = {}
    for population in populations:
        compared = evenly_spaced(len(population), -(-COMPARED_MEMBERS * len(population) // total))
        population = population.select(torch.from_numpy(compared))
        for task, rows in tasks_of(population):
            chosen, test = population.select(rows), select(task, data.test).first(found.examples)
            parts.setdefault(task, []).append(predictions(chosen, test) if of_classes else _outputs(chosen, test))
            ids.setdefault(task, []).extend(member.id for member in chosen.members)
    found.compared[snapshots] = sum(map(len, ids.values()))
    pairs, scores = [], []
    for task, outputs in parts.items():
        if of_classes:
            similar_MM = agreement_matrix(torch.cat(outputs)).numpy()
            targets_N = select(task, data.test).first(found.examples).targets
            order_M = (torch.cat(outputs) == targets_N).double().mean(1).numpy()
            scores.append(order_M)
        else:
            similar_MM = concordance_matrix(torch.cat(outputs)).numpy()
            order_M = similar_MM.mean(1)
        pairs.append(similar_MM[np.triu_indices(len(similar_MM), 1)])
        if len(parts) == 1:
            rows_K = np.argsort(order_M, kind="stable")[evenly_spaced(len(order_M), MATRIX_MEMBERS)]
            found.matrix[:] = [
                {"member": ids[task][a], "other": ids[task][b], metric.name: round(float(similar_MM[a, b]), 4)}
                for a in rows_K
                for b in rows_K
            ]
    values = np.concatenate(pairs)
    found.distributions.append(describe(values, metric=metric.name, by="snapshots", value=snapshots))
    found.histograms.extend(bins(values, even_edges(values, HISTOGRAM_BINS), metric=metric.name, value=snapshots))
    if scores:
        row = describe(np.concatenate(scores), metric="compared_accuracy", by="snapshots", value=snapshots)
        found.distributions.append(row)


def concordance_matrix(outputs_MNC: Tensor) -> Tensor:
    """Lin's concordance of each two members' outputs, each output about its mean: ``[M, M]`` float64."""
    flat_MO = outputs_MNC.double().flatten(1)
    mean_MC = outputs_MNC.double().mean(1)
    variance_M = (outputs_MNC.double() - mean_MC[:, None]).square().sum((1, 2))
    shift_MM = torch.cdist(mean_MC, mean_MC).square() * outputs_MNC.shape[1]
    scale_MM = variance_M[:, None] + variance_M + shift_MM
    return 1 - torch.cdist(flat_MO, flat_MO).square() / scale_MM.clamp_min(1e-300)


def _outputs(population: Population, examples: Examples) -> Tensor:
    outputs_MNC = torch.empty(len(population), len(examples), population.architecture.classes)
    for rows, span, part_MNC in apply(population, examples):
        outputs_MNC[rows, span] = part_MNC
    return outputs_MNC


def multiplications(architecture: Architecture) -> int:
    """How many products one network takes for one example."""
    shapes = {spec.name: spec.shape for spec in architecture.layout}
    weights = ((shapes.get(f"{place.name}.weight", ()), place.output_shape) for place in architecture.placed)
    return sum(math.prod(shape) * math.prod(output[1:]) for shape, output in weights if len(shape) > 1)


def tasks_of(population: Population) -> Iterator[tuple[str, list[int]]]:
    """Each task that occurs with the rows that have it."""
    rows: dict[str, list[int]] = {}
    for row, member in enumerate(population.members):
        rows.setdefault(member.task, []).append(row)
    yield from rows.items()
