"""A study's files in a store, written by searches and fits, read by analyses: names, record, Pareto front.

studies/<name>-<digest8>/study.json                               what was searched, on which zoo, how it ended
studies/<name>-<digest8>/trials.parquet                           one row a trial: configuration, metrics, state
studies/<name>-<digest8>/checkpoints/trial-0007/artifact.json     what was fitted, written last; its files beside it
studies/<name>-<digest8>/checkpoints/trial-0007/fit-1/…           the same configuration with another seed
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from trainables.pareto import unbeaten, within
from trainables.registry import find_trainable
from trainables.trainable import Artifact, Trainable
from zoo.config import digest, to_json
from zoo.metric import Metric, by_name
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from zoo.storage.zoo import Zoo

logger = logging.getLogger(__name__)

STUDIES = "studies"
STUDY_FILE, TRIALS_FILE, ARTIFACT_FILE = "study.json", "trials.parquet", "artifact.json"
COMPLETE = "complete"
LIBRARIES = ("zooscale", "ray", "optuna", "torch")
FIT = re.compile(r"fit-(\d+)")


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder in a store.

    Attributes:
        store: The store.
        name: ``<study>-<digest8>``.
    """

    store: Store
    name: str

    @property
    def uri(self) -> str:
        """Full address."""
        return self.store.join(self.path())

    def path(self, *parts: str) -> str:
        """A path of the study in its store."""
        return "/".join([STUDIES, self.name, *parts])

    def checkpoint(self, trial: int, fit: int = 0) -> str:
        """The folder of what a trial has fitted; ``fit`` counts further fits with other seeds."""
        return self.path("checkpoints", f"trial-{trial:04d}", *([f"fit-{fit}"] if fit else []))

    def write_artifact(self, trainable: Trainable, config: Any, artifact: Artifact, trial: int, fit: int = 0) -> None:
        """Stores what was fitted; what lies there already is of a fit that nobody recorded, and is replaced."""
        path, files = self.checkpoint(trial, fit), artifact.to_files()
        for name, content in files.items():
            self.store.put(f"{path}/{name}", content)
        facts = {"trainable": trainable.name, "kind": trainable.kind, "config": config, "files": sorted(files)}
        self.store.put(f"{path}/{ARTIFACT_FILE}", json.dumps(to_json(facts), indent=2).encode())

    def export(
        self,
        study: Mapping[str, Any],
        directions: Sequence[str],
        zoo: Zoo,
        rows: Sequence[Mapping[str, Any]],
        **further: Any,
    ) -> None:
        """Writes the tables that everybody else reads: ``trials.parquet``, then ``study.json``.

        Args:
            study: The study as JSON: its trainables, objectives, limits and all else that it says.
            directions: "min" or "max" for each objective.
            zoo: What was fitted to.
            rows: A row a trial: ``trial``, ``state``, ``trainable``, configuration, metrics, ``seconds``, ``failure``.
            further: Other entries of ``study.json``.
        """
        import pandas as pd  # as below: listing studies need not wait for it

        trainables = [find_trainable(name) for name in study["trainables"]]
        trials = pd.DataFrame(rows, columns=None if rows else ["trial", "state", "failure", "seconds"])
        for name in trials.columns:  # Parquet has one type a column; fields of several trainables may share a name
            if len({type(value) for value in trials[name].dropna()}) > 1 and trials[name].dtype == object:
                trials[name] = trials[name].map(str, na_action="ignore")
        complete = trials["state"].str.lower() == COMPLETE
        trials["feasible"] = complete & within(trials, study["limits"], _metrics(trainables))
        front = unbeaten(trials[trials["feasible"]], study["objectives"], directions)
        trials["pareto"] = trials["trial"].isin(front)
        failures = [row["failure"] for row in rows if row.get("failure")]
        facts = {
            "study": {**study, "name": self.name},
            "kind": trainables[0].kind,
            "directions": list(directions),
            "zoo": {
                "name": zoo.name,
                "digest": zoo.digest,
                "content_sha256": zoo.content_sha256,
                "members": len(zoo),
            },
            "trials_completed": int(complete.sum()),
            "trials_failed": int((~complete).sum()),
            "trials_infeasible": int((complete & ~trials["feasible"]).sum()),
            "failure": failures[0] if failures else None,
            "pareto": sorted(front),
            "fit_seconds": round(sum(row.get("seconds") or 0.0 for row in rows), 2),
            "libraries": {name: _version(name) for name in LIBRARIES},
            **further,
        }
        buffer = io.BytesIO()
        trials.to_parquet(buffer, index=False)
        self.store.put(self.path(TRIALS_FILE), buffer.getvalue())
        self.store.put(self.path(STUDY_FILE), json.dumps(facts, indent=2).encode())

    def facts(self) -> dict[str, Any] | None:
        """Contents of ``study.json``; ``None`` where there is none, or a damaged one to be written anew."""
        try:
            facts: dict[str, Any] = json.loads(self.store.read(self.path(STUDY_FILE)))
        except (FileNotFoundError, ValueError):
            return None
        return facts


@dataclass(frozen=True)
class StudyRecord:
    """A finished or running study as it lies in a store.

    Attributes:
        folder: Where it lies.
        facts: Contents of ``study.json``.
        trials: One row a trial: number, state, trainable, every field of the configuration, metrics, seconds.
    """

    folder: StudyFolder
    facts: Mapping[str, Any]
    trials: pd.DataFrame

    @classmethod
    def open(cls, store: Store, study: str, zoo: Zoo | None = None) -> StudyRecord:
        """Opens a study by its name, or by the beginning of it if no other's begins so.

        Args:
            store: Where it lies.
            study: Its name or the beginning of it.
            zoo: Of several that begin so, the one on this zoo is meant, as it is now where it has grown.

        Raises:
            ZooError: There is no such study, several begin so, or it has no trials yet; the message says which
                studies there are.
        """
        import pandas as pd

        names = study_names(store)
        given = study.rstrip("/").rpartition("/")[2]
        matches = [name for name in names if name == given] or [name for name in names if name.startswith(given)]
        for fact in ("digest", "content_sha256") if zoo is not None and len(matches) > 1 else ():
            matches = [name for name in matches if _zoo_fact(store, name, fact) == getattr(zoo, fact)] or matches
        listing = ", ".join(names) if names else "none; run `zooscale search` first"
        if not matches:
            raise ZooError(f"there is no study {given!r} in {store.uri}; studies there: {listing}")
        if len(matches) > 1:
            raise ZooError(f"{given!r} is the beginning of several studies: {', '.join(matches)}; name one in full")
        folder = StudyFolder(store, matches[0])
        facts = json.loads(store.read(folder.path(STUDY_FILE)))
        if not store.exists(folder.path(TRIALS_FILE)):
            raise ZooError(f"study {folder.name} in {store.uri} has no {TRIALS_FILE} yet; let its search finish")
        return cls(folder, facts, pd.read_parquet(io.BytesIO(store.read(folder.path(TRIALS_FILE)))))

    def require_on(self, zoo: Zoo) -> None:
        """Raises a ``ZooError`` if it is not a study on this zoo."""
        if self.zoo_digest != zoo.digest:
            raise ZooError(
                f"study {self.name} is of zoo {self.zoo_name}, not of {zoo.name}: analyze it with --zoo "
                f"{self.zoo_name}, or search on {zoo.name} first"
            )

    def counterpart(self, zoo: Zoo) -> StudyRecord:
        """The study in the same store that did the same on another zoo.

        That is the one with the same settings. Where there is none, the only one of this name will do, with more
        trials for instance; how it differs is logged.

        Raises:
            ZooError: There is neither, or several are meant; the message says which studies there are.
        """
        store, short = self.folder.store, self.name.rpartition("-")[0]
        there = {
            name: facts
            for name in study_names(store)
            if (facts := StudyFolder(store, name).facts()) and facts["zoo"]["digest"] == zoo.digest
        }
        # Of a zoo that has grown there may be studies from before and after.
        now = {name: facts for name, facts in there.items() if facts["zoo"]["content_sha256"] == zoo.content_sha256}
        studies = now or there
        named = [name for name in studies if name.rpartition("-")[0] == short]
        alike = [name for name, facts in studies.items() if _settings(facts) == _settings(self.facts)]
        matches = [name for name in alike if name in named] or alike or named
        differences = {name: _differences(self.facts, studies[name]) for name in named}
        if len(matches) == 1:
            if not alike:
                logger.warning(
                    "%s is compared with %s, which has other settings: %s",
                    *(self.name, matches[0], differences[matches[0]]),
                )
            return StudyRecord.open(store, matches[0])
        listing = ", ".join(f"{name} ({differences[name]})" if name in named else name for name in there) or "none"
        if alike:
            raise ZooError(f"several studies on {zoo.name} have the settings of {self.name}: {', '.join(matches)}")
        raise ZooError(
            f"no study on {zoo.name} has the settings of {self.name}; studies on it: {listing}. Repeat it there with "
            f"all its options: `zooscale search {short} --zoo {zoo.name}`"
        )

    def differences(self, other: StudyRecord) -> str:
        """The settings in which another study differs, as ``trials 3, not 2``; empty where in none."""
        return _differences(self.facts, other.facts)

    @property
    def name(self) -> str:
        """``<study>-<digest8>``."""
        return self.folder.name

    @property
    def kind(self) -> str:
        """Kind of what was fitted: "autoencoder", "codec", "predictor" and so on."""
        return str(self.facts["kind"])

    @property
    def zoo_digest(self) -> str:
        """Digest of the zoo it searched on."""
        return str(self.facts["zoo"]["digest"])

    @property
    def zoo_name(self) -> str:
        """Full name of the zoo it searched on."""
        return str(self.facts["zoo"]["name"])

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics of its trainables, by name."""
        return _metrics([find_trainable(name) for name in self.facts["study"]["trainables"]])

    @property
    def importances(self) -> Mapping[str, Mapping[str, float]] | None:
        """Objective to parameter to importance, where they could be told."""
        return self.facts.get("importances") or None

    @property
    def content_sha256(self) -> str:
        """Hash of what was searched, of all that the trials table tells, and of how many fits the best ones have."""
        table = self.trials.to_json(orient="records", double_precision=15)
        fits = [self.fits(trial) for trial in dict.fromkeys([*self.pareto_trials(), *self.best_of_each_trainable()])]
        return digest({"study": self.facts["study"], "trials": table, "fits": fits})

    def pareto_trials(self) -> list[int]:
        """Numbers of the completed trials with an artifact, within the limits, that no other beats.

        By the first objective.
        """
        return unbeaten(self._eligible, self.facts["study"]["objectives"], self.facts["directions"])

    def best_of_each_trainable(self) -> list[int]:
        """Numbers of the trials that are each the best of one trainable by the first objective, the best of all first.

        As :meth:`pareto_trials` of completed trials with an artifact and within the limits.
        """
        objective, direction = self.facts["study"]["objectives"][0], self.facts["directions"][0]
        trials = self._eligible
        if objective not in trials:
            return []
        trials = trials[trials[objective].notna()].sort_values(objective, ascending=direction == "min", kind="stable")
        best: dict[str, int] = {}
        for number in trials["trial"]:
            best.setdefault(self.trainable(number).name, int(number))
        return list(best.values())

    @cached_property
    def _eligible(self) -> pd.DataFrame:
        """The completed trials with an artifact, within the limits."""
        if not {"trial", "state"} <= set(self.trials.columns):  # no trial has ended
            return self.trials.iloc[:0]
        trials = self.trials[self.trials["state"].str.lower() == COMPLETE]
        trials = trials[within(trials, self.facts["study"]["limits"], self.metrics)]
        return trials[[self._artifact_facts(number) is not None for number in trials["trial"]]]

    def best_trials(self) -> list[int]:
        """As :meth:`pareto_trials`, of which there has to be one.

        Raises:
            ZooError: There is none; the message says why, and what to change.
        """
        if front := self.pareto_trials():
            return front
        missed = self.missed_limits()
        if missed:
            raise ZooError(f"study {self.name} has no trial to measure: {missed}")
        failure = f" (the first failure: {self.facts['failure']})" if self.facts.get("failure") else ""
        raise ZooError(
            f"study {self.name} has no completed trial to measure: none of its {len(self.trials)} has results and an "
            f"artifact{failure}. Search again, or analyze the zoo without a study"
        )

    def missed_limits(self) -> str:
        """What to change where trials are complete and none keeps to the study's limits; else empty."""
        complete = self.trials[self.trials["state"].str.lower() == COMPLETE]
        limits: Mapping[str, float] = self.facts["study"]["limits"]
        if not len(complete) or within(complete, limits, self.metrics).any():
            return ""
        missed = {
            name: float(complete[name].min() if self.metrics[name].direction == "min" else complete[name].max())
            for name, limit in limits.items()
            if name in complete and not within(complete, {name: limit}, self.metrics).all()
        }
        best = ", ".join(
            f"{name} is {value:.6g} at best and its limit {limits[name]:.6g}" for name, value in missed.items()
        )
        wider = " ".join(f"--set limits.{name}=…" for name in missed)
        return (
            f"none of its {len(complete)} trials keeps to its limits: {best}. Search with wider ones ({wider}), with "
            "more --trials, or with other settings"
        )

    def fits(self, trial: int) -> list[int]:
        """Fits of a trial that have an artifact: 0, its own, and those of other seeds."""
        folders = self.folder.store.folders(self.folder.checkpoint(trial))
        numbers = sorted(int(match[1]) for name in folders if (match := FIT.fullmatch(name)))
        return [0, *(fit for fit in numbers if self._artifact_facts(trial, fit) is not None)]

    def trainable(self, trial: int, fit: int = 0) -> Trainable:
        """What a trial has fitted.

        Raises:
            ZooError: The trial has no artifact.
        """
        return find_trainable(self._required(trial, fit)["trainable"])

    def config(self, trial: int, fit: int = 0) -> Any:
        """The configuration of what a trial has fitted.

        Raises:
            ZooError: The trial has no artifact.
        """
        facts = self._required(trial, fit)
        return find_trainable(facts["trainable"]).configuration(facts["config"])

    def artifact(self, trial: int, fit: int = 0) -> Artifact:
        """What a trial has fitted, or a further fit with another seed.

        Raises:
            ZooError: The trial has no artifact, or one that cannot be read.
        """
        facts, path = self._required(trial, fit), self.folder.checkpoint(trial, fit)
        try:
            files = {name: self.folder.store.read(f"{path}/{name}") for name in facts["files"]}
            return find_trainable(facts["trainable"]).from_files(files)
        except (SafetensorError, RuntimeError, ValueError, KeyError, FileNotFoundError) as error:
            raise ZooError(
                f"the artifact of trial {trial} of study {self.name} is damaged or of another release: {error}; "
                "run the search again"
            ) from error

    def _artifact_facts(self, trial: int, fit: int = 0) -> dict[str, Any] | None:
        """What ``artifact.json`` says; ``None`` where it is missing."""
        path = f"{self.folder.checkpoint(trial, fit)}/{ARTIFACT_FILE}"
        try:
            facts: dict[str, Any] = json.loads(self.folder.store.read(path))
        except FileNotFoundError:
            return None
        return facts

    def _required(self, trial: int, fit: int) -> dict[str, Any]:
        facts = self._artifact_facts(trial, fit)
        if facts is None:
            missing = self.folder.store.join(self.folder.checkpoint(trial, fit), ARTIFACT_FILE)
            raise ZooError(f"trial {trial} of study {self.name} has no artifact: {missing} is missing")
        return facts


def study_names(store: Store) -> list[str]:
    """The studies of a store that have results."""
    return [name for name in store.folders(STUDIES) if store.exists(StudyFolder(store, name).path(STUDY_FILE))]


def _metrics(trainables: Sequence[Trainable]) -> Mapping[str, Metric]:
    return by_name(metric for trainable in trainables for metric in trainable.metrics)


def _settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a study searched and how, whatever it is called."""
    return {name: value for name, value in facts["study"].items() if name not in ("name", "description", "cost")}


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The settings in which another study differs, as ``trials 3, not 2``."""
    here, there = (
        {name: value for name, value in (settings | settings.get("settings", {})).items() if value is not None}
        for settings in map(_settings, (own, other))
    )
    names = [name for name in here | there if name != "settings" and here.get(name) != there.get(name)]
    return ", ".join(f"{name} {there.get(name, 'default')}, not {here.get(name, 'default')}" for name in names)


def _zoo_fact(store: Store, study: str, fact: str) -> str | None:
    """What a study's record tells of the zoo that it is on."""
    zoo: Mapping[str, Any] = (StudyFolder(store, study).facts() or {}).get("zoo", {})
    return zoo.get(fact)


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # run from a source folder
        return None
