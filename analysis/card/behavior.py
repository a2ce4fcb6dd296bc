"""What sampled members do on test examples: scores by class, calibration, how alike their outputs are.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from analysis.card.describe import Findings, Row, even_edges, evenly_spaced
from zoo.data import Dataset
from zoo.data.class_tasks import REST, parse_task, select
from zoo.data.examples import Examples
from zoo.evaluation import agreement_matrix, classification, concordance_matrix, outputs, predictions
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
    """What was looked at.

    Attributes:
        members: Members measured: those of the sample whose last snapshot has not diverged.
        examples: Test examples that they were applied to, at most, for each task.
        compared: Members compared with each other, for the "last" snapshot of each and for "one" snapshot of each, its
            epoch chosen by a hash of the member's number as ``Zoo.population(epochs="one")`` does.
        matrix: How similar some members are, by rising accuracy; nothing where members have different tasks.
    """

    members: int = 0
    examples: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    matrix: list[Row] = field(default_factory=list)


def behavior(
    last: Sequence[Population], one: Sequence[Population], data: Dataset, examples: int, findings: Findings
) -> Behavior:
    """Applies snapshots to test examples.

    Args:
        last: The last snapshot of each sampled member, a population for each layout.
        one: One snapshot of each, its epoch drawn, likewise; empty if these are the same.
        data: The data set.
        examples: Use at most so many, for each task; fewer where the networks take long, see ``MOST_WORK``.
        findings: Where accuracy by class, calibration error, and agreement or concordance over pairs are added.
    """
    work = sum(architecture.multiplications * len(rows) for part in last for architecture, rows in part.groups())
    most = min(examples, max(LEAST_EXAMPLES, MOST_WORK // max(work, 1)))
    if data.task.has_classes:
        _by_class(last, data, most, findings)
    found = Behavior(members=sum(map(len, last)), examples=min(most, len(data.test)))
    for snapshots, populations in (("last", last), ("one", one)):
        if populations:
            found.compared[snapshots], found.matrix[:] = _compare(populations, data, most, findings, snapshots)
    return found


def _by_class(populations: Sequence[Population], data: Dataset, most: int, findings: Findings) -> None:
    by_class: dict[int, list[np.ndarray]] = {label: [] for label in range(data.classes)}
    errors = []
    for part, task, test in _parts(populations, data, most):
        evaluation = classification(part, test)
        for place, label in enumerate(parse_task(task) or by_class):
            if label != REST:
                by_class[label].append(evaluation.class_accuracy_MC[:, place].numpy())
        errors.append(evaluation.calibration_error_M.numpy())
    for label, scores in by_class.items():
        if scores:
            findings.add(np.concatenate(scores), CLASS_ACCURACY.name, by="class", value=label)
    errors_M = np.concatenate(errors)
    findings.add(errors_M, CALIBRATION_ERROR.name, edges=even_edges(errors_M, HISTOGRAM_BINS))


def _compare(
    populations: Sequence[Population], data: Dataset, most: int, findings: Findings, snapshots: str
) -> tuple[int, list[Row]]:
    """Compares the outputs of each two snapshots of the same task; returns how many were, and the matrix of some."""
    of_classes = data.task.has_classes
    metric = AGREEMENT if of_classes else CONCORDANCE
    total = sum(map(len, populations))
    compared = [evenly_spaced(len(part), -(-COMPARED_MEMBERS * len(part) // total)) for part in populations]
    chosen = [part.select(rows.tolist()) for part, rows in zip(populations, compared, strict=True)]
    found: dict[str, list[Tensor]] = {}
    ids: dict[str, list[int]] = {}
    for part, task, test in _parts(chosen, data, most):
        found.setdefault(task, []).append((predictions if of_classes else outputs)(part, test))
        ids.setdefault(task, []).extend(member.id for member in part.members)
    pairs, scores, matrix = [], [], list[Row]()
    for task, parts in found.items():
        outputs_M = torch.cat(parts)
        similar_MM = (agreement_matrix if of_classes else concordance_matrix)(outputs_M).numpy()
        targets_N = select(task, data.test).first(most).targets
        order_M = (outputs_M == targets_N).double().mean(1).numpy() if of_classes else similar_MM.mean(1)
        scores.append(order_M)
        pairs.append(similar_MM[np.triu_indices(len(similar_MM), 1)])
        rows_K = np.argsort(order_M, kind="stable")[evenly_spaced(len(order_M), MATRIX_MEMBERS)]
        matrix = [
            {"member": ids[task][a], "other": ids[task][b], metric.name: round(float(similar_MM[a, b]), 4)}
            for a in rows_K
            for b in rows_K
            if len(found) == 1
        ]
    values = np.concatenate(pairs)
    findings.add(values, metric.name, edges=even_edges(values, HISTOGRAM_BINS), by="snapshots", value=snapshots)
    if of_classes:
        findings.add(np.concatenate(scores), "compared_accuracy", by="snapshots", value=snapshots)
    return sum(map(len, ids.values())), matrix


def _parts(populations: Sequence[Population], data: Dataset, most: int) -> Iterator[tuple[Population, str, Examples]]:
    """Members of one layout and task, with this task and its first test examples."""
    for population in populations:
        rows: dict[str, list[int]] = {}
        for row, member in enumerate(population.members):
            rows.setdefault(member.task, []).append(row)
        for task, chosen in rows.items():
            yield population.select(chosen), task, select(task, data.test).first(most)
