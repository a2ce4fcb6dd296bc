"""What sampled members do on test examples: scores by class, calibration, how alike their outputs are.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from analysis.card.record import Findings
from analysis.statistics.groups import evenly_spaced
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


def describe_behavior(
    snapshots: Mapping[str, Sequence[Population]], data: Dataset, examples: int, findings: Findings
) -> None:
    """Applies snapshots to test examples.

    Adds accuracy by class, calibration error, and agreement or concordance over pairs; to ``findings.sample`` how many
    members were ``measured`` and ``compared``, and ``examples_used`` of each task.

    Args:
        snapshots: The "last" snapshot of each sampled member, a population for each layout, and "one" snapshot of
            each, its epoch chosen by a hash of the member's number, likewise; empty if these are the same.
        data: The data set.
        examples: Use at most so many, for each task; fewer where the networks take long, see ``MOST_WORK``.
        findings: What is added to.
    """
    last = snapshots["last"]
    work = sum(architecture.multiplications * len(rows) for part in last for architecture, rows in part.groups())
    most = min(examples, max(LEAST_EXAMPLES, MOST_WORK // max(work, 1)))
    findings.sample |= {"measured": sum(map(len, last)), "examples_used": min(most, len(data.test)), "compared": {}}
    if data.task.has_classes:
        _by_class(last, data, most, findings)
    for name, populations in snapshots.items():
        if populations:
            _compare(populations, data, most, findings, name)


def _by_class(populations: Sequence[Population], data: Dataset, most: int, findings: Findings) -> None:
    by_class: dict[int, list[np.ndarray]] = {label: [] for label in range(data.classes)}
    errors = []
    for task, test, parts in _by_task(populations, data, most):
        for evaluation in (classification(part, test) for part in parts):
            errors.append(evaluation.calibration_error_M.numpy())
            for label, scores_M in zip(parse_task(task) or by_class, evaluation.class_accuracy_MC.T, strict=True):
                if label != REST:
                    by_class[label].append(scores_M.numpy())
    for label, scores in by_class.items():
        if scores:
            findings.add(np.concatenate(scores), CLASS_ACCURACY.name, by="class", value=label)
    findings.add(np.concatenate(errors), CALIBRATION_ERROR.name, bins=HISTOGRAM_BINS)


def _compare(populations: Sequence[Population], data: Dataset, most: int, findings: Findings, snapshots: str) -> None:
    """Compares the outputs of each two snapshots of the same task."""
    of_classes, total = data.task.has_classes, sum(map(len, populations))
    metric = AGREEMENT if of_classes else CONCORDANCE
    compared = [evenly_spaced(len(part), -(-COMPARED_MEMBERS * len(part) // total)) for part in populations]
    chosen = [part.select(rows) for part, rows in zip(populations, compared, strict=True)]
    pairs, scores = [], []
    for _, test, parts in _by_task(chosen, data, most):
        outputs_M = torch.cat([(predictions if of_classes else outputs)(part, test) for part in parts])
        similar_MM = (agreement_matrix if of_classes else concordance_matrix)(outputs_M).numpy()
        order_M = (outputs_M == test.targets).double().mean(1).numpy() if of_classes else similar_MM.mean(1)
        scores.append(order_M)
        pairs.append(similar_MM[np.triu_indices(len(similar_MM), 1)])
    if len(scores) == 1:  # members of several tasks do not fit into one matrix
        ids = [member.id for part in parts for member in part.members]
        rows_K = np.argsort(order_M, kind="stable")[evenly_spaced(len(order_M), MATRIX_MEMBERS)]
        findings.rows["matrix"] = [
            {"member": ids[a], "other": ids[b], "similarity": round(float(similar_MM[a, b]), 4)}
            for a in rows_K
            for b in rows_K
        ]
    findings.add(np.concatenate(pairs), metric.name, bins=HISTOGRAM_BINS, by="snapshots", value=snapshots)
    if of_classes:
        findings.add(np.concatenate(scores), "compared_accuracy", by="snapshots", value=snapshots)
    findings.sample["compared"][snapshots] = sum(map(len, scores))


def _by_task(
    populations: Sequence[Population], data: Dataset, most: int
) -> Iterator[tuple[str, Examples, list[Population]]]:
    """Each task with its first test examples, and its members by layout."""
    tasks = dict.fromkeys(member.task for population in populations for member in population.members)
    for task in tasks:
        rows = [[row for row, member in enumerate(part.members) if member.task == task] for part in populations]
        parts = [part.select(chosen) for part, chosen in zip(populations, rows, strict=True) if chosen]
        yield task, select(task, data.test).first(most), parts
