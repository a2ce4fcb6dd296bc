"""Members whose columns are predicted, and how good predictions of them are.

Shape letters: M members.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from analysis.groups import group_numbers
from analysis.intervals import Bootstrap
from analysis.results import Measured, Result
from analysis.rows import Row
from trainables.readouts.columns import is_numeric, known, strata_of, targets_of
from trainables.readouts.metrics import PREDICTOR_METRICS
from trainables.readouts.scores import have_pairs, scores
from trainables.study_files import StudyRecord
from zoo.config import to_json
from zoo.metric import by_name
from zoo.population import Population
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs

TRUE, PREDICTED = "true", "predicted"
ArtifactT = TypeVar("ArtifactT")


@dataclass(frozen=True, kw_only=True)
class Members:
    """Members of several layouts, one population each, in one order.

    Attributes:
        populations: One for each layout.
    """

    populations: tuple[Population, ...]

    def __len__(self) -> int:
        return sum(len(population) for population in self.populations)

    def column(self, name: str) -> np.ndarray:
        """What is known of each member under a name."""
        return self.over(lambda population: population.column(name))

    def over(self, of_population: Callable[[Population], np.ndarray]) -> np.ndarray:
        """What a function gives for each population, one after the other."""
        return np.concatenate([of_population(population) for population in self.populations])


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Test members whose columns are predicted, and those that predictions are fitted to; read when first needed.

    Networks are as fits see them: weights on inputs that never occur are zero.

    Attributes:
        zoo: The zoo, of any layouts.
        members: Numbers of the test members.
        epochs: Which snapshots of test members: "one" of each, the "last" of each, or all (``None``).
        fitted_epochs: Likewise of training and validation members.
        bootstrap: How intervals are drawn.
        grouped: Whether members of one minibatch order are one group, resampled together.
    """

    zoo: Zoo
    members: tuple[int, ...]
    epochs: Literal["one", "last"] | None
    fitted_epochs: Literal["one", "last"] | None
    bootstrap: Bootstrap
    grouped: bool

    @cached_property
    def training(self) -> Members:
        """Training members."""
        return self._read(self.zoo.populations("train", epochs=self.fitted_epochs))

    @cached_property
    def validation(self) -> Members:
        """Validation members."""
        return self._read(self.zoo.populations("validation", epochs=self.fitted_epochs))

    @cached_property
    def test(self) -> Members:
        """The test members."""
        return self._read(self.zoo.populations("test", members=self.members, epochs=self.epochs))

    @cached_property
    def groups(self) -> np.ndarray:
        """For each snapshot of a test member the number of its group, ``[M]``; a member's snapshots are one group."""
        return group_numbers(self.test.column("order_seed" if self.grouped else "id").tolist(), True)

    def row(
        self,
        name: str,
        setting: str,
        family: str,
        target: str,
        predicted: Callable[[], list[np.ndarray]],
        fitted: Mapping[str, Any],
        trial: int | None = None,
    ) -> Row:
        """A row of the table to be.

        Args:
            name: Of the predictor, encoder or baseline.
            setting: What tells it from others of its name; the target comes first.
            family: "learned" or "control".
            target: The column predicted.
            predicted: Gives the predictions of each fit, ``[M]``.
            fitted: What decides about the fits, as JSON values.
            trial: The trial it comes from.
        """
        content = {
            "zoo": self.zoo.content_sha256,
            "members": list(self.members),
            "epochs": [self.epochs, self.fitted_epochs],
            "target": target,
            "fitted": fitted,
            "bootstrap": to_json(self.bootstrap),
            "grouped": self.grouped,
        }

        def measured() -> Result:
            return self._result(name, family, setting, trial, target, predicted())

        return Row(name=name, setting=setting, family=family, trial=trial, content=content, measure=measured)

    def _read(self, populations: Iterable[Population]) -> Members:
        def prepared() -> Iterator[Population]:
            train = self.zoo.dataset().train
            for population in populations:
                yield without_dead_inputs(population, train)

        return Members(populations=tuple(prepared()))

    def _result(
        self,
        name: str,
        family: str,
        setting: str,
        trial: int | None,
        target: str,
        predicted: Sequence[np.ndarray],
    ) -> Result:
        true_M = targets_of(self.test.populations, target)
        kept = known(true_M)
        groups_M, true_M = self.groups[kept], true_M[kept]
        strata_M = self.test.over(strata_of)[kept]
        shared = have_pairs(strata_M)
        predicted_SM = np.stack([values_M[kept] for values_M in predicted])

        def measured(fit: int, rows_M: np.ndarray) -> dict[str, float]:
            return scores(true_M[rows_M], predicted_SM[fit][rows_M], strata_M[rows_M] if shared else None)

        declared = by_name(PREDICTOR_METRICS)
        bounds = {
            each.name: (0.0 if each.unit == "share" else -math.inf, 1.0) if each.direction == "max" else (0.0, math.inf)
            for each in PREDICTOR_METRICS
        }
        found = self.bootstrap.of_statistics(
            measured, len(true_M), fits=len(predicted), groups_M=groups_M, bounds=bounds
        )
        numeric = is_numeric(true_M)
        parameters = {population.parameters for population in self.test.populations}
        return Result(
            name=name,
            family=family,
            setting=setting,
            trial=trial,
            fits=len(predicted),
            members=len(true_M),
            groups=len(np.unique(groups_M)),
            parameters=parameters.pop() if len(parameters) == 1 else 0,
            examples=0,
            metrics={
                metric: Measured(metric=declared[metric], estimate=one.estimate, low=one.low, high=one.high)
                for metric, one in found.items()
            },
            values={TRUE: tuple(true_M.tolist()), PREDICTED: tuple(predicted_SM.mean(0).tolist())} if numeric else {},
        )


@dataclass(frozen=True, kw_only=True)
class HeldOutPlan(Generic[ArtifactT]):
    """An analysis of what a study's trials tell of held-out members.

    Attributes:
        study: The study.
        scopes: The members, for each choice of snapshots; at least one.
        artifacts: Of each trial measured its artifacts, which differ in their seed; the best trial first.
    """

    study: StudyRecord
    scopes: dict[str, HeldOut]
    artifacts: dict[int, list[ArtifactT]]

    @property
    def held_out(self) -> HeldOut:
        """The members of the first scope."""
        return next(iter(self.scopes.values()))

    @property
    def zoo(self) -> Zoo:
        """The zoo."""
        return self.held_out.zoo

    @property
    def members(self) -> tuple[int, ...]:
        """Numbers of the test members measured."""
        return self.held_out.members

    @property
    def trials(self) -> list[int]:
        """Trials that are measured."""
        return list(self.artifacts)
