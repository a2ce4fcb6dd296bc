"""Evaluators at work, in units that are done in any order, by any process: an evaluator on a block of members.

Shape letters: M members, N examples, S fits of one setting that differ in their seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from analysis.evaluators.evaluator import TEST, EvaluationData, Evaluator, Measure, Subject
from analysis.measuring.evaluation import Evaluation
from analysis.measuring.results import Measured
from analysis.statistics.intervals import member_means

# In place of the number of a block: all members.
WHOLE = -1


class Unit(NamedTuple):
    """The unit of work: what one evaluator gives for one block of a subject's members.

    Attributes:
        fit: Which of the subjects, that differ in their seed.
        block: Number of the block; ``WHOLE`` where the evaluator is run on all members at once.
        inputs: Name of the inputs.
        evaluator: Name of the evaluator.
    """

    fit: int
    block: int
    inputs: str
    evaluator: str


BlockValues = Mapping[str, np.ndarray]
"""By name, float32 ``[M, N]`` for the members of a block; N is 1 for what is not about single examples."""


class Evaluating:
    """Evaluators at work on subjects: units that can be done anywhere and in any order, and what is made of them.

    Args:
        evaluation: Evaluators and inputs.
        subjects: What is looked at: one population, or several fits of it, whose figures are averaged and whose spread
            intervals take into account.
        original: What they are compared with, row by row.
    """

    def __init__(self, evaluation: Evaluation, subjects: Sequence[Subject], original: Subject | None = None) -> None:
        self._evaluation, self._subjects, self._original = evaluation, subjects, original
        self._blocks = subjects[0].population.blocks()
        self._data = {data.inputs: data for data in (evaluation.test, *evaluation.others)}
        self._evaluators = {evaluator.name: evaluator for evaluator in evaluation.evaluators}
        self._last: Unit | None = None

    @property
    def units(self) -> list[Unit]:
        """All of them, in an order in which neighbors share what networks answer."""
        blocks = range(len(self._blocks))
        places = [(fit, block, data) for fit in range(len(self._subjects)) for block in blocks for data in self._data]
        cut = [
            Unit(*place, name)
            for place in places
            for name in self._run_on(place[2])
            if self._evaluators[name].by_members
        ]
        whole = [
            Unit(fit, WHOLE, data, name)
            for fit in range(len(self._subjects))
            for data in self._data
            for name in self._run_on(data)
            if not self._evaluators[name].by_members
        ]
        return cut + whole

    def values(self, unit: Unit) -> BlockValues:
        """Does one unit of work; lets go of what networks answered to other inputs, or those of another block.

        Raises:
            ValueError: Outputs are not finite, or the evaluator does not give what it declares.
        """
        if self._last is not None and self._last[:3] != unit[:3]:
            self._subject(self._last).forget(self._data[self._last.inputs])
        self._last = unit
        subject, data, evaluator = self._subject(unit), self._data[unit.inputs], self._evaluators[unit.evaluator]
        original = self._original
        if original is not None and unit.block != WHOLE:
            original = original.block(self._blocks[unit.block])
        given = evaluator.run(subject, original, data)
        known = {measure.source for measure in evaluator.measures}
        if unknown := sorted({name for name in given if not evaluator.of_series(name)} - known):
            raise ValueError(
                f"evaluator {evaluator.name!r} gives {unknown[0]!r}; it declares {', '.join(sorted(known))}"
            )
        return {name: _checked(evaluator, name, values, len(subject), data) for name, values in given.items()}

    def merged(self, found: Mapping[Unit, BlockValues]) -> tuple[dict[str, Measured], dict[str, tuple[float, ...]]]:
        """What all units of work make together.

        Returns:
            The metrics, and for each name of an evaluator's values their means over examples and fits, one a member.
        """
        metrics: dict[str, Measured] = {}
        values: dict[str, tuple[float, ...]] = {}
        population = self._subjects[0].population
        groups_M = self._evaluation.groups(population)
        for data in self._data.values():
            part = data.part(population)
            part_MN = None if part is None else part.numpy()
            for name in self._run_on(data.inputs):
                evaluator = self._evaluators[name]
                given = self.joined(evaluator, data, found)
                for measure in self._measures(evaluator, data.inputs):
                    if measure.source not in given:  # it makes no sense for these networks
                        continue
                    values_SMN = given[measure.source]
                    counted = part_MN if values_SMN.shape[2] == len(data) else None
                    metric, source = data.metric(measure.metric), data.named(measure.source)
                    metrics[metric.name] = self._evaluation.measured(
                        metric, measure.statistic, values_SMN, groups_M, counted
                    )
                    values[source] = tuple(member_means(values_SMN, counted).mean(0).tolist())
                values |= {
                    data.named(name): tuple(member_means(values_SMN).mean(0).tolist())
                    for name, values_SMN in given.items()
                    if evaluator.of_series(name)
                }
        return metrics, values

    def details(self) -> dict[str, Any]:
        """What evaluators give for pictures of the first fit on the test examples, by their names."""
        return {
            name: dict(evaluator.details(self._subjects[0], self._original, self._data[TEST]))
            for name, evaluator in self._evaluators.items()
            if evaluator.details is not None
        }

    def joined(
        self, evaluator: Evaluator, data: EvaluationData, found: Mapping[Unit, BlockValues]
    ) -> dict[str, np.ndarray]:
        """An evaluator's values of all members for each fit, ``[S, M, N]`` by name, from those of its units."""
        of_fits = []
        for fit in range(len(self._subjects)):
            if evaluator.by_members:
                numbers = range(len(self._blocks))
                given = self._of_members(
                    evaluator, [found[Unit(fit, number, data.inputs, evaluator.name)] for number in numbers]
                )
            else:
                given = dict(found[Unit(fit, WHOLE, data.inputs, evaluator.name)])
            if evaluator.merge is not None:
                population = self._subjects[fit].population
                tensors = {name: torch.from_numpy(array).squeeze(1) for name, array in given.items()}
                merged = evaluator.merge(tensors, data.part(population))
                given = {
                    name: _checked(evaluator, name, values, len(population), data) for name, values in merged.items()
                }
            of_fits.append(given)
        return {name: np.stack([given[name] for given in of_fits]) for name in of_fits[0]}

    def _of_members(self, evaluator: Evaluator, parts: Sequence[BlockValues]) -> dict[str, np.ndarray]:
        """Values of blocks in the order of the members; of a series, what a block has none of is not a number."""
        joined = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            having = [part[name] for part in parts if name in part]
            if len(having) < len(parts) and not evaluator.of_series(name):
                continue
            values_MN = np.full((len(self._subjects[0]), having[0].shape[1]), np.nan, dtype=np.float32)
            for rows, part in zip(self._blocks, parts, strict=True):
                if name in part:
                    values_MN[rows.numpy()] = part[name]
            joined[name] = values_MN
        return joined

    def _subject(self, unit: Unit) -> Subject:
        subject = self._subjects[unit.fit]
        return subject if unit.block == WHOLE else subject.block(self._blocks[unit.block])

    def _run_on(self, inputs: str) -> list[str]:
        """Names of the evaluators that are run on some inputs."""
        return [name for name, evaluator in self._evaluators.items() if self._measures(evaluator, inputs)]

    def _measures(self, evaluator: Evaluator, inputs: str) -> list[Measure]:
        return [measure for measure in evaluator.measures if measure.shifted or inputs == TEST]


def measure(
    evaluation: Evaluation, subjects: Sequence[Subject], original: Subject | None = None
) -> tuple[dict[str, Measured], dict[str, tuple[float, ...]]]:
    """Does all units of work, one after the other; see :class:`Evaluating` and its :meth:`~Evaluating.merged`."""
    evaluating = Evaluating(evaluation, subjects, original)
    return evaluating.merged({unit: evaluating.values(unit) for unit in evaluating.units})


def _checked(evaluator: Evaluator, name: str, values: Tensor, members: int, data: EvaluationData) -> np.ndarray:
    allowed = ((members,), (members, len(data)))
    if tuple(values.shape) not in allowed:
        raise ValueError(
            f"evaluator {evaluator.name!r} gives {name!r} of shape {tuple(values.shape)}; expected {allowed[0]}, or "
            f"{allowed[1]} with a value for each example"
        )
    array: np.ndarray = values.detach().to(torch.float32).reshape(members, -1).contiguous().numpy()
    return array
