"""Held-out sets of labeled examples: a network made for each in one pass against what is fitted to the same set.

Sets are drawn of test examples; what has a step size chooses it on sets of validation examples.

Shape letters: T sets, S fits, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.measuring.measured_trials import measured_artifacts
from analysis.measuring.results import Measured, Result
from analysis.measuring.rows import Row, fits_content
from analysis.reading.prediction import setting_of
from analysis.record import Analysis, Planned, of_studies
from analysis.statistics.intervals import Bootstrap
from trainables.hypernetworks.adaptation import AdaptedWeights, adapt
from trainables.hypernetworks.generator import tensor_scales
from trainables.hypernetworks.labeled_sets import LabeledSets, drawn_sets, load_alike
from trainables.hypernetworks.metrics import SET_ACCURACY, SET_METRICS, UNSEEN_ACCURACY
from trainables.hypernetworks.set_hypernetwork import DatasetHypernetwork
from trainables.study_files import StudyRecord
from trainables.tasks.task_examples import task_loss
from trainables.trainable import DivergedError
from zoo.config import to_json
from zoo.data import load_dataset
from zoo.data.examples import Dataset, Examples
from zoo.storage.zoo import Zoo
from zoo.words import counted

SETS, QUERIES, TRAINING_SETS = 32, 1000, 64
STEPS = (1, 10, 100, 1000)
FINE_TUNING_STEPS = (1, 10, 100)
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
BATCH = 32
RIDGE_STRENGTHS = tuple(np.logspace(-3, 3, 13).tolist())
LOGISTIC_STEPS = 1000
SCRATCH, FINE_TUNED, NEAREST = "from scratch", "made, then trained", "network of the nearest training set"
FITTED = {
    "ridge regression": "linear regression of one-hot labels, its strength by leave-one-out on the set",
    "logistic regression": "multinomial, scikit-learn's default strength",
    "nearest neighbor": "the label of the set's closest example",
}
WAYS = FITTED | {
    SCRATCH: "the same architecture drawn at random, trained on the set by Adam",
    FINE_TUNED: "the network that the best trial makes, trained on the set by Adam",
    NEAREST: f"of {TRAINING_SETS} training sets the one whose network has the smallest loss on the set",
}

Accuracies = tuple[np.ndarray, np.ndarray]
"""Of each fit and set (``[S, T]``) the accuracy on the set, and on other examples."""


@dataclass(frozen=True, kw_only=True)
class SetPlan(Planned):
    """An analysis of hypernetworks of data sets.

    Attributes:
        study: The study.
        zoo: Its zoo.
        made: Of each trial measured its fits, which differ in their seed; the best trial first.
        datasets: On whose test examples: the zoo's own, and others.
        count: How many sets of each.
        bootstrap: How intervals are drawn.
    """

    study: StudyRecord
    zoo: Zoo
    made: dict[int, list[DatasetHypernetwork]]
    datasets: tuple[str, ...]
    count: int
    bootstrap: Bootstrap

    @property
    def trials(self) -> list[int]:
        """Trials that are measured."""
        return list(self.made)

    @property
    def members(self) -> tuple[int, ...]:
        """What is measured: sets."""
        return tuple(range(self.count))

    @cached_property
    def rows(self) -> list[Row]:
        """On each data set: each trial, what is fitted to the sets, and training from scratch and from what is made."""
        rows, best = [], next(iter(self.made))
        for name in self.datasets:
            for trial, fits in self.made.items():
                label = self.study.trainable(trial).name
                setting = setting_of(name, self.study.config(trial), len(fits))
                rows.append(self._row(label, setting, name, trial, partial(self._made, name, fits)))
            fits = self.made[best]
            rows += [self._row(way, name, name, None, partial(self._fitted, name, way)) for way in FITTED]
            rows.append(self._row(NEAREST, name, name, None, partial(self._nearest, name, fits)))
            for way, budgets in ((SCRATCH, STEPS), (FINE_TUNED, FINE_TUNING_STEPS)):
                for steps in budgets:
                    spent = f"{name}, {steps} step{'s' * (steps > 1)}"
                    rows.append(self._row(way, spent, name, None, partial(self._trained, name, way, fits, steps)))
        return rows

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found of networks made for sets of examples."""
        seeds = max(result.fits for result in results)
        facts = {
            "kind": "data sets",
            "datasets": list(self.datasets),
            "set_size": self.made[self.trials[0]][0].module.config.set_size,
            "parameters": list(self.zoo.parameter_counts),
            "test_members": self.count,
            "test_groups": self.count,
            "intervals": f"Intervals are over {self.count} sets and {counted(seeds, 'fit')}.",
            "seeds": seeds,
            "seed": self.bootstrap.seed,
        }
        return of_studies((self.study,), self.zoo, results, facts)

    def _row(self, name: str, setting: str, data: str, trial: int | None, measure: Callable[[], Accuracies]) -> Row:
        used = next(iter(self.made)) if trial is None else trial
        return Row(
            name=name,
            setting=setting,
            family="control" if trial is None else "learned",
            trial=trial,
            content={
                "zoo": self.zoo.content_sha256,
                "data": self._dataset(data).sha256,
                "way": name,
                "setting": setting,
                "sets": self.count,
                "fitted": fits_content(self.study, used, self.made[used]),
                "bootstrap": to_json(self.bootstrap),
            },
            measure=lambda: self._result(name, setting, data, trial, measure()),
        )

    def _dataset(self, name: str) -> Dataset:
        own = self.zoo.dataset()
        return own if name == own.name else load_dataset(name)

    def sets(self, examples: Examples, *, count: int | None = None, seed: int = 0) -> LabeledSets:
        """Random sets as the best trial reads them; the same for the same seed."""
        config = self.made[next(iter(self.made))][0].module.config
        return drawn_sets(
            examples,
            self.zoo.dataset().task.outputs,
            count=count or self.count,
            size=config.set_size,
            queries=min(QUERIES, len(examples) - config.set_size),
            generator=torch.Generator().manual_seed(seed),
            permute=config.permute,
        )

    def _made(self, data: str, fits: Sequence[DatasetHypernetwork]) -> Accuracies:
        sets = self.sets(self._dataset(data).test)
        return _stacked([judged(made, made.weights(sets), sets) for made in fits])

    def _fitted(self, data: str, way: str) -> Accuracies:
        sets, found = self.sets(self._dataset(data).test), []
        for inputs, labels_B, queries, query_labels_Q in zip(
            sets.inputs.flatten(2), sets.labels_TB, sets.queries.flatten(2), sets.query_labels_TQ, strict=True
        ):
            model = fitted_model(way).fit(inputs.numpy(), labels_B.numpy())
            found.append([model.score(inputs, labels_B), model.score(queries, query_labels_Q)])
        own_T, unseen_T = np.array(found).T
        return own_T[None], unseen_T[None]

    def _nearest(self, data: str, fits: Sequence[DatasetHypernetwork]) -> Accuracies:
        sets, found = self.sets(self._dataset(data).test), []
        training = self.sets(self.zoo.dataset().train, count=TRAINING_SETS, seed=1)
        for made in fits:
            weights_KP, nearest = made.weights(training), []
            for inputs, labels_B in zip(sets.inputs, sets.labels_TB, strict=True):
                outputs_KBC = made.architecture.logits(weights_KP, inputs)
                nearest.append(int(task_loss(made.task, outputs_KBC, labels_B.expand(len(weights_KP), -1)).argmin()))
            found.append(judged(made, weights_KP[nearest], sets))
        return _stacked(found)

    def _trained(self, data: str, way: str, fits: Sequence[DatasetHypernetwork], steps: int) -> Accuracies:
        dataset = self._dataset(data)
        sets, validation = self.sets(dataset.test), self.sets(dataset.validation)

        def accuracies(made: DatasetHypernetwork, seed: int, of: LabeledSets, rate: float) -> Accuracies:
            if way == FINE_TUNED:
                start_TP = made.weights(of)
            else:
                start_TP = torch.randn(
                    len(of), made.architecture.parameters, generator=torch.Generator().manual_seed(seed)
                ) * tensor_scales(made.architecture)
            adapted = AdaptedWeights(start_TP)
            batch = min(BATCH, of.labels_TB.shape[1])
            adapt(adapted, made.architecture, made.task, of, steps=steps, learning_rate=rate, batch=batch, seed=seed)
            return judged(made, adapted.weights().detach(), of)

        def on_validation(rate: float) -> float:
            try:
                return float(accuracies(fits[0], 0, validation, rate)[1].mean())
            except DivergedError:
                return 0.0

        best = max(LEARNING_RATES, key=on_validation)
        return _stacked([accuracies(made, seed, sets, best) for seed, made in enumerate(fits)])

    def _result(self, name: str, setting: str, data: str, trial: int | None, found: Accuracies) -> Result:
        metrics, values = {}, {}
        for metric, accuracy_ST in zip((SET_ACCURACY, UNSEEN_ACCURACY), found, strict=True):
            interval = self.bootstrap.interval(accuracy_ST[..., None], groups_M=np.arange(self.count), most=1.0)
            metrics[metric.name] = Measured.of(metric, interval)
            values[metric.name] = tuple(accuracy_ST.mean(0).tolist())
        return Result(
            name=name,
            family="control" if trial is None else "learned",
            setting=setting,
            trial=trial,
            fits=len(found[0]),
            members=self.count,
            groups=self.count,
            parameters=self.zoo.parameter_counts[0],
            examples=len(self._dataset(data).test),
            metrics={metric.name: metrics[metric.name] for metric in SET_METRICS},
            values=values,
        )


def plan_sets(
    zoo: Zoo, *, study: StudyRecord, members: int = SETS, inputs: Sequence[str] = (), bootstrap: Bootstrap
) -> SetPlan:
    """A study's best hypernetworks on sets of test examples.

    Args:
        zoo: The zoo.
        study: A study of hypernetworks of data sets on it.
        members: How many sets.
        inputs: Names of other data sets on which they are measured too.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured.
        ValueError: Examples of another data set have another shape, or more classes; or there are too few sets.
    """
    if members < 2:
        raise ValueError(f"members is {members}; hypernetworks of data sets are judged by 2 sets or more")
    own = zoo.dataset()
    for name in inputs:
        load_alike(name, own)
    made = measured_artifacts(study)
    return SetPlan(study=study, zoo=zoo, made=made, datasets=(own.name, *inputs), count=members, bootstrap=bootstrap)


def judged(made: DatasetHypernetwork, weights_TP: Tensor, sets: LabeledSets) -> Accuracies:
    """Of each set the accuracy of its network on the set, and on other examples: ``[T]`` each."""
    found = []
    for inputs, labels in ((sets.inputs, sets.labels_TB), (sets.queries, sets.query_labels_TQ)):
        right = made.architecture.logits(weights_TP, inputs).argmax(2) == labels
        found.append(right.float().mean(1).numpy())
    own_T, unseen_T = found
    return own_T, unseen_T


def _stacked(found: Sequence[Accuracies]) -> Accuracies:
    own_ST, unseen_ST = (np.stack(part) for part in zip(*found, strict=True))
    return own_ST, unseen_ST


def fitted_model(way: str) -> Any:
    """scikit-learn's classifier for one of ``FITTED``."""
    from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
    from sklearn.neighbors import KNeighborsClassifier

    if way == "ridge regression":
        return RidgeClassifierCV(alphas=RIDGE_STRENGTHS)
    if way == "logistic regression":
        return LogisticRegression(max_iter=LOGISTIC_STEPS)
    return KNeighborsClassifier(1)
