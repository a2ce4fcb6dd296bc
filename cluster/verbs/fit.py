"""``fit``: one trainable with one configuration, stored as a study of one trial."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import options
from cluster.display import columns, human_bytes, human_number, human_seconds
from cluster.stores import lack_of_space
from cluster.verb import FAILED, Planned, Result
from zoo.words import zooscale

if TYPE_CHECKING:
    from cluster.studies import StudyPlan
    from search_spaces.study import Study


@dataclass(frozen=True, kw_only=True)
class Fitted(Result):
    """A fit, in a study of one trial, with its metrics on validation members and examples; ``new`` if made now."""

    study_name: str
    uri: str
    zoo: str
    trainable: str
    config: dict[str, Any]
    metrics: dict[str, float]
    new: bool
    seconds: float

    @property
    def text(self) -> str:
        did = f"fitted in {human_seconds(self.seconds)}" if self.new else "was fitted before"
        metrics = columns([(f"  {name}", human_number(value)) for name, value in self.metrics.items()])
        store = self.uri.removesuffix(f"/studies/{self.study_name}")
        command = zooscale("analyze", "--zoo", self.zoo, "--study", self.study_name, "--store", store)
        return (
            f"{self.trainable} {did}; on validation members and examples:\n{metrics}\n{self.uri}\n"
            f"on test members: {command}"
        )


@dataclass(frozen=True, kw_only=True)
class FitEstimate(Result):
    """What ``fit`` would do unless it is there already, and what can be told of it before.

    ``lack_of_space`` says what the store's disk has no room for.
    """

    study_name: str
    uri: str
    trainable: str
    config: dict[str, Any]
    known_before: dict[str, float]
    missing: bool
    bytes: int
    seconds: float
    lack_of_space: str

    @property
    def text(self) -> str:
        if not self.missing:
            return f"{self.trainable} is fitted so already: {self.uri}"
        known = "".join(f", {name} {value:,.0f}" for name, value in self.known_before.items())
        would = (
            f"would fit {self.trainable}{known}: about {human_seconds(self.seconds)}, {human_bytes(self.bytes)} in "
            f"{self.uri}"
        )
        return f"{would}\nbut {self.lack_of_space}" if self.lack_of_space else would

    @property
    def exit_code(self) -> int:
        return FAILED if self.lack_of_space else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit(Planned):
    """Fit one trainable to a zoo: a codec, an autoencoder, an encoder …, or one of your own."""

    trainable: options.Trainable
    zoo: options.ZooOption
    store: options.Store = "./store"
    epochs: options.Epochs = None
    seed: options.Seed = None
    workers: options.Workers = None
    preset: options.Preset = None
    settings: options.Settings = ()

    def plan(self) -> FitEstimate:
        """Fits to a few members."""
        from cluster.estimates import duration, fit_cost

        plan, trainable, config = self.chosen()
        missing = not _is_fitted(plan)
        fit_s, size = fit_cost(plan) if missing else (0.0, 0)
        _, _, seconds = duration([int(missing)], fit_s, self.workers, plan.folder.store)
        return FitEstimate(
            study_name=plan.folder.name,
            uri=plan.folder.uri,
            trainable=trainable.name,
            config=config,
            known_before=dict(trainable.known_before(trainable.configuration(config), plan.architectures)),
            missing=missing,
            bytes=size,
            seconds=round(seconds, 1),
            lack_of_space=lack_of_space(plan.folder.store, plan.folder.path(), size),
        )

    def run(self) -> Fitted:
        """Fits, validates, stores."""
        plan, trainable, config = self.chosen()
        started, new = time.monotonic(), not _is_fitted(plan)
        if new:
            from cluster.distributed.search import search

            search(plan, workers=self.workers)
        from trainables.study_files import StudyRecord

        record = StudyRecord.open(plan.folder.store, plan.folder.name)
        row = record.trials.iloc[0]
        return Fitted(
            study_name=plan.folder.name,
            uri=plan.folder.uri,
            zoo=plan.zoo.name,
            trainable=trainable.name,
            config=config,
            metrics={name: float(row[name]) for name in record.metrics if name in row},
            new=new,
            seconds=round(time.monotonic() - started, 2),
        )

    def chosen(self) -> tuple[StudyPlan, Any, dict[str, Any]]:
        """The study of one trial with its zoo, checked; what it fits; the configuration."""
        from cluster.studies import plan_study
        from search_spaces.studies import STUDIES
        from trainables.registry import find_trainable

        if self.trainable in STUDIES:
            command = zooscale("search", self.trainable, "--zoo", self.zoo)
            raise ValueError(
                f"{self.trainable!r} is a study; `{command}` runs it, and `{zooscale('trainables')}` lists what can be "
                "fitted"
            )
        trainable = find_trainable(self.trainable)
        named = {"epochs": self.epochs, "seed": self.seed, "preset": self.preset}
        plan = plan_study(study_of_one(self.trainable), self.zoo, self.store, named, self.settings)
        return plan, trainable, plan.study.configuration(trainable, {})


def study_of_one(name: str) -> Study:
    """The study in which a single fit of a trainable is stored; ``name`` is that of :func:`find_trainable`."""
    from search_spaces.study import Study
    from trainables.registry import find_trainable

    trainable = find_trainable(name)
    return Study(
        name=re.sub(r"[^A-Za-z0-9._-]", "-", trainable.name),
        trainables=(name,),
        objectives=tuple(metric.name for metric in trainable.metrics if metric.direction),
        trials=1,
    )


def _is_fitted(plan: StudyPlan) -> bool:
    return bool((plan.folder.facts() or {}).get("trials_completed"))
