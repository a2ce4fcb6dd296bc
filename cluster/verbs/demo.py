"""``demo``: the whole job on scikit-learn's handwritten digits, each part of it reused where it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cluster import options
from cluster.display import human_bytes, human_seconds, say
from cluster.verb import Planned, Result
from cluster.verbs.generate import Generate, GenerationEstimate, ZooFacts
from cluster.verbs.search import Found, Search, SearchEstimate, duration, most_further_fits

RECIPE, STUDY = "digits-mlp-diverse", "digits-autoencoder"
# Test networks that are measured.
TEST_MEMBERS = 300
TRAINING_SHARE, TEST_SHARE = 0.7, 0.15
# Measured on the demo, on one core: a trial's preparation and validation, an epoch on a snapshot, its model; the
# analysis and its report.
TRIAL_S, SNAPSHOT_EPOCH_S, TRIAL_BYTES = 4.0, 2.5e-4, 200_000
ANALYSIS_S, REPORT_BYTES = 75.0, 6_000_000


@dataclass(frozen=True, kw_only=True)
class Shown(Result):
    """What the demo has made: zoo, study and report, and where they are."""

    zoo: ZooFacts
    study: Found
    report: dict[str, Any]
    store: str

    @property
    def text(self) -> str:
        return (
            f"{self.report['text']}\nmodels  {self.study.uri}/checkpoints\n\n"
            f"dashboards: zooscale dashboard --store {self.store} --study {self.study.study_name}"
        )


@dataclass(frozen=True, kw_only=True)
class EarlierSearch(Result):
    """What the search would take, as far as that can be told without a zoo.

    Attributes:
        trials: How many would be run.
        further_fits: At most so many fits with further seeds.
        epochs: Of each.
        workers: How many processes.
        bytes: About how much would be written.
        seconds: About how long it takes.
    """

    trials: int
    further_fits: int
    epochs: int
    workers: int
    bytes: int
    seconds: float

    @property
    def text(self) -> str:
        again = f" and up to {self.further_fits} fits with further seeds" if self.further_fits else ""
        return (
            f"would then run {self.trials} trials of {self.epochs} epochs{again} with {self.workers} workers: about "
            f"{human_seconds(self.seconds)}, {human_bytes(self.bytes)}"
        )


@dataclass(frozen=True, kw_only=True)
class DemoEstimate(Result):
    """What the demo would do, part by part, and altogether."""

    generate: GenerationEstimate
    search: SearchEstimate | EarlierSearch
    analyze: dict[str, Any]
    seconds: float
    bytes: int

    @property
    def text(self) -> str:
        return (
            f"{self.generate.text}\n{self.search.text}\nwould then measure codecs on "
            f"{self.analyze['test_members']} held-out networks: about {human_seconds(self.analyze['seconds'])}, unless "
            f"there is a report already\naltogether about {human_seconds(self.seconds)} and {human_bytes(self.bytes)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo(Planned):
    """The whole job on handwritten digits: generate a zoo, search, analyze. What exists is reused."""

    store: options.Store = "./store"
    members: options.Members = None
    trials: options.Trials = None
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each autoencoder.")] = None
    seeds: options.Seeds = 1
    workers: options.Workers = None
    seed: options.Seed = None

    def plan(self) -> DemoEstimate:
        """Measured on the zoo where there is one already; else search and analysis are those of a demo before."""
        zoo = self._generate().plan()
        found = self._search_estimate(zoo)
        test_members = min(TEST_MEMBERS, round(zoo.members * TEST_SHARE))
        seconds = ANALYSIS_S * test_members / TEST_MEMBERS
        return DemoEstimate(
            generate=zoo,
            search=found,
            analyze={"test_members": test_members, "bytes": REPORT_BYTES, "seconds": seconds},
            seconds=round(zoo.seconds + found.seconds + seconds, 1),
            bytes=zoo.bytes + found.bytes + REPORT_BYTES,
        )

    def run(self) -> Shown:
        """Generates, searches, analyzes."""
        from cluster.verbs.reporting import write_report
        from trainables.study_files import StudyRecord
        from zoo.storage.store import Store
        from zoo.storage.zoo import Zoo

        store = Store(self.store)
        generated = self._generate().run()
        say(f"zoo {generated.zoo}: {generated.members:,} members")
        found = self._search(generated.zoo).run()
        say(f"study {found.study_name}: {found.trials_completed} trials")
        zoo = Zoo.open(generated.uri)
        record = StudyRecord.open(store, found.study_name)
        return Shown(
            zoo=ZooFacts.of(zoo),
            study=found,
            report=write_report(zoo, record, store, members=TEST_MEMBERS, reuse=True),
            store=store.uri,
        )

    def _generate(self) -> Generate:
        return Generate(recipe=RECIPE, store=self.store, members=self.members, workers=self.workers, seed=self.seed)

    def _search(self, zoo: str) -> Search:
        return Search(
            study=STUDY,
            zoo=zoo,
            store=self.store,
            trials=self.trials,
            seeds=self.seeds,
            workers=self.workers,
            epochs=self.epochs,
            seed=self.seed,
        )

    def _search_estimate(self, zoo: GenerationEstimate) -> SearchEstimate | EarlierSearch:
        """Measured on the zoo where there is one already; else from what the demo has taken before."""
        from search_spaces.studies import find_study
        from zoo.recipes import find_recipe
        from zoo.storage.manifest import read_manifest
        from zoo.storage.store import Store

        if not zoo.missing_members and read_manifest(Store(self.store), zoo.zoo) is not None:
            return self._search(zoo.zoo).plan()
        study = find_study(STUDY)
        trials, epochs = self.trials or study.trials, self.epochs or study.epochs or 1
        snapshots = zoo.members * TRAINING_SHARE * sum(epoch > 0 for epoch in find_recipe(RECIPE).snapshot_epochs)
        further = most_further_fits(trials, self.seeds)
        _, processes, seconds = duration(
            (trials, further), TRIAL_S + SNAPSHOT_EPOCH_S * snapshots * epochs, self.workers
        )
        return EarlierSearch(
            trials=trials,
            further_fits=further,
            epochs=epochs,
            workers=processes,
            bytes=(trials + further) * TRIAL_BYTES,
            seconds=round(seconds, 1),
        )
