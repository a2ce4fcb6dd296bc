"""Reads a study from a store: its trials, and the codecs of the trials on its Pareto front."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from safetensors import SafetensorError

from trainables.autoencoders.learned_codec import CONFIG_FILE, MODEL_FILE, LearnedCodec
from zoo.config import digest
from zoo.storage.errors import ZooError
from zoo.storage.store import Store

STUDIES = "studies"
STUDY_FILE, TRIALS_FILE = "study.json", "trials.parquet"
COMPLETE = "complete"
FIT = re.compile(r"fit-(\d+)")


@dataclass(frozen=True)
class StudyRecord:
    """A finished or running study as it lies in a store.

    Attributes:
        store: Where it lies.
        name: ``<study>-<digest8>``.
        facts: Contents of ``study.json``.
        trials: One row a trial: number, state, every field of the configuration, objectives, seconds.
    """

    store: Store
    name: str
    facts: Mapping[str, Any]
    trials: pd.DataFrame

    @classmethod
    def open(cls, store: Store, study: str) -> StudyRecord:
        """Opens a study by its name, or by the beginning of it if no other's begins so.

        Raises:
            ZooError: There is no such study, several begin so, or it has no trials yet; the message says which
                studies there are.
        """
        names = study_names(store)
        given = study.rstrip("/").rpartition("/")[2]
        matches = [name for name in names if name == given] or [name for name in names if name.startswith(given)]
        listing = ", ".join(names) if names else "none; run `zooscale search` first"
        if not matches:
            raise ZooError(f"there is no study {given!r} in {store.uri}; studies there: {listing}")
        if len(matches) > 1:
            raise ZooError(f"{given!r} is the beginning of several studies: {', '.join(matches)}; name one in full")
        facts = json.loads(store.read(_path(matches[0], STUDY_FILE)))
        if not store.exists(_path(matches[0], TRIALS_FILE)):
            raise ZooError(f"study {matches[0]} in {store.uri} has no {TRIALS_FILE} yet; let its search finish")
        trials = pd.read_parquet(io.BytesIO(store.read(_path(matches[0], TRIALS_FILE))))
        return cls(store, matches[0], facts, trials)

    @property
    def zoo_digest(self) -> str:
        """Digest of the zoo it searched on."""
        return str(self.facts["zoo"]["digest"])

    @property
    def importances(self) -> Mapping[str, Mapping[str, float]] | None:
        """Objective to parameter to importance, where they could be told."""
        return self.facts.get("importances") or None

    @property
    def content_sha256(self) -> str:
        """Hash of what was searched, of all that the trials table tells, and of how many fits the best ones have."""
        table = self.trials.to_json(orient="records", double_precision=15)
        fits = [self.fits(trial) for trial in self.pareto_trials()]
        return digest({"study": self.facts["study"], "trials": table, "fits": fits})

    def pareto_trials(self) -> list[int]:
        """Numbers of the completed trials with a checkpoint that no other beats, by the first objective."""
        metrics, modes = self.facts["study"]["metrics"], self.facts["study"]["modes"]
        if not {"trial", "state", *metrics} <= set(self.trials.columns):  # no trial got so far as to be measured
            return []
        complete = self.trials[
            (self.trials["state"].str.lower() == COMPLETE) & self.trials[list(metrics)].notna().all(axis=1)
        ]
        limit = self.facts["study"].get("shared_bytes_limit")
        if limit is not None and "shared_bytes" in complete:
            complete = complete[complete["shared_bytes"] <= limit]
        stored = [self.store.exists(self._checkpoint(number, MODEL_FILE)) for number in complete["trial"]]
        complete = complete[stored]
        costs = [
            [(-1 if mode == "max" else 1) * value for value in complete[metric]]
            for metric, mode in zip(metrics, modes, strict=True)
        ]
        if len(costs) == 2:
            front = pareto_rows(costs[0], [-value for value in costs[1]])
        else:
            points = list(zip(*costs, strict=True))
            front = [row for row, point in enumerate(points) if not any(_beats(other, point) for other in points)]
        return [int(complete["trial"].iloc[row]) for row in front]

    def fits(self, trial: int) -> list[int]:
        """Fits of a trial that have a model: 0, its own, and those of other seeds."""
        folders = self.store.folders(_path(self.name, checkpoint_folder(trial)))
        numbers = sorted(int(match[1]) for name in folders if (match := FIT.fullmatch(name)))
        return [0, *(fit for fit in numbers if self.store.exists(self._checkpoint(trial, MODEL_FILE, fit)))]

    def codec(self, trial: int, fit: int = 0) -> LearnedCodec:
        """The codec of a trial, or of a further fit with another seed.

        Raises:
            ZooError: The trial has no checkpoint, or one that cannot be read.
        """
        paths = {name: self._checkpoint(trial, name, fit) for name in (MODEL_FILE, CONFIG_FILE)}
        missing = [path for path in paths.values() if not self.store.exists(path)]
        if missing:
            raise ZooError(
                f"trial {trial} of study {self.name} has no checkpoint: {self.store.join(missing[0])} is missing"
            )
        try:
            return LearnedCodec.from_files({name: self.store.read(path) for name, path in paths.items()})
        except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
            raise ZooError(
                f"the checkpoint of trial {trial} of study {self.name} is damaged or of another release: {error}; "
                "run the search again"
            ) from error

    def _checkpoint(self, trial: int, name: str, fit: int = 0) -> str:
        return _path(self.name, f"{checkpoint_folder(trial, fit)}/{name}")


def pareto_rows(rates: Sequence[float], qualities: Sequence[float]) -> list[int]:
    """Rows that no other row beats (rate at most as high, quality at least as high, one of them strictly).

    Returns:
        Row numbers by increasing rate; of rows that are equal in both, the first. Their rates and qualities
        both increase strictly.
    """
    front: list[int] = []
    best = -math.inf
    for row in sorted(range(len(rates)), key=lambda row: (rates[row], -qualities[row], row)):
        if qualities[row] > best:
            front.append(row)
            best = qualities[row]
    return front


def checkpoint_folder(trial: int, fit: int = 0) -> str:
    """Where in a study the model of a trial lies; ``fit`` counts further fits with other seeds."""
    return f"checkpoints/trial-{trial:04d}" + (f"/fit-{fit}" if fit else "")


def study_names(store: Store) -> list[str]:
    """The studies of a store."""
    return [name for name in store.folders(STUDIES) if store.exists(_path(name, STUDY_FILE))]


def _path(study: str, name: str) -> str:
    return f"{STUDIES}/{study}/{name}"


def _beats(left: tuple[float, ...], right: tuple[float, ...]) -> bool:
    """Whether costs are nowhere higher and somewhere lower."""
    return left != right and all(a <= b for a, b in zip(left, right, strict=True))
