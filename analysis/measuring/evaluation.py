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

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Statistic
from analysis.evaluators.inputs import shifted, usual_inputs
from analysis.measuring.results import Measured
from analysis.statistics.groups import independent_groups
from analysis.statistics.intervals import Bootstrap, member_means
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

    def measured(
        self,
        metric: Metric,
        statistic: Statistic,
        values_SMN: np.ndarray,
        groups_M: np.ndarray,
        part_MN: np.ndarray | None,
    ) -> Measured:
        """A metric from values for each fit and member, and for each example that is part of a member's task."""
        if statistic in PERCENTILES:
            means_SM = member_means(values_SMN, part_MN)
            return Measured(metric=metric, estimate=float(np.quantile(means_SM, PERCENTILES[statistic], axis=1).mean()))
        absolute = statistic == "absolute_mean"
        # Of shares, and of R², more than 1 is not to be had.
        most = 1.0 if metric.direction == "max" and values_SMN.max() <= 1 else math.inf
        found = self.bootstrap.interval(values_SMN, absolute=absolute, groups_M=groups_M, part_MN=part_MN, most=most)
        return Measured.of(metric, found)
