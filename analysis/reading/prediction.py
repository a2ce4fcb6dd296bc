"""What weights tell: predictors of studies on held-out members, beside what is known without looking at weights.

Shape letters: M members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from analysis.measuring.measured_trials import trials_of
from analysis.measuring.results import Question, Result
from analysis.measuring.rows import Row
from analysis.reading.calibration import calibrated
from analysis.reading.column_means import column_means
from analysis.reading.held_out import Choice, HeldOut, HeldOutPlan, Predict
from analysis.reading.members import Members, ZooMembers
from analysis.reading.scopes import MORE, obstacle
from analysis.record import Analysis, of_studies
from analysis.statistics.groups import chosen_members
from analysis.statistics.intervals import Bootstrap
from trainables.predictors.config import BoostingConfig
from trainables.predictors.predictor import KnowsTasks, Predictor
from trainables.readouts.boosting import Trees
from trainables.readouts.columns import CHOSEN, categories_of, decided, is_numeric, known
from trainables.study_files import StudyRecord
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo

CONSTANT, HYPERPARAMETERS, MEASURED = "training mean", "hyper-parameters", "validation examples"
# What a score on test examples is called, and the same on validation examples.
ON_TEST, ON_VALIDATION = "test_", "validation_"


class PredictorPlan(HeldOutPlan[Predictor]):
    """An analysis of predictors."""

    @property
    def targets(self) -> list[str]:
        """What they predict."""
        return list(dict.fromkeys(trial.fits[0].target for trial in self.measured))

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each trial's predictor, then for each target the baselines."""
        asked = {target: one_question(target, self.held_out) for target in self.targets}
        rows = [
            self.held_out.row(
                trial.name,
                setting_of(trial.fits[0].target, trial.config, len(trial.fits)),
                "learned",
                asked[trial.fits[0].target],
                partial(self._predicted, trial.fits),
                trial.content,
                trial,
            )
            for trial in self.measured
        ]
        return rows + [row for question in asked.values() for row in baseline_rows(self.held_out, question)]

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found of predictors."""
        means = column_means(results, self.zoo.name, self.held_out.bootstrap, fewest=1)
        return of_studies(
            self.studies, self.zoo, results, {"kind": "predictors", "means": means, **self.facts(results)}
        )

    def _predicted(self, fits: Sequence[Predictor]) -> list[np.ndarray]:
        test, dataset = self.held_out.test, self.held_out.tested.of.dataset
        if dataset is not None:
            fits = [
                each.for_tasks_of(dataset, test.populations) if isinstance(each, KnowsTasks) else each for each in fits
            ]
        return [test.over(predictor.predict) for predictor in fits]


def baseline_rows(held_out: HeldOut, question: Question, *words: str) -> list[Row]:
    """What is known of a column without looking at weights; of scores on test examples, on others too.

    Args:
        held_out: The members.
        question: What is predicted.
        words: What the setting says beside the target.
    """

    def predicted(name: str, fit: Baseline) -> list[np.ndarray]:
        return calibrated(held_out, question, held_out.fitted.fitted(name, question.target, fit))

    setting = ", ".join([question.target, *words])
    return [
        held_out.row(name, setting, "control", question, partial(predicted, name, fit), {"baseline": name})
        for name, fit in BASELINES.items()
        if name != MEASURED or _measured_elsewhere(held_out, question.target)
    ]


def plan_predictors(
    zoo: Zoo, *, studies: Sequence[StudyRecord], members: int | None = None, bootstrap: Bootstrap
) -> PredictorPlan:
    """The best predictors of studies, of each trainable one at least, on test members and their targets.

    Args:
        zoo: The zoo, of any layouts.
        studies: Studies of predictors on it.
        members: At most so many test members; ``None`` for all.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured, a split has no members, or a target cannot be told of the test members.
    """
    zoo.rows("train")  # the baselines are fitted to them
    measured = trials_of(studies)
    networks = ZooMembers(zoo=zoo, members=chosen_members(zoo, members))
    held_out = HeldOut(
        fitted=Choice(of=networks, name=zoo.name),
        tested=Choice(of=networks, name=zoo.name, epochs="one"),
        snapshots="one snapshot",
        bootstrap=bootstrap,
    )
    plan = PredictorPlan(studies=tuple(studies), scopes=(held_out,), measured=measured)
    if whys := [why for target in plan.targets if (why := obstacle(target, held_out))]:
        raise ZooError(f"not every target can be predicted: {' '.join(whys)} {MORE}")
    return plan


def one_question(target: str, held_out: HeldOut) -> Question:
    """What is asked where predictions are neither calibrated nor readouts."""
    return Question(
        target=target,
        snapshots=held_out.snapshots,
        fitted_on=held_out.fitted.name,
        told_of=held_out.tested.name,
    )


def setting_of(target: str, config: Any, fits: int, *words: str) -> str:
    """What is predicted, then where a configuration is not the default, and how many fits there are."""
    changed = [
        f"{field.name}={value:.3g}" if isinstance(value, float) else f"{field.name}={value}"
        for field in dataclasses.fields(config)
        if field.name not in ("target", "seed") and (value := getattr(config, field.name)) != field.default
    ]
    return ", ".join([target, *words, *changed, *([f"{fits} seeds"] if fits > 1 else [])])


def constant(target: str, training: Members) -> Predict:
    """The mean of the training members' targets, or their most frequent category, for every member."""
    true_M = training.target(target)
    true_M = true_M[known(true_M)]
    if is_numeric(true_M):
        return lambda members: np.full(len(members), true_M.mean())
    names, counts = np.unique(true_M, return_counts=True)
    return lambda members: np.full(len(members), names[counts.argmax()])


def from_hyperparameters(target: str, training: Members) -> Predict:
    """Gradient boosting on how members were trained, on their epoch and their size: it never sees a weight."""
    names = [name for name in (*CHOSEN, "activation", "epoch") if name != target]
    categories = {name: known_of for name in names if (known_of := categories_of(training.column(name)))}

    def features(members: Members) -> np.ndarray:
        columns = [
            _codes(members.column(name), categories[name]) if name in categories else members.column(name)
            for name in names
            if name in categories or is_numeric(training.column(name))
        ]
        return np.stack([column_M.astype(np.float64) for column_M in (*columns, members.parameters)], axis=1)

    true_M = training.target(target)
    kept = known(true_M)
    names_of = categories_of(true_M)
    numbers_M = np.searchsorted(names_of, true_M[kept]) if names_of else true_M[kept]
    trees = Trees.fit(features(training)[kept], numbers_M, BoostingConfig(target=target), classify=bool(names_of))
    return lambda members: decided(trees.outputs(features(members)), names_of)


def measured(target: str, training: Members) -> Predict:  # noqa: ARG001
    """The same score on validation examples: the network itself is applied, and their labels are known."""
    return lambda members: members.column(_on_validation(target)).astype(np.float64)


Baseline = Callable[[str, Members], Predict]
BASELINES: dict[str, Baseline] = {CONSTANT: constant, HYPERPARAMETERS: from_hyperparameters, MEASURED: measured}


def _on_validation(target: str) -> str:
    return ON_VALIDATION + target.removeprefix(ON_TEST)


def _measured_elsewhere(held_out: HeldOut, target: str) -> bool:
    """Whether a column is a score on test examples that the zoos know on validation examples too."""
    zoos, column = (held_out.fitted.zoo, held_out.tested.zoo), _on_validation(target)
    return target.startswith(ON_TEST) and all(
        column in zoo.snapshots.column_names and zoo.snapshots[column].null_count < len(zoo.snapshots) for zoo in zoos
    )


def _codes(values_M: np.ndarray, categories: tuple[str, ...]) -> np.ndarray:
    """Numbers of categories; NaN for what is not known or does not occur among the training members."""
    place_M = np.searchsorted(categories, values_M).clip(max=len(categories) - 1)
    return np.where(np.array(categories)[place_M] == values_M, place_M, np.nan)
