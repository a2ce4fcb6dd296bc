"""What weights tell: a study's predictors on held-out members, beside what is known without looking at weights.

Shape letters: M members, F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from analysis.evaluation import independent_groups
from analysis.intervals import Bootstrap
from analysis.record import Analysis, Progress, count_diverged, study_facts, zoo_facts
from analysis.results import Measured, Result
from trainables.predictors.boosting import Trees
from trainables.predictors.config import BoostingConfig
from trainables.predictors.metrics import PREDICTOR_METRICS
from trainables.predictors.predictor import CHOSEN, Predictor, decided, known, strata_of, target_of
from trainables.predictors.scores import have_pairs, is_numeric, scores
from trainables.study_files import StudyRecord
from zoo.metric import by_name
from zoo.population import Population
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo
from zoo.threads import one_thread
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


@one_thread()
def analyze_predictors(
    zoo: Zoo,
    study: StudyRecord,
    *,
    members: int | None = None,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Measures a study's best predictors, of each trainable one at least, on test members and their targets.

    Args:
        zoo: The zoo, of any layouts.
        study: A study of predictors on it.
        members: At most so many test members; ``None`` for all.
        bootstrap: How intervals are drawn.
        progress: Called with rows measured, rows in all, and the name of the next.

    Raises:
        ZooError: No trial can be measured, or a part of the zoo is missing or damaged.
    """
    training = Members(populations=tuple(_prepared(zoo, zoo.populations("train"))))
    held_out = zoo.populations("test", epochs="one", limit=members)
    test = Members(populations=tuple(_prepared(zoo, held_out)))
    trials, bootstrap = best_trials(study), bootstrap or Bootstrap()
    results = predictor_results(study, trials, training, test, bootstrap, progress)
    return Analysis(
        results=results,
        summary={
            **zoo_facts(zoo),
            **study_facts(study),
            "kind": "predictors",
            "targets": list(dict.fromkeys(study.config(trial).target for trial in trials)),
            "parameters": list(zoo.parameter_counts),
            "training_snapshots": len(training),
            "test_members": len(test),
            "test_blocks": len(np.unique(test.over(independent_groups))),
            "training_snapshots_diverged": count_diverged(zoo, "train"),
            "test_members_diverged": count_diverged(zoo, "test", "one"),
            "seeds": max(result.fits for result in results),
            "seed": bootstrap.seed,
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
    front = study.pareto_trials()
    if not front:
        raise ZooError(f"study {study.name} has no completed trial to measure; search again")
    objective, direction = study.facts["study"]["objectives"][0], study.facts["directions"][0]
    complete = study.trials[study.trials[objective].notna()].sort_values(objective, ascending=direction == "min")
    of_each = complete.groupby("trainable", sort=False)["trial"].first() if "trainable" in complete else []
    return list(dict.fromkeys([*front[:MEASURED_TRIALS], *(int(trial) for trial in of_each)]))


def _prepared(zoo: Zoo, populations: Iterable[Population]) -> Iterator[Population]:
    """Members as fits see them: weights on inputs that never occur are zero."""
    train = zoo.dataset().train
    for population in populations:
        yield without_dead_inputs(population, train)


def predictor_results(
    study: StudyRecord,
    trials: Sequence[int],
    training: Members,
    test: Members,
    bootstrap: Bootstrap,
    progress: Progress | None = None,
) -> list[Result]:
    """A row for each trial's predictor, then for each target the two baselines.

    Args:
        study: A study of predictors.
        trials: Which of its trials.
        training: Training members, for the baselines.
        test: Test members.
        bootstrap: How intervals are drawn: over members by blocks, and over fits.
        progress: Called with rows measured, rows in all, and the name of the next.

    Raises:
        ZooError: A trial's artifact is missing or damaged.
    """
    fitted = {trial: [cast(Predictor, study.artifact(trial, fit)) for fit in study.fits(trial)] for trial in trials}
    targets = list(dict.fromkeys(predictors[0].target for predictors in fitted.values()))
    total = len(trials) + 2 * len(targets)
    results: list[Result] = []

    def began(name: str) -> None:
        if progress is not None:
            progress(len(results), total, name)

    for trial, predictors in fitted.items():
        began(name := study.trainable(trial).name)
        predicted = [test.over(predictor.predict) for predictor in predictors]
        setting = predictor_setting(study.config(trial))
        results.append(_result(name, "learned", setting, trial, predictors[0].target, predicted, test, bootstrap))
    for target in targets:
        for name, predict in ((CONSTANT, constant), (HYPERPARAMETERS, from_hyperparameters)):
            began(name)
            results.append(
                _result(name, "control", target, None, target, [predict(target, training, test)], test, bootstrap)
            )
    if progress is not None:
        progress(total, total, "")
    return results


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
    name: str,
    family: str,
    setting: str,
    trial: int | None,
    target: str,
    predicted: Sequence[np.ndarray],
    test: Members,
    bootstrap: Bootstrap,
) -> Result:
    true_M = test.over(lambda population: target_of(population, target))
    kept = known(true_M)
    groups_M, true_M = test.over(independent_groups)[kept], true_M[kept]
    strata_M = test.over(strata_of)[kept]
    shared = have_pairs(strata_M)
    predicted_SM = np.stack([values_M[kept] for values_M in predicted])

    def measured(fit: int, rows_M: np.ndarray) -> dict[str, float]:
        return scores(true_M[rows_M], predicted_SM[fit][rows_M], strata_M[rows_M] if shared else None)

    declared = by_name(PREDICTOR_METRICS)
    found = bootstrap.of_statistics(measured, len(true_M), fits=len(predicted), groups_M=groups_M)
    numeric = is_numeric(true_M)
    parameters = {population.parameters for population in test.populations}
    return Result(
        name=name,
        family=family,
        setting=setting + (f", {len(predicted)} seeds" if len(predicted) > 1 else ""),
        trial=trial,
        fits=len(predicted),
        members=len(true_M),
        parameters=parameters.pop() if len(parameters) == 1 else 0,
        examples=0,
        metrics={
            metric: Measured(metric=declared[metric], estimate=one.estimate, low=one.low, high=one.high)
            for metric, one in found.items()
        },
        values={TRUE: tuple(true_M.tolist()), PREDICTED: tuple(predicted_SM.mean(0).tolist())} if numeric else {},
    )
