"""An analysis of generators: what they make, beside networks that were trained and controls that make nothing new.

Shape letters: M networks, S fits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from analysis.evaluators.evaluator import EvaluationData
from analysis.evaluators.registry import EVALUATORS, find_evaluator
from analysis.generation.audit import OF_ALL, OF_EACH, Audit
from analysis.generation.conditioning import Obtained, obtained
from analysis.measuring.evaluated import Evaluated, Findings, Made
from analysis.measuring.evaluation import Evaluation
from analysis.measuring.measured_trials import measured_artifacts
from analysis.measuring.results import Measured, Result
from analysis.measuring.rows import Row, fits_content
from analysis.reading.prediction import setting_of
from analysis.record import Analysis, Planned, of_studies
from analysis.statistics.intervals import Bootstrap
from trainables.fit_data import fit_data
from trainables.generators.closed_form import ClosedFormGenerator, Means, NoisyCopies
from trainables.generators.config import MeanConfig, NoiseConfig, TaskAloneConfig
from trainables.generators.generator import NetworkGenerator
from trainables.generators.task_alone import TaskAlone
from trainables.study_files import StudyRecord
from zoo.config import to_json
from zoo.population import Member, Population, single_architecture
from zoo.population.initialization import initial_weights
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs
from zoo.words import counted

MADE = 64
# Training networks that are compared with.
COMPARED = 2048
NOISES, MEANS, ALONE = (0.05, 0.1, 0.2, 0.5, 1.0), (2, 3, 5, 10), (0.2, 0.5)
# Noise that leads far at little cost: the strongest control where novelty is asked for.
LEVELED = TaskAloneConfig(noise=0.2, noise_kind="leveled", view="input_basis")
TRAINED, UNTRAINED = "held-out networks", "untrained networks"
CONTROLS = {
    TRAINED: "networks of the zoo that no generator has seen",
    UNTRAINED: "networks as they are initialized",
    "noisy-copies": "training networks with noise",
    "means": "means of some training networks",
    "task-alone": "one network that was trained on the task alone, again and again with noise: nothing is learned from"
    " the zoo's networks but how much each weight varies",
}
GENERATED = "generated"


@dataclass(frozen=True, kw_only=True)
class MakingPlan(Planned):
    """An analysis of generators.

    Attributes:
        study: The study.
        zoo: Its zoo, of one layout and one task.
        generators: Of each trial measured its fits, which differ in their seed; the best trial first.
        count: How many networks each makes.
        bootstrap: How intervals are drawn.
        added_evaluators: Names of evaluators by which networks are measured beside the audit.
    """

    study: StudyRecord
    zoo: Zoo
    generators: dict[int, list[NetworkGenerator]]
    count: int
    bootstrap: Bootstrap
    added_evaluators: tuple[str, ...] = ()

    @property
    def trials(self) -> list[int]:
        """Trials that are measured."""
        return list(self.generators)

    @property
    def members(self) -> range:
        """Numbers of the networks that each generator makes."""
        return range(self.count)

    @cached_property
    def audit(self) -> Audit:
        """What all are judged against."""
        training = self._last("train", COMPARED)
        task = training.members[0].task if training.members else ""
        return Audit(training, self.zoo.dataset(), task)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Those evaluators that can be run without originals, on the audit's test examples."""
        chosen = list(map(find_evaluator, self.added_evaluators))
        able = Evaluation.of(chosen, self.zoo.dataset(), inputs=(), paired=False, bootstrap=self.bootstrap)
        # Those of the zoo's one task have its labels: generated networks know of no task of their own.
        test = EvaluationData(self.zoo.dataset(), self.audit.test)
        return dataclasses.replace(able, test=test, grouped=False)

    @cached_property
    def conditioning(self) -> dict[int, list[Obtained]]:
        """Of each trial, what its generators made of accuracies that were wanted; nothing where none can be wanted."""
        audit = self.audit
        return {
            trial: [found for each in fits for found in obtained(each, audit.training, audit.dataset, audit.task)]
            for trial, fits in self.generators.items()
        }

    @cached_property
    def rows(self) -> list[Row]:
        """Trained and untrained networks, controls, and each trial's generator."""
        rows = [
            self._row(TRAINED, "", lambda: [self._last("test", self.count)], {}),
            self._row(UNTRAINED, "", lambda: [self._untrained()], {}),
        ]
        controls: list[tuple[str, type[ClosedFormGenerator], Any]] = [
            *(("noisy-copies", NoisyCopies, NoiseConfig(noise=noise)) for noise in NOISES),
            *(("means", Means, MeanConfig(networks=networks)) for networks in MEANS),
            *(("task-alone", TaskAlone, TaskAloneConfig(noise=noise)) for noise in ALONE),
            ("task-alone", TaskAlone, LEVELED),
        ]
        for name, kind, config in controls:
            strength = "networks" if isinstance(config, MeanConfig) else "noise"
            setting = f"{strength}={getattr(config, strength)}{', leveled' * (config is LEVELED)}"
            rows.append(self._row(name, setting, partial(self._by_control, kind, config), {"config": to_json(config)}))
        for trial, fits in self.generators.items():
            name = self.study.trainable(trial).name
            setting = setting_of("", self.study.config(trial), len(fits)).removeprefix(", ")
            content = fits_content(self.study, trial, fits)
            rows.append(self._row(name, setting, partial(self._by_fits, fits), content, trial))
        return rows

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found of generated networks."""
        seeds = max(result.fits for result in results)
        facts = {
            "kind": "generators",
            "added_evaluators": list(self.added_evaluators),
            "conditioning": [
                {
                    "trial": trial,
                    "column": found.column,
                    "wanted": found.wanted_L.tolist(),
                    "obtained": found.accuracy_LM.mean(1).tolist(),
                    "low": np.quantile(found.accuracy_LM, 0.1, axis=1).tolist(),
                    "high": np.quantile(found.accuracy_LM, 0.9, axis=1).tolist(),
                }
                for trial, fits in self.conditioning.items()
                for found in fits
            ],
            "parameters": list(self.zoo.parameter_counts),
            "training_snapshots": len(self.zoo.rows("train")),
            "test_members": self.count,
            "test_groups": self.count,
            "intervals": f"Intervals are over {self.count} networks and {counted(seeds, 'fit')}.",
            "seeds": seeds,
            "seed": self.bootstrap.seed,
        }
        return of_studies((self.study,), self.zoo, results, facts)

    def _by_control(self, kind: type[ClosedFormGenerator], config: Any) -> list[Population]:
        data = fit_data(self.zoo, validation_members=1)
        if isinstance(config, MeanConfig):
            members = len({member.id for member in data.training[0].members})
            config = dataclasses.replace(config, networks=min(config.networks, members))
        return [kind.fit(config, data).generate(self.count)]

    def _by_fits(self, fits: Sequence[NetworkGenerator]) -> list[Population]:
        return [generator.generate(self.count, seed=seed) for seed, generator in enumerate(fits)]

    def _last(self, split: str, most: int) -> Population:
        """Last snapshots of members of a split, finite, as fits see them."""
        population = next(iter(self.zoo.populations(split, epochs="last", limit=most)))
        finite = torch.isfinite(population.weights_MP).all(1).nonzero().flatten()
        return without_dead_inputs(population.select(finite), self.zoo.dataset().train)

    def _untrained(self) -> Population:
        architecture = self.audit.training.architecture
        specs = [Member(id=number, seed=number) for number in range(self.count)]
        return single_architecture(architecture, initial_weights(architecture, specs))

    def _row(
        self,
        name: str,
        setting: str,
        made: Callable[[], list[Population]],
        content: dict[str, Any],
        trial: int | None = None,
    ) -> Row:
        family = "control" if trial is None else "learned"

        def finish(made: Made, found: Findings) -> Result:
            result = self._audited(
                found.result(made, self.evaluation, name=name, family=family, setting=setting, trial=trial), made
            )
            if trial is None:
                return result
            conditioned = [found.metrics for found in self.conditioning[trial]] or [{}]
            values = {metric: float(np.mean([each[metric] for each in conditioned])) for metric in conditioned[0]}
            told = {metric.name: Measured(metric=metric, estimate=value) for metric, value in values.items()}
            return dataclasses.replace(result, metrics={**result.metrics, **told})

        cut = Evaluated(
            name=name,
            # Generated networks know of no training.
            make=lambda: Made(populations=tuple(dataclasses.replace(p, members=(), epochs=()) for p in made())),
            evaluation=lambda: self.evaluation,
            finish=finish,
            with_details=True,
        )
        return Row.of(
            cut,
            name=name,
            setting=setting,
            family=family,
            trial=trial,
            content={
                "zoo": self.zoo.content_sha256,
                "made": self.count,
                "by": name,
                "bootstrap": to_json(self.bootstrap),
                "evaluators": self.evaluation.content["evaluators"],
                **content,
            },
        )

    def _audited(self, result: Result, made: Made) -> Result:
        """A result with what the audit tells of the networks."""
        of_each = [self.audit.of_each(population) for population in made.populations]
        of_all = [self.audit.of_all(population) for population in made.populations]
        values = {metric.name: np.stack([found[metric.name].numpy() for found in of_each]) for metric in OF_EACH}

        def means(fit: int, rows_M: np.ndarray) -> dict[str, float]:
            return {each: float(values_SM[fit][rows_M].mean()) for each, values_SM in values.items()}

        bounds = {metric.name: (0.0, 1.0 if metric.unit == "share" else np.inf) for metric in OF_EACH}
        found = self.bootstrap.of_statistics(means, result.members, fits=result.fits, bounds=bounds)
        audited = {metric.name: Measured.of(metric, found[metric.name]) for metric in OF_EACH} | {
            metric.name: Measured(metric=metric, estimate=float(np.mean([each[metric.name] for each in of_all])))
            for metric in OF_ALL
        }
        of_members = {name: tuple(values_SM.mean(0).tolist()) for name, values_SM in values.items()}
        return dataclasses.replace(
            result, metrics={**result.metrics, **audited}, values={**result.values, **of_members}
        )


def plan_making(
    zoo: Zoo, *, study: StudyRecord, members: int = MADE, evaluators: Sequence[str] = (), bootstrap: Bootstrap
) -> MakingPlan:
    """A study's best generators.

    Args:
        zoo: The zoo.
        study: A study of generators on it.
        members: How many networks each makes.
        evaluators: Names of evaluators that need no originals, such as "boundary-distance".
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured, or a split has no members.
        ValueError: The zoo's networks have no classes, fewer than two are to be made, or an evaluator is unknown or
            compares with originals.
    """
    if not zoo.dataset().task.has_classes:
        raise ValueError(
            f"zoo {zoo.name} is of a task without classes (loss {zoo.dataset().task.loss!r}); generated networks are "
            "judged by accuracy: take a zoo of classifiers"
        )
    if members < 2:
        raise ValueError(f"members is {members}; generators are judged by 2 networks or more")
    for split in ("train", "test"):
        if not len(zoo.rows(split)):
            raise ZooError(f"zoo {zoo.name} has no members in its {split} split")
    fits = measured_artifacts(study)
    names = tuple(dict.fromkeys(evaluators))
    for evaluator in map(find_evaluator, names):
        if evaluator.needs_original:
            alone = ", ".join(name for name, one in EVALUATORS.items() if not one.needs_original)
            raise ValueError(
                f"evaluator {evaluator.name!r} compares with originals, which generated networks have none of; "
                f"allowed: those that need none, such as {alone}"
            )
    return MakingPlan(study=study, zoo=zoo, generators=fits, count=members, bootstrap=bootstrap, added_evaluators=names)
