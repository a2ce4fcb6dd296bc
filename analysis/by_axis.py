"""What networks of a zoo withstand, by how they were trained: evaluators of robustness for each group of members.

Shape letters: M members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Subject
from analysis.evaluators.registry import find_evaluator
from analysis.groups import independent_groups, orders_differ
from analysis.intervals import Bootstrap
from zoo.population import Population
from zoo.storage.zoo import Zoo

# Noise of strength 0 is none: accuracy on the same examples as the others.
WITHSTOOD = ("weight-noise-0", "weight-noise-0.5", "weight-noise-0.5x100", "fgsm-0.1", "pgd-0.1")
Progress = Callable[[int, int], None]


def measured_by(
    zoo: Zoo,
    columns: Sequence[str],
    evaluators: Sequence[str] = WITHSTOOD,
    *,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measures the last snapshots of all members, with intervals over them, for each combination of what differs.

    Nothing is fitted, so members of every split count. Members of one minibatch order are resampled together.

    Args:
        zoo: Networks that tell classes apart.
        columns: By what members are grouped: fields of ``zoo.population.Member``, or other columns of the zoo.
        evaluators: Names of evaluators that need no originals, such as "pgd-0.1".
        bootstrap: How intervals are drawn.
        progress: Called with evaluations done and all of them.

    Returns:
        A row for each combination and metric, in order: the columns, ``members``, ``metric``, ``estimate``, ``low``
        and ``high``; the last two are missing where all members of a combination share one order.

    Raises:
        ValueError: No column, an unknown one, or an evaluator that is unknown, compares with originals, or does not
            suit the zoo's task.
        ZooError: The data set is not there, or the zoo is damaged.
    """
    if not columns:
        raise ValueError("columns is empty; name at least one, such as 'adversarial_epsilon'")
    dataset = zoo.dataset()
    chosen = [_suited(name, dataset.task.has_classes) for name in evaluators]
    data, grouped, rows = EvaluationData(dataset, dataset.test), orders_differ(zoo), []
    parts = [part for population in zoo.populations(epochs="last") for part in _parts(population, columns)]
    for number, (values, population) in enumerate(parts):
        subject, groups_M = Subject(population, f"zoo {zoo.name}"), independent_groups(population, grouped)
        told = dict(zip(columns, values, strict=True)) | {"members": len(population)}
        for place, evaluator in enumerate(chosen):
            rows += [told | row for row in _measured(evaluator, subject, data, groups_M, bootstrap or Bootstrap())]
            if progress is not None:
                progress(number * len(chosen) + place + 1, len(parts) * len(chosen))
    return pd.DataFrame(rows)


def _suited(name: str, has_classes: bool) -> Evaluator:
    evaluator = find_evaluator(name)
    if evaluator.needs_original:
        raise ValueError(f"evaluator {name!r} compares with originals; allowed: those that need none, such as pgd-0.1")
    if evaluator.judges == "classes" and not has_classes:
        raise ValueError(f"evaluator {name!r} judges classes, and these networks tell none apart")
    return evaluator


def _parts(population: Population, columns: Sequence[str]) -> list[tuple[tuple[object, ...], Population]]:
    """For each combination of values that occurs, in order, its members."""
    keys = list(zip(*(population.column(name).tolist() for name in columns), strict=True))
    return [
        (key, population.select([row for row, other in enumerate(keys) if other == key])) for key in sorted(set(keys))
    ]


def _measured(
    evaluator: Evaluator, subject: Subject, data: EvaluationData, groups_M: np.ndarray, bootstrap: Bootstrap
) -> list[dict[str, object]]:
    """A row for each metric of an evaluator that is a mean over members."""
    values = evaluator.run(subject, None, data)
    rows: list[dict[str, object]] = []
    for measure in evaluator.measures:
        if measure.statistic != "mean":
            continue
        values_M = values[measure.source].double().reshape(len(subject), -1).mean(1).numpy()

        def mean(fit: int, members: np.ndarray, values_M: np.ndarray = values_M) -> dict[str, float]:  # noqa: ARG001
            return {"mean": float(values_M[members].mean())}

        interval = bootstrap.of_statistics(mean, len(subject), groups_M=groups_M)["mean"]
        rows.append(
            {
                "metric": measure.metric.name,
                "estimate": interval.estimate,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return rows
