"""``search``: what a study still lacks, and fits of its best trials with other seeds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import options
from cluster.display import human_bytes, human_seconds
from cluster.stores import lack_of_space
from cluster.verb import FAILED, Planned, Result
from zoo.config import to_json
from zoo.words import counted

if TYPE_CHECKING:
    from cluster.studies import StudyPlan


@dataclass(frozen=True, kw_only=True)
class Found(Result):
    """A study, what was done for it now, and the numbers of the trials that no other beats.

    ``missed_limits`` says what to change where no trial keeps to the study's limits.
    """

    study_name: str
    uri: str
    kind: str
    new_trials: int
    new_fits: int
    seconds: float
    trials_completed: int
    trials_failed: int
    trials_infeasible: int
    pareto: tuple[int, ...]
    missed_limits: str
    zoo: dict[str, Any]
    tensorboard: str

    @property
    def text(self) -> str:
        did = f"{counted(self.new_trials, 'trial')} run in {human_seconds(self.seconds)}"
        did = did if self.new_trials else "no trial was lacking"
        did += f", {counted(self.new_fits, 'fit')} with further seeds" if self.new_fits else ""
        trials = counted(self.trials_completed, "trial")
        trials += f", {self.trials_failed} failed" if self.trials_failed else ""
        trials += f", {self.trials_infeasible} beyond a limit" if self.trials_infeasible else ""
        lines = [
            f"study {self.study_name}: {trials}, {len(self.pareto)} on the Pareto front; {did}",
            *filter(None, [self.missed_limits]),
            self.uri,
            f"TensorBoard logs in {self.tensorboard}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class SearchEstimate(Result):
    """What ``search`` would do, with at most so many further fits; ``workers`` is 1 for this process alone.

    ``lack_of_space`` says what the store's disk has no room for.
    """

    study_name: str
    uri: str
    zoo: str
    trials: int
    missing_trials: int
    further_fits: int
    ray: bool
    workers: int
    memory: int
    bytes: int
    seconds: float
    lack_of_space: str
    study: dict[str, Any]

    @property
    def text(self) -> str:
        if not self.missing_trials and not self.further_fits:
            return f"study {self.study_name} is complete; nothing would run"
        fits = counted(self.further_fits, "fit")
        again = f", and up to {fits} of the best ones with further seeds" if self.further_fits else ""
        place = f"with {counted(self.workers, 'worker')} on Ray" if self.ray else "in this process"
        place += f" (a fit takes about {human_bytes(self.memory)} of memory)"
        would = (
            f"would run {self.missing_trials:,} of {counted(self.trials, 'trial')} on {self.zoo}{again}, {place}: "
            f"about {human_seconds(self.seconds)}, {human_bytes(self.bytes)} in {self.uri}"
        )
        return f"{would}\nbut {self.lack_of_space}" if self.lack_of_space else would

    @property
    def exit_code(self) -> int:
        return FAILED if self.lack_of_space else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Search(Planned):
    """Search for what fits a zoo best, as a study says. Finished trials are kept."""

    study: options.Study
    zoo: options.ZooOption
    store: options.Store = "./store"
    trials: options.Trials = None
    seeds: options.Seeds = 1
    workers: options.Workers = None
    epochs: options.Epochs = None
    seed: options.Seed = None
    preset: options.Preset = None
    settings: options.Settings = ()

    def plan(self) -> SearchEstimate:
        """Measures fits on a few members."""
        return self.estimate()

    def estimate(self, growth: float = 1.0) -> SearchEstimate:
        """As ``plan``, with ``growth`` times the members of the zoo."""
        from cluster.distributed.memory import fit_memory
        from cluster.estimates import duration, fit_cost

        plan = self.chosen()
        facts = plan.folder.facts() or {}
        done = facts.get("trials_completed", 0) + facts.get("trials_failed", 0)
        lacking = max(0, plan.study.wanted_trials - done)
        further = most_further_fits(plan.study.wanted_trials, self.seeds)
        fit_s, fit_bytes = fit_cost(plan) if lacking or further else (0.0, 0)
        memory = fit_memory(round(growth * plan.weights_bytes))
        ray, workers, seconds = duration(
            (lacking, further), growth * fit_s, self.workers, plan.folder.store, each_bytes=memory
        )
        return SearchEstimate(
            study_name=plan.folder.name,
            uri=plan.folder.uri,
            zoo=plan.zoo.name,
            trials=plan.study.wanted_trials,
            missing_trials=lacking,
            further_fits=further,
            ray=ray,
            workers=workers,
            memory=memory,
            bytes=(lacking + further) * fit_bytes,
            seconds=round(seconds, 1),
            lack_of_space=lack_of_space(plan.folder.store, plan.folder.path(), (lacking + further) * fit_bytes),
            study=to_json(plan.study),
        )

    def run(self) -> Found:
        """Runs the trials that the study lacks."""
        from cluster.distributed.search import search, search_folder
        from trainables.study_files import StudyRecord

        plan, started = self.chosen(), time.monotonic()
        done = search(plan, seeds=self.seeds, workers=self.workers)
        record = StudyRecord.open(plan.folder.store, plan.folder.name)
        facts = record.facts
        return Found(
            study_name=plan.folder.name,
            uri=plan.folder.uri,
            kind=facts["kind"],
            new_trials=done.trials,
            new_fits=done.fits,
            seconds=round(time.monotonic() - started, 2),
            trials_completed=facts["trials_completed"],
            trials_failed=facts["trials_failed"],
            trials_infeasible=facts["trials_infeasible"],
            pareto=tuple(facts["pareto"]),
            missed_limits=record.missed_limits(),
            zoo=facts["zoo"],
            tensorboard=str(search_folder(plan).tensorboard),
        )

    def chosen(self) -> StudyPlan:
        """The study with its zoo, checked."""
        from cluster.studies import plan_study
        from search_spaces.studies import find_study

        named = {"trials": self.trials, "epochs": self.epochs, "seed": self.seed, "preset": self.preset}
        return plan_study(find_study(self.study), self.zoo, self.store, named, self.settings)


def most_further_fits(trials: int, seeds: int) -> int:
    """How many fits with further seeds there may be: which trials will be the best is not known yet, nor how many."""
    from analysis.measuring.measured_trials import MEASURED_TRIALS

    return (seeds - 1) * min(trials, MEASURED_TRIALS)
