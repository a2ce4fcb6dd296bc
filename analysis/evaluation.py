"""Evaluators applied to subjects: values for each member on each example, made into metrics with intervals.

Shape letters: M members, N examples, S fits of one setting that differ in their seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Statistic, Subject
from analysis.evaluators.inputs import shifted, usual_inputs
from analysis.groups import independent_groups
from analysis.intervals import Bootstrap, member_means
from analysis.results import Measured
from zoo.config import to_json
from zoo.data.examples import Dataset
from zoo.metric import Metric
from zoo.population import Population
from zoo.storage.store import Store

PERCENTILES = {"p5": 0.05, "p95": 0.95}


@dataclass(frozen=True)
class Evaluation:
    """What subjects are measured by: evaluators, on which examples, and how intervals are drawn.

    Attributes:
        evaluators: Those that can be run here.
        test: Test examples.
        others: Shifted inputs.
        bootstrap: How intervals are drawn.
        grouped: Whether members of one minibatch order are one group, resampled together.
        left_out: Evaluators that cannot be run here, and why.
    """

    evaluators: tuple[Evaluator, ...]
    test: EvaluationData
    others: tuple[EvaluationData, ...] = ()
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    grouped: bool = True
    left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        evaluators: Sequence[Evaluator],
        dataset: Dataset,
        *,
        examples: int | None = None,
        inputs: Sequence[str] | None = None,
        paired: bool = True,
        bootstrap: Bootstrap | None = None,
        grouped: bool = True,
        store: Store | None = None,
    ) -> Evaluation:
        """Those of the evaluators that can be run.

        Args:
            evaluators: What is to be measured.
            dataset: The data set that the networks were trained on.
            examples: At most so many test examples; ``None`` for all.
            inputs: Names of other inputs (see :func:`analysis.evaluators.inputs.shifted`); by default the usual ones.
            paired: Whether subjects have originals.
            bootstrap: How intervals are drawn.
            grouped: See the attribute.
            store: Where other data sets may lie.

        Raises:
            ValueError: Unknown inputs, or two evaluators give metrics of one name.
        """
        test = EvaluationData(dataset, dataset.test.first(examples))
        obstacles = {evaluator.name: evaluator.obstacle(test, paired) for evaluator in evaluators}
        able = tuple(evaluator for evaluator in evaluators if obstacles[evaluator.name] is None)
        names = [measure.metric.name for evaluator in able for measure in evaluator.measures]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several evaluators give the metric {twice[0]!r}; rename one, or leave one out")
        others = dict.fromkeys(usual_inputs(dataset) if inputs is None else inputs)
        return cls(
            able,
            test,
            tuple(shifted(name, dataset, test.examples, store) for name in others),
            bootstrap or Bootstrap(),
            grouped,
            {name: reason for name, reason in obstacles.items() if reason is not None},
        )

    def only(self, *names: str) -> Evaluation:
        """The same with those of its evaluators that have these names, on test examples alone."""
        chosen = tuple(evaluator for evaluator in self.evaluators if evaluator.name in names)
        return replace(self, evaluators=chosen, others=())

    @property
    def content(self) -> dict[str, Any]:
        """What decides what is measured, as JSON values: evaluators, hashes of examples, how intervals are drawn."""
        return {
            "evaluators": {e.name: f"{e.run.__module__}:{e.run.__qualname__}" for e in self.evaluators},
            "dataset": self.test.dataset.sha256,
            "loss": self.test.dataset.task.loss,
            "examples": len(self.test),
            "inputs": {
                other.inputs: hashlib.sha256(other.examples.values.numpy().tobytes()).hexdigest()
                for other in self.others
            },
            "bootstrap": to_json(self.bootstrap),
            "grouped": self.grouped,
        }

    def groups(self, population: Population) -> np.ndarray:
        """For each member of a population the number of the group that it is resampled with, ``[M]``."""
        return independent_groups(population, self.grouped)

    def measure(
        self, subjects: Sequence[Subject], original: Subject | None = None, *, remember: bool = False
    ) -> tuple[dict[str, Measured], dict[str, tuple[float, ...]]]:
        """Runs the evaluators.

        Args:
            subjects: What is looked at: one population, or several fits of it, whose figures are averaged and whose
                spread intervals take into account.
            original: What they are compared with, row by row.
            remember: Whether subjects keep what they answer to the test examples, for evaluators that come later.

        Returns:
            The metrics, and for each name of an evaluator's values their means over examples and fits, one a member.

        Raises:
            ValueError: Outputs are not finite, or an evaluator does not give what it declares.
        """
        metrics: dict[str, Measured] = {}
        values: dict[str, tuple[float, ...]] = {}
        population = subjects[0].population
        groups_M = self.groups(population)
        for data in (self.test, *self.others):
            part = data.part(population)
            part_MN = None if part is None else part.numpy()
            for evaluator in self.evaluators:
                measures = [m for m in evaluator.measures if m.shifted or data is self.test]
                given = _stacked(evaluator, subjects, original, data) if measures else {}
                for measure in measures:
                    if measure.source not in given:  # it makes no sense for these networks
                        continue
                    values_SMN = given[measure.source]
                    counted = part_MN if values_SMN.shape[2] == len(data) else None
                    metric, source = data.metric(measure.metric), data.named(measure.source)
                    metrics[metric.name] = self._measured(metric, measure.statistic, values_SMN, groups_M, counted)
                    values[source] = tuple(member_means(values_SMN, counted).mean(0).tolist())
                values |= {
                    data.named(name): tuple(member_means(values_SMN).mean(0).tolist())
                    for name, values_SMN in given.items()
                    if evaluator.of_series(name)
                }
            if not (remember and data is self.test):
                for subject in subjects:
                    subject.forget(data)
        return metrics, values

    def details(self, subject: Subject, original: Subject | None = None) -> dict[str, Any]:
        """What evaluators give for pictures on the test examples, by their names; for arguments see :meth:`measure`."""
        return {
            evaluator.name: dict(evaluator.details(subject, original, self.test))
            for evaluator in self.evaluators
            if evaluator.details is not None
        }

    def _measured(
        self,
        metric: Metric,
        statistic: Statistic,
        values_SMN: np.ndarray,
        groups_M: np.ndarray,
        part_MN: np.ndarray | None,
    ) -> Measured:
        if statistic in PERCENTILES:
            means_SM = member_means(values_SMN, part_MN)
            return Measured(metric=metric, estimate=float(np.quantile(means_SM, PERCENTILES[statistic], axis=1).mean()))
        absolute = statistic == "absolute_mean"
        # Of shares, and of R², more than 1 is not to be had.
        most = 1.0 if metric.direction == "max" and values_SMN.max() <= 1 else math.inf
        found = self.bootstrap.interval(values_SMN, absolute=absolute, groups_M=groups_M, part_MN=part_MN, most=most)
        return Measured.of(metric, found)


def _stacked(
    evaluator: Evaluator, subjects: Sequence[Subject], original: Subject | None, data: EvaluationData
) -> dict[str, np.ndarray]:
    """What an evaluator gives for each fit, ``[S, M, N]`` float32; N is 1 for what is not about single examples.

    Raises:
        ValueError: It gives something else than it declares.
    """
    given = [evaluator.run(subject, original, data) for subject in subjects]
    known = {measure.source for measure in evaluator.measures}
    names = {name for values in given for name in values if not evaluator.of_series(name)}
    if unknown := sorted(names - known):
        raise ValueError(f"evaluator {evaluator.name!r} gives {unknown[0]!r}; it declares {', '.join(sorted(known))}")
    return {
        name: np.stack([_checked(evaluator, name, values[name], len(subjects[0]), data) for values in given])
        for name in given[0]
    }


def _checked(evaluator: Evaluator, name: str, values: Tensor, members: int, data: EvaluationData) -> np.ndarray:
    allowed = ((members,), (members, len(data)))
    if tuple(values.shape) not in allowed:
        raise ValueError(
            f"evaluator {evaluator.name!r} gives {name!r} of shape {tuple(values.shape)}; expected {allowed[0]}, or "
            f"{allowed[1]} with a value for each example"
        )
    array: np.ndarray = values.detach().to(torch.float32).reshape(members, -1).numpy()
    return array
