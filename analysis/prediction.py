"""What weights tell: a study's predictors on held-out members, beside what is known without looking at weights.

Shape letters: M members, F features.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

import numpy as np

from analysis.groups import chosen_members, group_numbers, orders_differ, words
from analysis.intervals import Bootstrap
from analysis.record import Analysis, count_diverged, study_facts, zoo_facts
from analysis.results import Measured, Result
from analysis.rows import Row, fits_content
from trainables.predictors.boosting import Trees
from trainables.predictors.config import BoostingConfig
from trainables.predictors.metrics import PREDICTOR_METRICS
from trainables.predictors.predictor import CHOSEN, Predictor, decided, known, strata_of, target_of
from trainables.predictors.scores import have_pairs, is_numeric, scores
from trainables.study_files import StudyRecord
from zoo.config import to_json
from zoo.metric import by_name
from zoo.population import Population
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs

TRUE, PREDICTED = "true", "predicted"
CONSTANT, HYPERPARAMETERS = "training mean", "hyper-parameters"

MEASURED_TRIALS = 12


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
class PredictorPlan:
    """An analysis of predictors; networks are read when they are first needed.

    Attributes:
        zoo: The zoo, of any layouts.
        study: A study of predictors on it.
        members: Numbers of the test members measured.
        predictors: Of each trial measured its predictors, which differ in their seed; the best trial first.
        bootstrap: How intervals are drawn.
        grouped: Whether members of one minibatch order are one group, resampled together.
    """

    zoo: Zoo
    study: StudyRecord
    members: tuple[int, ...]
    predictors: dict[int, list[Predictor]]
    bootstrap: Bootstrap
    grouped: bool

    @property
    def trials(self) -> list[int]:
        """Trials that are measured."""
        return list(self.predictors)

    @property
    def targets(self) -> list[str]:
        """What they predict."""
        return list(dict.fromkeys(fits[0].target for fits in self.predictors.values()))

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each trial's predictor, then for each target the two baselines."""
        rows = [
            self._row(
                self.study.trainable(trial).name,
                predictor_setting(self.study.config(trial)) + (f", {len(fits)} seeds" if len(fits) > 1 else ""),
                "learned",
                fits[0].target,
                partial(self._predicted, fits),
                fits_content(self.study, trial, fits),
                trial,
            )
            for trial, fits in self.predictors.items()
        ]
        for target in self.targets:
            for name, predict in ((CONSTANT, constant), (HYPERPARAMETERS, from_hyperparameters)):
                predicted = partial(self._baseline, predict, target)
                rows.append(self._row(name, target, "control", target, predicted, {"baseline": name}))
        return rows

    @cached_property
    def training(self) -> Members:
        """Training members as fits see them: weights on inputs that never occur are zero."""
        return Members(populations=tuple(self._prepared(self.zoo.populations("train"))))

    @cached_property
    def test(self) -> Members:
        """The test members, likewise."""
        chosen = self.zoo.populations("test", members=self.members, epochs="one")
        return Members(populations=tuple(self._prepared(chosen)))

    @cached_property
    def groups(self) -> np.ndarray:
        """For each test member the number of its group, ``[M]``."""
        return group_numbers(self.test.column("order_seed").tolist(), self.grouped)

    def _row(
        self,
        name: str,
        setting: str,
        family: str,
        target: str,
        predicted: Callable[[], list[np.ndarray]],
        fitted: Mapping[str, Any],
        trial: int | None = None,
    ) -> Row:
        content = {
            "zoo": self.zoo.content_sha256,
            "members": list(self.members),
            "target": target,
            "fitted": fitted,
            "bootstrap": to_json(self.bootstrap),
            "grouped": self.grouped,
        }

        def measured() -> Result:
            return _result(self, name, family, setting, trial, target, predicted())

        return Row(name=name, setting=setting, family=family, trial=trial, content=content, measure=measured)

    def _predicted(self, fits: Sequence[Predictor]) -> list[np.ndarray]:
        return [self.test.over(predictor.predict) for predictor in fits]

    def _baseline(self, predict: Callable[[str, Members, Members], np.ndarray], target: str) -> list[np.ndarray]:
        return [predict(target, self.training, self.test)]

    def _prepared(self, populations: Iterable[Population]) -> Iterator[Population]:
        train = self.zoo.dataset().train
        for population in populations:
            yield without_dead_inputs(population, train)


def plan_predictors(zoo: Zoo, study: StudyRecord, *, members: int | None, bootstrap: Bootstrap) -> PredictorPlan:
    """A study's best predictors, of each trainable one at least, on test members and their targets.

    Args:
        zoo: The zoo, of any layouts.
        study: A study of predictors on it.
        members: At most so many test members; ``None`` for all.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured, or a split has no members.
    """
    zoo.rows("train")  # the baselines are fitted to them
    fits = {t: [cast(Predictor, study.artifact(t, fit)) for fit in study.fits(t)] for t in best_trials(study)}
    return PredictorPlan(
        zoo=zoo,
        study=study,
        members=chosen_members(zoo, members),
        predictors=fits,
        bootstrap=bootstrap,
        grouped=orders_differ(zoo),
    )


def predictor_analysis(plan: PredictorPlan, results: list[Result]) -> Analysis:
    """What was found: the results of a plan's rows, and facts about them."""
    zoo, study = plan.zoo, plan.study
    groups, seeds = max(result.groups for result in results), max(result.fits for result in results)
    return Analysis(
        results=results,
        summary={
            **zoo_facts(zoo),
            **study_facts(study),
            "kind": "predictors",
            "targets": plan.targets,
            "parameters": list(zoo.parameter_counts),
            "training_snapshots": len(zoo.rows("train")),
            "test_members": len(plan.members),
            "test_groups": groups,
            "intervals": words(len(plan.members), groups, seeds, plan.grouped),
            "training_snapshots_diverged": count_diverged(zoo, "train"),
            "test_members_diverged": count_diverged(zoo, "test", "one"),
            "seeds": seeds,
            "seed": plan.bootstrap.seed,
        },
        headlines=[],
        pareto=[],
        study_metrics=study.metrics,
        trials=study.trials,
        importances=study.importances,
    )


def best_trials(study: StudyRecord) -> list[int]:
    """A study's Pareto front, and of each trainable the trial that is best; the best by the first objective first.

    Raises:
        ZooError: No trial can be measured.
    """
    front = study.best_trials()
    objective, direction = study.facts["study"]["objectives"][0], study.facts["directions"][0]
    complete = study.trials[study.trials[objective].notna()].sort_values(objective, ascending=direction == "min")
    of_each = complete.groupby("trainable", sort=False)["trial"].first() if "trainable" in complete else []
    return list(dict.fromkeys([*front[:MEASURED_TRIALS], *(int(trial) for trial in of_each)]))


def predictor_setting(config: Any) -> str:
    """What a predictor predicts, and where its configuration is not the default."""
    changed = [
        f"{field.name}={value:.3g}" if isinstance(value, float) else f"{field.name}={value}"
        for field in dataclasses.fields(config)
        if field.name not in ("target", "seed") and (value := getattr(config, field.name)) != field.default
    ]
    return ", ".join([config.target, *changed])


def constant(target: str, training: Members, test: Members) -> np.ndarray:
    """The mean of the training members' targets, or their most frequent category, for every test member."""
    true_M = training.over(lambda population: target_of(population, target))
    true_M = true_M[known(true_M)]
    if is_numeric(true_M):
        return np.full(len(test), true_M.mean())
    names, counts = np.unique(true_M, return_counts=True)
    return np.full(len(test), names[counts.argmax()])


def from_hyperparameters(target: str, training: Members, test: Members) -> np.ndarray:
    """Gradient boosting on how members were trained, on their epoch and their size: it never sees a weight."""
    names = [name for name in (*CHOSEN, "activation", "epoch") if name != target]
    columns_MF, held_out_MF = [], []
    for name in names:
        column_M, held_out_M = training.column(name), test.column(name)
        if not is_numeric(column_M):
            categories = np.unique(column_M)
            column_M, held_out_M = (_codes(values_M, categories) for values_M in (column_M, held_out_M))
        columns_MF.append(column_M.astype(np.float64))
        held_out_MF.append(held_out_M.astype(np.float64))
    for part, columns in ((training, columns_MF), (test, held_out_MF)):
        columns.append(part.over(lambda population: np.full(len(population), float(population.parameters))))
    true_M = training.over(lambda population: target_of(population, target))
    kept = known(true_M)
    names_of = () if is_numeric(true_M) else tuple(np.unique(true_M).tolist())
    numbers_M = np.searchsorted(names_of, true_M[kept]) if names_of else true_M[kept]
    features_MF = np.stack(columns_MF, axis=1)[kept]
    trees = Trees.fit(features_MF, numbers_M, BoostingConfig(target=target), classify=bool(names_of))
    return decided(trees.outputs(np.stack(held_out_MF, axis=1)), names_of)


def _codes(values_M: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Numbers of categories; NaN for one that does not occur among the training members."""
    place_M = np.searchsorted(categories, values_M).clip(max=len(categories) - 1)
    return np.where(categories[place_M] == values_M, place_M, np.nan)


def _result(
    plan: PredictorPlan,
    name: str,
    family: str,
    setting: str,
    trial: int | None,
    target: str,
    predicted: Sequence[np.ndarray],
) -> Result:
    true_M = plan.test.over(lambda population: target_of(population, target))
    kept = known(true_M)
    groups_M, true_M = plan.groups[kept], true_M[kept]
    strata_M = plan.test.over(strata_of)[kept]
    shared = have_pairs(strata_M)
    predicted_SM = np.stack([values_M[kept] for values_M in predicted])

    def measured(fit: int, rows_M: np.ndarray) -> dict[str, float]:
        return scores(true_M[rows_M], predicted_SM[fit][rows_M], strata_M[rows_M] if shared else None)

    declared = by_name(PREDICTOR_METRICS)
    bounds = {each.name: (-math.inf, 1.0) if each.direction == "max" else (0.0, math.inf) for each in PREDICTOR_METRICS}
    found = plan.bootstrap.of_statistics(measured, len(true_M), fits=len(predicted), groups_M=groups_M, bounds=bounds)
    numeric = is_numeric(true_M)
    parameters = {population.parameters for population in plan.test.populations}
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
