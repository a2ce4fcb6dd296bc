"""``demo``: the whole job on scikit-learn's handwritten digits, each part of it reused where it is there."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from cluster import options
from cluster.display import human_bytes, human_seconds, say
from cluster.verb import Planned, Result
from cluster.verbs.analyze import REPORT_BYTES, Analyze, Report
from cluster.verbs.generate import Generate, Generated, GenerationEstimate
from cluster.verbs.search import Found, Search, SearchEstimate
from zoo.words import counted, zooscale

RECIPE, STUDY = "digits-mlp-diverse", "digits-autoencoder"
TEST_MEMBERS, TEST_SHARE = 300, 0.15
# Without a zoo, fits are tried on one of so many networks, which takes a second.
SAMPLE_MEMBERS = 256
# What the analysis takes for each test network, until there was a demo on this machine.
ANALYSIS, FIRST_NETWORK_S = "analysis of the demo, for each network", 0.25


@dataclass(frozen=True, kw_only=True)
class Shown(Result):
    """What the demo has made: zoo, study and report, and where they are."""

    zoo: Generated
    study: Found
    report: Report
    store: str

    @property
    def text(self) -> str:
        return (
            f"{self.report.text}\nmodels  {self.study.uri}/checkpoints\n\n"
            f"dashboards: {zooscale('dashboard', '--store', self.store, '--study', self.study.study_name)}"
        )


@dataclass(frozen=True, kw_only=True)
class ReportEstimate:
    """What the report would take, unless there is one already."""

    test_members: int
    bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DemoEstimate(Result):
    """What the demo would do, part by part, and altogether."""

    generate: GenerationEstimate
    search: SearchEstimate
    analyze: ReportEstimate
    seconds: float
    bytes: int

    @property
    def text(self) -> str:
        return (
            f"{self.generate.text}\n{self.search.text}\nwould then measure codecs on {self.analyze.test_members} "
            f"held-out networks: about {human_seconds(self.analyze.seconds)}, unless there is a report already\n"
            f"altogether about {human_seconds(self.seconds)} and {human_bytes(self.bytes)}"
        )

    @property
    def exit_code(self) -> int:
        return self.generate.exit_code


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
        """Tries training and fits here and now; the analysis takes what it took in a demo before."""
        from cluster.estimates import remembered_s

        zoo = self._generate().plan()
        found = self._on_a_sample(zoo) if zoo.missing_members else self._search(zoo.zoo).plan()
        networks = min(TEST_MEMBERS, round(zoo.members * TEST_SHARE))
        seconds = networks * remembered_s(ANALYSIS, FIRST_NETWORK_S)
        return DemoEstimate(
            generate=zoo,
            search=found,
            analyze=ReportEstimate(test_members=networks, bytes=REPORT_BYTES, seconds=round(seconds, 1)),
            seconds=round(zoo.seconds + found.seconds + seconds, 1),
            bytes=zoo.bytes + found.bytes + REPORT_BYTES,
        )

    def run(self) -> Shown:
        """Generates, searches, analyzes."""
        from cluster.estimates import remember_s

        made = self._generate().run()
        say(f"zoo {made.zoo}: {counted(made.members, 'member')}")
        found = self._search(made.zoo).run()
        say(f"study {found.study_name}: {counted(found.trials_completed, 'trial')}")
        report = Analyze(zoo=made.zoo, study=found.study_name, store=self.store, reuse=True).run()
        if report.new:
            remember_s(ANALYSIS, report.seconds / report.summary["test_members"])
        return Shown(zoo=made, study=found, report=report, store=self.store)

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

    def _on_a_sample(self, zoo: GenerationEstimate) -> SearchEstimate:
        """What the search would take on a zoo that is not there yet, from one of a few networks made for this."""
        from zoo.generation.build import generate_zoo
        from zoo.recipes import find_recipe
        from zoo.storage.store import Store

        with tempfile.TemporaryDirectory(prefix="zooscale-sample-") as folder:
            sample = generate_zoo(replace(find_recipe(RECIPE), members=SAMPLE_MEMBERS), folder)
            search = replace(self._search(sample.name), store=folder)
            found = search.estimate(growth=zoo.members / SAMPLE_MEMBERS)
        uri = Store(self.store).join("studies")
        return replace(found, study_name=STUDY, uri=uri, zoo=zoo.zoo)
