"""Held-out trainings: networks trained by a learned gradient, and by rules in closed form, on sets with wrong labels.

Every rule trains the same networks from the same initialization on the same minibatches, with SGD and with Adam, at the
learning rate that is best on validation networks and validation examples, chosen from the same for all; networks of the
test split are judged on test examples. Strengths of corruption, architectures and lengths are not those fitted on.

Shape letters: T networks, each with a set of its own, S fits, B examples of a minibatch, N examples of a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from analysis.held_out_tasks.scenarios import MAIN, QUICK, SCENARIOS, Scenario
from analysis.measuring.measured_trials import measured_artifacts
from analysis.measuring.results import Measured, Result
from analysis.measuring.rows import Row, fits_content
from analysis.reading.prediction import setting_of
from analysis.record import Analysis, Planned, of_studies
from analysis.statistics.intervals import Bootstrap
from trainables.aggregators.aggregator import Aggregator
from trainables.aggregators.config import AggregatorConfig
from trainables.aggregators.corruption import CorruptedSets, corrupted_sets
from trainables.aggregators.gradients import ExampleGradients, Rule
from trainables.aggregators.metrics import AGGREGATED_ACCURACY, GAINS, TUNED_RATE
from trainables.aggregators.rules import RULES
from trainables.aggregators.training import accuracies, train_on_sets
from trainables.study_files import StudyRecord
from zoo.architecture import Architecture
from zoo.config import to_json
from zoo.data import load_dataset
from zoo.data.examples import Dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.storage.errors import ZooError
from zoo.storage.zoo import Zoo
from zoo.words import counted

NETWORKS, TUNED_ON = 16, 6
LEARNING_RATES: dict[str, tuple[float, ...]] = {
    "sgd": (3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0),
    "adam": (1e-3, 3e-3, 1e-2, 3e-2),
}
VALIDATION_SEED, TEST_SEED = 1, 2
# Along the training of test networks, in how many stretches weights are told, and bins of the loss in the last one.
STRETCHES, BINS = 10, 10
RULE_WORDS = {
    "mean": "the gradient of the mean loss, as ever",
    "median": "of each coordinate the median over examples",
    "trimmed mean": "of each coordinate the mean without the fifth at either end",
    "sign vote": "of each coordinate the sign that most examples have",
    "clipped mean": "the mean, gradients longer than the median one cut to its length",
    "small losses": "the mean over the four fifths of the examples with the smallest losses",
    "robust loss": "the gradient of the generalized cross-entropy (q = 0.7): examples weighed by the power 0.7 of their"
    " label's probability",
}


@dataclass(frozen=True, kw_only=True)
class AggregationPlan(Planned):
    """An analysis of aggregators.

    Attributes:
        study: The study.
        zoo: Its zoo.
        aggregators: Of each trial measured its fits, which differ in their seed; the best trial first.
        architecture: Of the networks.
        members: Those of the test split whose initializations networks start from.
        validation: Those of the validation split, on which learning rates are chosen.
        datasets: Names of other data sets whose examples networks are trained on too.
        bootstrap: How intervals are drawn.
    """

    study: StudyRecord
    zoo: Zoo
    aggregators: dict[int, list[Aggregator]]
    architecture: Architecture
    members: tuple[Member, ...]
    validation: tuple[Member, ...]
    datasets: tuple[str, ...]
    bootstrap: Bootstrap
    found: dict[Any, tuple[np.ndarray, float]] = field(default_factory=dict, repr=False)

    @property
    def trials(self) -> list[int]:
        """Trials that are measured."""
        return list(self.aggregators)

    @cached_property
    def scenarios(self) -> tuple[Scenario, ...]:
        """What networks are trained on: where the architecture is the zoo's own, it is not there twice."""
        dataset, known = self.zoo.dataset(), {self.architecture.layout}
        chosen = []
        for scenario in SCENARIOS:
            layout = scenario.architecture(self.architecture, dataset).layout
            if not scenario.hidden or layout not in known:
                chosen.append(scenario)
        elsewhere = (Scenario(name=f"{name}: MLP of 16 units", dataset=name, rules=QUICK) for name in self.datasets)
        return (*chosen, *elsewhere)

    @cached_property
    def rows(self) -> list[Row]:
        """For each scenario and optimizer each trial's aggregator, and the rules that it is compared with."""
        rows = []
        for scenario in self.scenarios:
            for optimizer in LEARNING_RATES:
                rows += [self._row(scenario, optimizer, trial, "") for trial in self.aggregators]
                rows += [self._row(scenario, optimizer, None, rule) for rule in scenario.rules]
        return rows

    def analysis(self, results: list[Result]) -> Analysis:
        """What was found of learned gradients."""
        count, seeds = len(self.members), max(result.fits for result in results)
        facts = {
            "kind": "aggregators",
            "scenarios": [scenario.name for scenario in self.scenarios],
            "inputs": list(self.datasets),
            "parameters": [self.architecture.parameters],
            "test_members": count,
            "test_groups": count,
            "set_size": self.config.set_size,
            "horizon": self.config.horizon,
            "label_noise": list(self.config.label_noise),
            "weights": self.weights(),
            "intervals": f"Intervals are over {count} networks, each with a set of its own, and "
            f"{counted(seeds, 'fit')}.",
            "seeds": seeds,
            "seed": self.bootstrap.seed,
        }
        return of_studies((self.study,), self.zoo, results, facts)

    def weights(self) -> dict[str, Any]:
        """What the first fit of the best trial gives to examples, where a fifth of the labels is wrong; by Adam.

        Weights are the mean over neurons, times the number of examples: 1 is what the mean gives.

        Returns:
            ``by_step``: middles of stretches of training, and the mean weight of examples with "right" and "wrong"
            labels in each, with the ends of their intervals over networks. ``by_loss``: for the last stretch, and for
            hidden neurons and outputs apart, the median loss of each of some bins and the mean weights there.
        """
        rule, dataset = next(iter(self.aggregators.values()))[0], self.zoo.dataset()
        steps, batch = self.config.horizon, MAIN.batch
        sets = self._sets(MAIN, dataset, self.members, TEST_SEED)
        losses, wrong, every, hidden, output = [], [], [], [], []

        def observe(step: int, gradients: ExampleGradients, *, places_MB: torch.Tensor) -> None:  # noqa: ARG001
            weights = [batch * of_layer for of_layer in rule.weights(gradients)]
            losses.append(gradients.loss_MB)
            wrong.append(sets.wrong_TN.gather(1, places_MB))
            every.append(torch.cat(weights, dim=1).mean(1))
            hidden.append(torch.cat(weights[:-1] or weights, dim=1).mean(1))
            output.append(weights[-1].mean(1))

        _, rate = self._measured(MAIN, "adam", next(iter(self.aggregators)), "")
        train_on_sets(
            rule,
            self.architecture,
            dataset.task,
            initial_weights(self.architecture, self.members),
            sets,
            optimizer="adam",
            learning_rates=[rate] * len(self.members),
            batch=batch,
            steps=steps,
            seed=TEST_SEED,
            observe=observe,
        )
        loss_UTB, wrong_UTB, every_UTB, hidden_UTB, output_UTB = (
            torch.stack(part).numpy() for part in (losses, wrong, every, hidden, output)
        )
        return {
            "by_step": self._by_step(wrong_UTB, every_UTB),
            "by_loss": _by_loss(loss_UTB, wrong_UTB, {"hidden units": hidden_UTB, "outputs": output_UTB}),
        }

    def _by_step(self, wrong_UTB: np.ndarray, weight_UTB: np.ndarray) -> list[dict[str, Any]]:
        """The mean weights of each stretch, with their intervals over networks."""
        stretches: list[dict[str, Any]] = []
        for rows in np.array_split(np.arange(len(weight_UTB)), STRETCHES):
            told: dict[str, Any] = {"step": float(rows.mean()) + 1}
            for name, chosen_UTB in (("right", ~wrong_UTB[rows]), ("wrong", wrong_UTB[rows])):
                count_T = np.maximum(chosen_UTB.sum((0, 2)), 1)
                mean_T = (weight_UTB[rows] * chosen_UTB).sum((0, 2)) / count_T
                interval = self.bootstrap.interval(mean_T[:, None])
                told[name] = [interval.estimate, interval.low, interval.high]
            stretches.append(told)
        return stretches

    @property
    def config(self) -> AggregatorConfig:
        """Of the best trial: how large sets are and how long networks are trained."""
        return next(iter(self.aggregators.values()))[0].config

    def _row(self, scenario: Scenario, optimizer: str, trial: int | None, rule: str) -> Row:
        used = next(iter(self.aggregators)) if trial is None else trial
        name = rule if trial is None else self.study.trainable(trial).name
        setting = f"{scenario.name}, {optimizer}"
        if trial is not None:
            setting = setting_of(setting, self.study.config(trial), len(self.aggregators[trial]))
        return Row(
            name=name,
            setting=setting,
            family="control" if trial is None else "learned",
            trial=trial,
            content={
                "zoo": self.zoo.content_sha256,
                "scenario": to_json(scenario),
                "data": self._dataset(scenario).sha256,
                "optimizer": optimizer,
                "rule": rule,
                "members": [to_json(member) for member in (*self.members, *self.validation)],
                "set_size": self.config.set_size,
                "horizon": self.config.horizon,
                "fitted": {} if trial is None else fits_content(self.study, used, self.aggregators[used]),
                "bootstrap": to_json(self.bootstrap),
            },
            measure=partial(self._result, scenario, optimizer, trial, rule, name, setting),
        )

    def _dataset(self, scenario: Scenario) -> Dataset:
        return load_dataset(scenario.dataset) if scenario.dataset else self.zoo.dataset()

    def _sets(self, scenario: Scenario, dataset: Dataset, members: Sequence[Member], seed: int) -> CorruptedSets:
        """A set of training examples for each network."""
        generator = torch.Generator().manual_seed(seed)
        corruptions = [scenario.corruption] * len(members)
        return corrupted_sets(dataset.train, dataset.classes, corruptions, self.config.set_size, generator)

    def _measured(self, scenario: Scenario, optimizer: str, trial: int | None, rule: str) -> tuple[np.ndarray, float]:
        """The accuracies on test examples of each fit and network, and the learning rate; once for what is compared."""
        key = (scenario.name, optimizer, trial, rule)
        if key not in self.found:
            dataset, fits = self._dataset(scenario), self._fits(trial, rule)
            rates = LEARNING_RATES[optimizer]
            architecture = scenario.architecture(self.architecture, dataset)

            def judged(
                made: Rule, members: Sequence[Member], rates: Sequence[float], part: str, seed: int
            ) -> np.ndarray:
                return accuracies(
                    made,
                    architecture,
                    dataset.task,
                    members,
                    self._sets(scenario, dataset, members, seed),
                    getattr(dataset, part),
                    rates=rates,
                    optimizer=optimizer,
                    batch=scenario.batch,
                    steps=scenario.longer * self.config.horizon,
                    seed=seed,
                ).numpy()

            tuned_R = judged(fits[0], self.validation, rates, "validation", VALIDATION_SEED).mean(1)
            best = rates[int(tuned_R.argmax())]
            found_ST = np.concatenate([judged(made, self.members, [best], "test", TEST_SEED) for made in fits])
            self.found[key] = found_ST, best
        return self.found[key]

    def _fits(self, trial: int | None, rule: str) -> Sequence[Rule]:
        return [RULES[rule]] if trial is None else self.aggregators[trial]

    def _result(
        self, scenario: Scenario, optimizer: str, trial: int | None, rule: str, name: str, setting: str
    ) -> Result:
        accuracy_ST, rate = self._measured(scenario, optimizer, trial, rule)
        values = {AGGREGATED_ACCURACY: accuracy_ST}
        for other, metric in GAINS.items():
            if other != rule and other in scenario.rules:
                values[metric] = 100 * (accuracy_ST - self._measured(scenario, optimizer, None, other)[0])

        def means(fit: int, rows_T: np.ndarray) -> dict[str, float]:
            return {metric.name: float(values_ST[fit, rows_T].mean()) for metric, values_ST in values.items()}

        found = self.bootstrap.of_statistics(
            means, len(self.members), fits=len(accuracy_ST), bounds={AGGREGATED_ACCURACY.name: (0.0, 1.0)}
        )
        metrics = {metric.name: Measured.of(metric, found[metric.name]) for metric in values}
        dataset = self._dataset(scenario)
        return Result(
            name=name,
            family="control" if trial is None else "learned",
            setting=setting,
            trial=trial,
            fits=len(accuracy_ST),
            members=len(self.members),
            groups=len(self.members),
            parameters=scenario.architecture(self.architecture, dataset).parameters,
            examples=len(dataset.test),
            metrics={**metrics, TUNED_RATE.name: Measured(metric=TUNED_RATE, estimate=rate)},
            values={metric.name: tuple(values_ST.mean(0).tolist()) for metric, values_ST in values.items()},
        )


def _by_loss(loss_UTB: np.ndarray, wrong_UTB: np.ndarray, weights: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Mean weights of bins of the loss with equally many examples, of the last stretch of training."""
    last = slice(-(-len(loss_UTB) * (STRETCHES - 1) // STRETCHES), None)
    loss, wrong = loss_UTB[last].flatten(), wrong_UTB[last].flatten()
    told = []
    for rows in np.array_split(np.argsort(loss, kind="stable"), BINS):
        for name, chosen in (("right", rows[~wrong[rows]]), ("wrong", rows[wrong[rows]])):
            if len(chosen):
                told.append(
                    {
                        "label": name,
                        "loss": float(np.median(loss[rows])),
                        "examples": len(chosen),
                        **{
                            where: float(weight_UTB[last].flatten()[chosen].mean())
                            for where, weight_UTB in weights.items()
                        },
                    }
                )
    return told


def plan_aggregation(
    zoo: Zoo, *, study: StudyRecord, members: int = NETWORKS, inputs: Sequence[str] = (), bootstrap: Bootstrap
) -> AggregationPlan:
    """A study's best aggregators on trainings of test members.

    Args:
        zoo: The zoo.
        study: A study of aggregators on it.
        members: How many test members, at most.
        inputs: Names of other data sets of classes that MLPs are trained on too.
        bootstrap: How intervals are drawn.

    Raises:
        ZooError: No trial can be measured, or a split has no members.
        ValueError: There are fewer than two networks, or another data set has no classes.
    """
    if members < 2:
        raise ValueError(f"members is {members}; aggregators are judged by 2 networks or more")
    for name in inputs:
        if not (other := load_dataset(name)).task.has_classes:
            raise ValueError(f"inputs are {name!r}, whose loss is {other.task.loss!r}; name data sets of classes")
    test = next(iter(zoo.populations("test", epochs="one")), None)
    if test is None:
        raise ZooError(f"zoo {zoo.name} has no members in its test split; generate more members of it")
    architecture = test.architectures[int(test.architecture_M[0])]
    return AggregationPlan(
        study=study,
        zoo=zoo,
        aggregators=measured_artifacts(study),
        architecture=architecture,
        members=_members(zoo, "test", architecture, members),
        validation=_members(zoo, "validation", architecture, TUNED_ON),
        datasets=tuple(inputs),
        bootstrap=bootstrap,
    )


def _members(zoo: Zoo, split: str, architecture: Architecture, most: int) -> tuple[Member, ...]:
    """The first members of a split with an architecture."""
    chosen = [
        member
        for population in zoo.populations(split, epochs="one")
        for known, rows in population.groups()
        if known == architecture
        for member in population.select(rows).members
    ]
    if not chosen:
        raise ZooError(f"zoo {zoo.name} has no members like those of its test split in its {split} split")
    return tuple(chosen[:most])
