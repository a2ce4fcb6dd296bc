"""Held-out tasks: a hypernetwork's vector alone against other ways of coming to a network for a task.

Every way fits its own numbers to the same labeled examples, by the same optimizer in as many steps, at the learning
rate (z also under the prior) that is best on validation tasks, and is judged on test examples of test tasks.

Shape letters: T tasks, S fits, P parameters.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.held_out_tasks.ways import (
    CONSTANT,
    DESCRIBED,
    EXAMPLES,
    LEARNED,
    OTHERS,
    SMALL_LEARNING_RATES,
    UNADAPTED,
    Begin,
    Way,
    adapted_weights,
)
from analysis.measuring.measured_trials import measured_artifacts
from analysis.measuring.results import Measured, Result
from analysis.measuring.rows import Row, fits_content
from analysis.reading.prediction import setting_of
from analysis.record import Analysis, Planned, of_studies
from analysis.statistics.groups import task_groups
from analysis.statistics.intervals import Bootstrap
from trainables.hypernetworks.adaptation import AdaptedShared, task_accuracies
from trainables.hypernetworks.generator import tensor_scales
from trainables.hypernetworks.hypernetwork import Hypernetwork
from trainables.hypernetworks.metrics import ADAPT_S, TASK_ACCURACY, TRAINABLE_NUMBERS
from trainables.study_files import StudyRecord
from trainables.tasks.task_examples import TaskExamples
from trainables.trainable import DivergedError
from zoo.config import to_json
from zoo.data.class_tasks import REST, parse_task
from zoo.storage.zoo import Zoo
from zoo.words import counted

# Labeled examples of each class, and steps: a curve over each, from where both are largest.
LABELS: tuple[int | None, ...] = (5, 20, 100, None)
STEPS = (10, 50, 250)
SHARED_STEPS = 500
# Pairs of training tasks between which networks are made, and networks on the way.
WALKS, WALK_STEPS = 4, 21
TASK = "task"


@dataclass(frozen=True, kw_only=True)
class AdaptationPlan(Planned):
    """An analysis of hypernetworks.

    Attributes:
        study: The study.
        zoo: Its zoo of tasks.
        hypernetworks: Of each trial measured its fits, which differ in their seed; the best trial first.
        tasks: Of the test members.
        validation_tasks: Of the validation members, on which learning rates are chosen.
        bootstrap: How intervals are drawn.
    """

    study: StudyRecord
    zoo: Zoo
    hypernetworks: dict[int, list[Hypernetwork]]
    tasks: tuple[str, ...]
    validation_tasks: tuple[str, ...]
    bootstrap: Bootstrap

    @property
    def trials(self) -> list[int]:
        """Trials that are measured."""
        return list(self.hypernetworks)

    @property
    def members(self) -> tuple[str, ...]:
        """What is measured: the test tasks."""
        return self.tasks

    @cached_property
    def rows(self) -> list[Row]:
        """For each trial its vector, and for the best trial the other ways, at each number of labels and steps."""
        rows = []
        labels_C, every = self.zoo.dataset().train.targets.bincount(), (*self.tasks, *self.validation_tasks)
        fewest = int(labels_C[[label for task in every for label in parse_task(task) if label != REST]].min())
        for number, (trial, fits) in enumerate(self.hypernetworks.items()):
            ways = (LEARNED, *OTHERS) if number == 0 else (LEARNED,)
            for way in ways:
                rows += [self._row(way, trial, fits, labels, steps) for labels, steps in budgets(fewest)]
            if number == 0:
                rows += [self._unadapted(name, trial, fits) for name in UNADAPTED]
            if fits[0].describer is not None:
                rows += [self._described(trial, fits, each) for each, steps in budgets(fewest) if steps == STEPS[-1]]
        return rows

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found of held-out tasks."""
        groups, seeds = results[0].groups, max(result.fits for result in results)
        facts = {
            "kind": "hypernetworks",
            "tasks": list(self.tasks),
            "training_tasks": len(next(iter(self.hypernetworks.values()))[0].tasks),
            "parameters": list(self.zoo.parameter_counts),
            "test_members": len(self.tasks),
            "test_groups": groups,
            "intervals": f"Intervals are over {groups} groups of tasks and {counted(seeds, 'fit')}.",
            "interpolation": self.interpolation(),
            "seeds": seeds,
            "seed": self.bootstrap.seed,
        }
        return of_studies((self.study,), self.zoo, results, facts)

    def interpolation(self) -> list[dict[str, Any]]:
        """Accuracies of networks between the vectors of two training tasks, by the first fit of the best trial.

        Returns:
            For each of some pairs of tasks their names "from" and "to", the shares of the way and the accuracy of the
            network there on the test examples of either.
        """
        made = next(iter(self.hypernetworks.values()))[0]
        chosen = np.linspace(0, len(made.tasks) - 1, min(2 * WALKS, len(made.tasks)) // 2 * 2).astype(int)
        walks = []
        for one, other in zip(chosen[::2].tolist(), chosen[1::2].tolist(), strict=True):
            shares = torch.linspace(0, 1, WALK_STEPS)
            z_Z, end_Z = made.trained_vectors[[one, other]]
            weights_TP = made.make(z_Z + shares[:, None] * (end_Z - z_Z)).weights_MP
            judged = TaskExamples([made.tasks[one], made.tasks[other]], self.zoo.dataset().test)
            accuracies = {
                end: task_accuracies(made.architecture, made.task, weights_TP, judged, [number] * WALK_STEPS).tolist()
                for number, end in enumerate(("from", "to"))
            }
            walks.append(
                {
                    "from": made.tasks[one],
                    "to": made.tasks[other],
                    "shares": shares.tolist(),
                    **{f"accuracy_{end}": values for end, values in accuracies.items()},
                }
            )
        return walks

    def _content(self, trial: int, fits: Sequence[Hypernetwork], **own: object) -> dict[str, object]:
        return {
            "zoo": self.zoo.content_sha256,
            "tasks": list(self.tasks),
            "fitted": fits_content(self.study, trial, fits),
            "bootstrap": to_json(self.bootstrap),
            **own,
        }

    def _row(self, way: Way, trial: int, fits: list[Hypernetwork], labels: int | None, steps: int) -> Row:
        learned = way is LEARNED
        setting = budget(labels, steps)
        if learned:
            setting = setting_of(setting, self.study.config(trial), len(fits))
        return Row(
            name=self.study.trainable(trial).name if learned else way.name,
            setting=setting,
            family="learned" if learned else "control",
            trial=trial if learned else None,
            content=self._content(trial, fits, way=way.name, labels=labels, steps=steps),
            measure=partial(self._measured, way, setting, trial if learned else None, fits, labels, steps),
        )

    def _measured(
        self, way: Way, setting: str, trial: int | None, fits: list[Hypernetwork], labels: int | None, steps: int
    ) -> Result:
        dataset = self.zoo.dataset()
        tuned, tuned_on = (
            TaskExamples(self.validation_tasks, part, count, dataset.objects)
            for part, count in ((dataset.train, labels), (dataset.validation, None))
        )
        fitted = TaskExamples(self.tasks, dataset.train, labels, dataset.objects)
        judged = TaskExamples(self.tasks, dataset.test)

        def accuracies(
            begin: Begin, made: Hypernetwork, examples: TaskExamples, held_out: TaskExamples, rate: float, seed: int
        ) -> Tensor:
            weights_TP = adapted_weights(begin, made, examples, steps, rate, seed)
            return task_accuracies(made.architecture, made.task, weights_TP, held_out)

        def on_validation(begin: Begin, rate: float) -> float:
            try:
                return float(accuracies(begin, fits[0], tuned, tuned_on, rate, 0).mean())
            except DivergedError:
                return 0.0

        best = max(way.learning_rates, key=partial(on_validation, way.begin))
        begin = (
            max((way.begin, *way.variants), key=lambda each: on_validation(each, best)) if way.variants else way.begin
        )
        began = time.perf_counter()
        found = [accuracies(begin, made, fitted, judged, best, seed) for seed, made in enumerate(fits)]
        seconds = (time.perf_counter() - began) / len(fits) / len(self.tasks)
        numbers = way.begin(fits[0], fitted, 0).trainable
        name = way.name if trial is None else self.study.trainable(trial).name
        return self._result(name, setting, trial, fits[0], torch.stack(found).numpy(), numbers, seconds)

    def _unadapted(self, name: str, trial: int, fits: list[Hypernetwork]) -> Row:
        setting = "no labels" if name != "nearest training task" else "all labels"

        def measured() -> Result:
            dataset = self.zoo.dataset()
            judged = TaskExamples(self.tasks, dataset.test)
            if name == CONSTANT:
                commonest = [targets.mode().values for targets in TaskExamples(self.tasks, dataset.train).targets]
                pairs = zip(judged.targets, commonest, strict=True)
                found = [torch.stack([(targets == label).float().mean() for targets, label in pairs])]
            else:
                found = [
                    task_accuracies(made.architecture, made.task, self._unadapted_weights(name, made, seed), judged)
                    for seed, made in enumerate(fits)
                ]
            return self._result(name, setting, None, fits[0], torch.stack(found).numpy(), 0, 0.0)

        return Row(
            name=name, setting=setting, family="control", content=self._content(trial, fits, way=name), measure=measured
        )

    def _described(self, trial: int, fits: list[Hypernetwork], labels: int | None) -> Row:
        def measured() -> Result:
            dataset = self.zoo.dataset()
            examples = TaskExamples(self.tasks, dataset.train, labels, dataset.objects)
            judged = TaskExamples(self.tasks, dataset.test)
            found = [
                task_accuracies(made.architecture, made.task, made.make(made.described(examples)).weights_MP, judged)
                for made in fits
            ]
            return self._result(DESCRIBED, setting, trial, fits[0], torch.stack(found).numpy(), 0, 0.0)

        setting = setting_of(budget(labels, 0), self.study.config(trial), len(fits))
        return Row(
            name=DESCRIBED,
            setting=setting,
            family="learned",
            trial=trial,
            content=self._content(trial, fits, way=DESCRIBED, labels=labels),
            measure=measured,
        )

    def _unadapted_weights(self, name: str, made: Hypernetwork, seed: int) -> Tensor:
        """Weights for each test task that have not seen its examples, or only to choose by them."""
        train = self.zoo.dataset().train
        if name == "nearest training task":
            nearest_TZ = made.nearest(TaskExamples(self.tasks, train), seed)
            return made.make(nearest_TZ).weights_MP
        if name == "mean network":
            weights_P = made.make(made.trained_vectors).weights_MP.mean(0)
        else:
            generator = torch.Generator().manual_seed(seed)
            start_P = torch.randn(made.architecture.parameters, generator=generator) * tensor_scales(made.architecture)
            shared = AdaptedShared(start_P, len(made.tasks))
            made.adapt(
                shared,
                TaskExamples(made.tasks, train),
                steps=SHARED_STEPS,
                learning_rate=SMALL_LEARNING_RATES[1],
                batch=EXAMPLES,
                seed=seed,
            )
            weights_P = shared.numbers[0][0].detach()
        return weights_P.expand(len(self.tasks), -1)

    def _result(
        self,
        name: str,
        setting: str,
        trial: int | None,
        made: Hypernetwork,
        accuracy_ST: np.ndarray,
        numbers: int,
        seconds: float,
    ) -> Result:
        groups_T = task_groups(self.tasks)
        interval = self.bootstrap.interval(accuracy_ST[..., None], groups_M=groups_T, most=1.0)
        measured = Measured.of(TASK_ACCURACY, interval)
        return Result(
            name=name,
            family="control" if trial is None else "learned",
            setting=setting,
            trial=trial,
            fits=len(accuracy_ST),
            members=len(self.tasks),
            groups=int(groups_T.max()) + 1,
            parameters=made.architecture.parameters,
            examples=len(self.zoo.dataset().test),
            metrics={
                TASK_ACCURACY.name: measured,
                TRAINABLE_NUMBERS.name: Measured(metric=TRAINABLE_NUMBERS, estimate=numbers),
                ADAPT_S.name: Measured(metric=ADAPT_S, estimate=seconds),
            },
            values={TASK_ACCURACY.name: tuple(accuracy_ST.mean(0).tolist())},
        )


def budgets(most: int) -> Iterator[tuple[int | None, int]]:
    """(labeled examples of each class, steps) of each row of a way, where every class has at most so many."""
    yield from ((labels, STEPS[-1]) for labels in LABELS if labels is None or labels < most)
    yield from ((None, steps) for steps in STEPS[:-1])


def budget(labels: int | None, steps: int) -> str:
    """In words."""
    return f"{'all labels' if labels is None else f'{labels} labels a class'}, {steps} steps"


def plan_adaptation(
    zoo: Zoo, *, study: StudyRecord, members: int | None = None, bootstrap: Bootstrap
) -> AdaptationPlan:
    """A study's best hypernetworks on the tasks of a zoo's test members.

    Args:
        zoo: The zoo of tasks.
        study: A study of hypernetworks on it.
        members: At most so many test tasks; all where ``None``.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured, or a split has no tasks.
    """
    made = measured_artifacts(study)
    held_out, validation = (_tasks(zoo, split) for split in ("test", "validation"))
    return AdaptationPlan(
        study=study,
        zoo=zoo,
        hypernetworks=made,
        tasks=held_out[:members],
        validation_tasks=validation,
        bootstrap=bootstrap,
    )


def _tasks(zoo: Zoo, split: str) -> tuple[str, ...]:
    found = zoo.snapshots.take(zoo.rows(split, epochs="one"))[TASK].unique().to_pylist()
    return tuple(sorted(found, key=parse_task))
