"""What networks of a zoo are and withstand, by how they were trained: evaluators for each group of members.

Groups are combinations of values of some columns. Nothing is fitted, so members of every split count, at their last
snapshots. Evaluators that compare with any other network, such as attacks by transferred examples, are run for each
pair of groups: each member beside another one of its minibatch order.

Shape letters: M members, G groups by minibatch order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.evaluators.evaluator import Evaluator, Subject
from analysis.evaluators.registry import find_evaluator
from analysis.measuring.evaluated import Evaluated, Made
from analysis.measuring.evaluation import Evaluation
from analysis.measuring.results import Measured, Result
from analysis.measuring.rows import Row
from analysis.record import Analysis, Planned, count_diverged, zoo_facts
from analysis.statistics.groups import orders_differ, orders_known, words
from analysis.statistics.intervals import Bootstrap
from trainables.readouts.columns import known
from zoo.metric import Metric
from zoo.population import Population
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo

# What is measured where nobody says what.
WITHSTOOD = ("accuracy", "weight-noise-0.5", "weight-noise-0.5x100", "fgsm-0.1", "pgd-0.1", "transfer-0.1")
FAMILY = "group"
UNKNOWN = "not known"
# Of a metric: how much larger it is than in the first group.
GAIN = "_gain_pp"


@dataclass(frozen=True, kw_only=True)
class ByAxisPlan(Planned):
    """An analysis of groups of members.

    Attributes:
        zoo: The zoo.
        columns: By what members are grouped.
        groups: For each combination of values that occurs, in words, its members.
        evaluation: What they are measured by.
        asked: Names of evaluators that were asked for; ``None`` where the usual ones were taken.
    """

    zoo: Zoo
    columns: tuple[str, ...]
    groups: Mapping[str, Population]
    evaluation: Evaluation
    asked: tuple[str, ...] | None = None

    @property
    def trials(self) -> list[int]:
        """None: there is no study."""
        return []

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the members that are measured."""
        return tuple(member.id for population in self.groups.values() for member in population.members)

    @cached_property
    def rows(self) -> list[Row]:
        """For each group and evaluator a row, and one for each pair of groups where it compares networks."""
        return [
            self._row(evaluator, name, other)
            for name in self.groups
            for evaluator in self.evaluation.evaluators
            for other in (self.groups if evaluator.any_original else ("",))
        ]

    def _row(self, evaluator: Evaluator, name: str, other: str) -> Row:
        cut = Evaluated(
            name=name,
            make=lambda: Made(populations=(self.groups[name],)),
            evaluation=lambda: self._by(evaluator),
            # What adversarial examples are made on.
            original=lambda: Subject(surrogates(self.groups[name], self.groups[other]), other) if other else None,
            finish=lambda made, found: found.result(made, self.evaluation, name=name, family=FAMILY, setting=other),
        )
        return Row.of(
            cut,
            name=evaluator.name,
            setting=f"{name} by {other}" if other else name,
            family=FAMILY,
            content={
                "zoo": self.zoo.content_sha256,
                "groups": [name, other],
                "members": [[member.id for member in self.groups[each].members] for each in (name, other) if each],
                "evaluation": self._by(evaluator).content,
            },
        )

    def _by(self, evaluator: Evaluator) -> Evaluation:
        """One evaluator, on those inputs that it is measured on."""
        others = self.evaluation.others if any(measure.shifted for measure in evaluator.measures) else ()
        return replace(self.evaluation, evaluators=(evaluator,), others=others)

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found: one result for each group, and one for each pair, with gains over the first group.

        Args:
            results: Those of the rows.
        """
        merged: dict[tuple[str, str], Result] = {}
        for row, result in zip(self.rows, results, strict=True):
            name, other = row.content["groups"]
            found = merged.get((name, other))
            merged[name, other] = replace(
                result,
                name=name,
                setting=other,
                metrics={**(found.metrics if found else {}), **result.metrics},
                values={**(found.values if found else {}), **result.values},
            )
        first = next(iter(self.groups))
        told = [
            replace(result, metrics={**result.metrics, **self._gains(result, merged[first, other])})
            for (_, other), result in merged.items()
        ]
        each = [len(population) for population in self.groups.values()]
        summary = {
            **zoo_facts(self.zoo),
            "kind": "groups",
            "studies": [],
            "columns": list(self.columns),
            "parameters": sorted({population.parameters for population in self.groups.values()}),
            "test_members": sum(each),
            "test_examples": len(self.evaluation.test),
            "members_of_groups": [min(each), max(each)],
            "inputs": [other.inputs for other in self.evaluation.others],
            "added_evaluators": list(self.asked or ()),
            "evaluators_left_out": dict(self.evaluation.left_out),
            "diverged": count_diverged(self.zoo, None, "last"),
            "intervals": words(
                sum(each), max(r.groups for r in told), 0, self.evaluation.grouped, known=orders_known(self.zoo)
            ),
            "seed": self.evaluation.bootstrap.seed,
        }
        return Analysis(results=told, summary=summary, headlines=[], pareto=[])

    def _gains(self, result: Result, first: Result) -> dict[str, Measured]:
        """How much larger each share is than that of the first group, in percentage points, paired by order."""
        if result.name == first.name:
            return {}
        groups_M = np.concatenate([self._orders(each.name) for each in (result, first)])
        gains = {}
        for name, measured in result.metrics.items():
            if measured.metric.unit != "share" or name not in result.values or name not in first.values:
                continue
            values_M = np.concatenate([result.values[name], first.values[name]])

            def gain(fit: int, rows_M: np.ndarray, values_M: np.ndarray = values_M) -> dict[str, float]:  # noqa: ARG001
                own_M = rows_M < result.members
                if own_M.all() or not own_M.any():  # of groups that share no order a resample may have one alone
                    return {"gain": 0.0}
                return {"gain": 100 * float(values_M[rows_M[own_M]].mean() - values_M[rows_M[~own_M]].mean())}

            found = self.evaluation.bootstrap.of_statistics(gain, len(values_M), groups_M=groups_M)["gain"]
            metric = Metric(
                name=f"{name}{GAIN}",
                label=f"{measured.metric.label}, gain",
                unit="pp",
                direction=measured.metric.direction,
                description=f"{name} minus that of networks with {first.name}, resampled together by minibatch order.",
            )
            gains[metric.name] = Measured.of(metric, found)
        return gains

    def _orders(self, name: str) -> np.ndarray:
        """What tells members apart that are resampled together: their minibatch orders, or themselves."""
        members = self.groups[name].members
        return np.array([member.order_seed if self.evaluation.grouped else member.id for member in members])


def surrogates(subjects: Population, among: Population) -> Population:
    """For each member another one, of the same minibatch order where there is one.

    Raises:
        ValueError: There is no other.
    """
    chosen = []
    for row, member in enumerate(subjects.members):
        able = [place for place, other in enumerate(among.members) if other.id != member.id]
        alike = [place for place in able if among.members[place].order_seed == member.order_seed] or able
        if not alike:
            raise ValueError(
                f"member {member.id} is alone in its group: examples that are made on another network need two of each"
            )
        chosen.append(alike[row % len(alike)])
    return among.select(chosen)


def plan_by_axis(
    zoo: Zoo,
    *,
    by: Sequence[str],
    evaluators: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    members: int | None = None,
    examples: int | None = None,
    bootstrap: Bootstrap,
) -> ByAxisPlan:
    """Groups of members and what they are measured by, checked.

    Args:
        zoo: Networks of any layouts.
        by: Columns by which they are grouped: fields of ``zoo.population.Member``, or other columns of the zoo.
        evaluators: Names of evaluators that need no originals, or take any; ``WITHSTOOD`` by default.
        inputs: Other inputs; see :func:`analysis.evaluators.inputs.shifted`.
        members: At most so many: the first ones.
        examples: On at most so many test examples; all by default.
        bootstrap: How intervals are drawn.

    Raises:
        ValueError: No column, an unknown one, or an evaluator that is unknown, compares with what networks were made
            of, or does not suit the zoo's task.
        ZooError: The data set is not there, the zoo is damaged, or no network is left.
    """
    if not by:
        raise ValueError("by is empty; name at least one column, such as 'adversarial_epsilon'")
    dataset = zoo.dataset()
    chosen = [find_evaluator(name) for name in dict.fromkeys(evaluators or WITHSTOOD)]
    for evaluator in chosen:
        if evaluator.needs_original and not evaluator.any_original:
            raise ValueError(
                f"evaluator {evaluator.name!r} compares with originals; allowed: those that need none, such as pgd-0.1"
            )
    evaluation = Evaluation.of(
        chosen,
        dataset,
        examples=examples,
        inputs=inputs,
        bootstrap=bootstrap,
        grouped=orders_differ(zoo),
        store=zoo.store,
    )
    left_out = evaluation.left_out
    if left_out and (evaluators is not None or not evaluation.evaluators):
        name, why = next(iter(left_out.items()))
        raise ValueError(f"evaluator {name!r} {why}; name others with evaluators")
    groups: dict[str, Population] = {}
    for population in zoo.populations(epochs="last", limit=members):
        layout = f", {population.architecture.summary}" if len(zoo.layouts) > 1 else ""
        for key, rows in rows_by(population, by).items():
            told = ", ".join(f"{name}={value}" for name, value in zip(by, key, strict=True))
            groups[told + layout] = population.select(rows)
    if not groups:
        raise ZooError(f"zoo {zoo.name} has no networks that can be measured: all of them diverged")
    return ByAxisPlan(
        zoo=zoo,
        columns=tuple(by),
        groups=groups,
        evaluation=evaluation,
        asked=None if evaluators is None else tuple(evaluators),
    )


def rows_by(population: Population, columns: Sequence[str]) -> dict[tuple[object, ...], list[int]]:
    """For each combination of values that occurs, in order, the rows that have it; what is not known comes last."""
    keys = list(zip(*(_values(population, name) for name in columns), strict=True))
    in_order = sorted(
        set(keys), key=lambda key: [(value == UNKNOWN, 0 if value == UNKNOWN else value) for value in key]
    )
    return {key: [row for row, other in enumerate(keys) if other == key] for key in in_order}


def _values(population: Population, name: str) -> list[object]:
    """A column, with :data:`UNKNOWN` where nothing is known."""
    column_M = population.column(name)
    known_M = known(column_M) | (name == "task")  # that of the whole data set has an empty name
    values: list[object] = np.where(known_M, column_M.astype(object), UNKNOWN).tolist()
    return values
