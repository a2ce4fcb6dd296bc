"""The seam of everything that is measured: an evaluator looks at a subject, beside its original where it has one.

To add an evaluator, write a function ``run(subject, original, data)`` that gives values for each member, or for each
member on each example, and name an :class:`Evaluator` in ``analysis.evaluators.registry`` (or as
``module:attribute``): intervals, tables, glossary and figures are inherited.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.config import require
from zoo.data.class_tasks import task_labels
from zoo.data.examples import Dataset, Examples
from zoo.evaluation import outputs
from zoo.metric import Metric
from zoo.population import Population
from zoo.words import counted

Statistic = Literal["mean", "absolute_mean", "p5", "p95"]
Judges = Literal["classes", "values", "any"]
STATISTICS = ("mean", "absolute_mean", "p5", "p95")
TEST = "test"
JUDGES = ("classes", "values", "any")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A metric, and how it is made from an evaluator's values.

    Attributes:
        metric: What it is called and what it means.
        of: The values that it is made from; those under its own name where empty.
        statistic: Each member's values are averaged over the examples; then "mean" is the mean over members,
            "absolute_mean" that of absolute values, "p5" and "p95" are percentiles over members (without intervals).
        shifted: Whether it is measured on the shifted inputs too.
    """

    metric: Metric
    of: str = ""
    statistic: Statistic = "mean"
    shifted: bool = False

    def __post_init__(self) -> None:
        require(self.statistic in STATISTICS, self, "statistic", ", ".join(STATISTICS))

    @property
    def source(self) -> str:
        """The name of the values that it is made from."""
        return self.of or self.metric.name


@dataclass(frozen=True)
class EvaluationData:
    """What subjects are applied to.

    Attributes:
        dataset: The data set that the networks were trained on; its test examples are nobody's but the analysis'.
        examples: Those that subjects are applied to: test examples, or other inputs in their place.
        inputs: Their name: "test", or that of other inputs.
        labeled: Whether their targets are what networks should answer; not those of another data set.
        words: What other inputs are, for headings and at length.
    """

    dataset: Dataset
    examples: Examples
    inputs: str = TEST
    labeled: bool = True
    words: tuple[str, str] = ("", "")

    def __len__(self) -> int:
        return len(self.examples)

    def named(self, name: str) -> str:
        """A name of a metric, or of values, as it is called on these inputs."""
        return name if self.inputs == TEST else f"{name}_{re.sub(r'[^A-Za-z0-9]+', '_', self.inputs)}"

    def metric(self, metric: Metric) -> Metric:
        """A metric as it is declared on these inputs."""
        if self.inputs == TEST:
            return metric
        return replace(
            metric,
            name=self.named(metric.name),
            label=f"{metric.label} on {self.words[0]}",
            description=f"{metric.description} Here on {self.words[1]}: inputs that nothing was fitted to.",
        )

    def targets(self, population: Population) -> Tensor:
        """What members should answer: ``[N]`` or ``[N, K]``; where each has a class task of its own, ``[M, N]`` labels.

        An example that is no part of a member's task has the label -1.
        """
        if not any(member.task for member in population.members):
            return self.examples.targets
        tasks = [member.task for member in population.members]
        of_task = {task: task_labels(task, self.examples.targets) for task in dict.fromkeys(tasks)}
        return torch.stack([of_task[task] for task in tasks])

    def part(self, population: Population) -> Tensor | None:
        """Which examples are part of each member's task, bool ``[M, N]``; ``None`` where all are of every member's."""
        if not self.labeled or not any(member.task for member in population.members):
            return None
        return self.targets(population) >= 0


class Subject:
    """Networks that are looked at, whole or a block of their members.

    What they answer is worked out once for each set of inputs, and kept.

    Attributes:
        population: The networks.
        name: What they are called in messages.
        whole: The subject that a block was cut from; a whole one itself.
        places_M: The places of the networks in that: what tells draws for one from those for another.
    """

    def __init__(self, population: Population, name: str = "the population") -> None:
        if not len(population):
            raise ValueError(f"{name} has no members; there is nothing to evaluate")
        self.population = population
        self.name = name
        self.whole = self
        self.places_M = torch.arange(len(population))
        self._blocks: dict[tuple[int, ...], Subject] = {}
        self._outputs: dict[str, Tensor] = {}
        self._predicted: dict[str, Tensor] = {}
        self._kept: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.population)

    def block(self, rows: Tensor) -> Subject:
        """Some of the networks, the same subject each time."""
        key = tuple(rows.tolist())
        if key == tuple(range(len(self))):
            return self
        if key not in self._blocks:
            block = Subject(self.population.select(rows), self.name)
            block.whole, block.places_M = self.whole, self.places_M[rows]
            self._blocks[key] = block
        return self._blocks[key]

    def outputs(self, data: EvaluationData) -> Tensor:
        """What every member answers to every example: float32 ``[M, N, C]``, logits where there are classes.

        Raises:
            ValueError: An output is not finite.
        """
        if data.inputs not in self._outputs:
            outputs_MNC = outputs(self.population, data.examples)
            require_finite(outputs_MNC, self.name)
            self._outputs[data.inputs] = outputs_MNC
        return self._outputs[data.inputs]

    def predicted(self, data: EvaluationData) -> Tensor:
        """The class that each member predicts for each example: int64 ``[M, N]``.

        Block by block, so that of many members their outputs are not all there at once.
        """
        if data.inputs not in self._predicted:
            found_MN = torch.empty(len(self), len(data), dtype=torch.int64)
            for rows in self.population.blocks():
                found_MN[rows] = self.block(rows).outputs(data).argmax(-1)
            self._predicted[data.inputs] = found_MN
        return self._predicted[data.inputs]

    def once(self, name: str, found: Callable[[], Any]) -> Any:
        """What an evaluator finds of the networks alone, found once for all that they are compared with."""
        if name not in self._kept:
            self._kept[name] = found()
        return self._kept[name]

    def forget(self, data: EvaluationData) -> None:
        """Lets go of what it answered to these inputs."""
        self._outputs.pop(data.inputs, None)
        self._predicted.pop(data.inputs, None)


def require_finite(outputs: Tensor, name: str = "the population") -> None:
    """Raises a ``ValueError`` unless all outputs ``[M, …]`` are finite.

    Args:
        outputs: Of members.
        name: What these are called in the message.
    """
    members = int((~torch.isfinite(outputs).flatten(1).all(1)).sum())
    if members:
        which = "has outputs that are not finite; leave it out"
        which = which if members == 1 else "have outputs that are not finite; leave them out"
        raise ValueError(f"{counted(members, 'network')} of {name} {which}")


def required(original: Subject | None) -> Subject:
    """The original, for an evaluator that compares.

    Raises:
        ValueError: There is none.
    """
    if original is None:
        raise ValueError("this evaluator compares with originals; give one, or choose an evaluator that needs none")
    return original


Values = Mapping[str, Tensor]
"""For each name ``[M]``, or ``[M, N]`` where there is a value for each example."""
Run = Callable[[Subject, Subject | None, EvaluationData], Values]
Details = Callable[[Subject, Subject | None, EvaluationData], Mapping[str, Any]]
"""JSON values by name."""
Merge = Callable[[Values, Tensor | None], Values]
"""From the values of all members, and which examples are part of each one's task (bool ``[M, N]``), to all values."""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """A registry entry: what is measured of a subject.

    Attributes:
        name: Its name in the registry and on the command line.
        measures: Its metrics. It gives values for each of their sources, and no others.
        run: ``(subject, original or None, data) -> values``.
        by_members: Whether a member's values depend on no other member of the subject, so that it is run on blocks of
            members, side by side and one after the other, with the same values. They may depend on all originals, by
            ``original.whole``. Otherwise it is run on all members at once.
        merge: Adds values that are made from those of all members; ``None`` where there are none.
        needs_original: Whether it compares; without an original it is left out.
        any_original: Whether what it compares with may be any other network, not only what it was made of.
        judges: What networks must answer for it to make sense: "classes", "values" (regression) or "any".
        series: Names of values of which there are several, one a layer say: "layer_error 1", "layer_error 2". They are
            kept for each member for figures, and are no metrics.
        details: Gives what pictures are made of that values of members cannot make, as JSON values; ``None`` of
            evaluators without. It is kept with the row.
        description: One sentence for listings.
    """

    name: str
    measures: tuple[Measure, ...]
    run: Run
    by_members: bool
    merge: Merge | None = None
    series: tuple[str, ...] = ()
    details: Details | None = None
    needs_original: bool = True
    any_original: bool = False
    judges: Judges = "any"
    description: str

    def __post_init__(self) -> None:
        require(bool(self.measures), self, "measures", "at least one")
        require(self.judges in JUDGES, self, "judges", ", ".join(JUDGES))

    def values(self, subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
        """The values of all members, found at once."""
        given = self.run(subject, original, data)
        return given if self.merge is None else self.merge(given, data.part(subject.population))

    def of_series(self, name: str) -> bool:
        """Whether values are one of a series."""
        first, _, which = name.partition(" ")
        return first in self.series and bool(which)

    def obstacle(self, data: EvaluationData, paired: bool) -> str | None:
        """Why it cannot be run: a few words that follow its name; ``None`` where it can.

        Args:
            data: What subjects are applied to.
            paired: Whether there are originals.
        """
        if self.needs_original and not paired:
            return "compares with originals, and there are none"
        if self.judges == "classes" and not data.dataset.task.has_classes:
            return "is about classes, and the data set has none"
        if self.judges == "values" and data.dataset.task.has_classes:
            return "is about predicted values, and the data set has classes"
        return None
