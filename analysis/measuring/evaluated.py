"""Rows that evaluators measure: networks are made, looked at in units of work, and what is found becomes a result.

What is finished of a row that takes long is kept in the store until the row is whole: an analysis that was stopped
continues at the block of members where it was.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from analysis.evaluators.evaluator import Subject
from analysis.measuring.evaluating import BlockValues, Evaluating, Unit
from analysis.measuring.evaluation import Evaluation
from analysis.measuring.results import Measured, Result
from zoo.config import digest
from zoo.population import Population
from zoo.storage.store import Store

# What was found in so many seconds is written at once: less is sooner found again than written for nothing.
KEEP_EVERY_S = 5.0
NETWORKS = "networks.safetensors"


@dataclass(frozen=True, kw_only=True)
class Made:
    """The networks that a row is about.

    Attributes:
        populations: One, or several fits of a setting that differ in their seed.
        sizes: What is known of them beside their quality, by the names of metrics.
        trial: Number of the trial that they are of, where that was found only now.
    """

    populations: tuple[Population, ...]
    sizes: Mapping[str, Measured] = field(default_factory=dict)
    trial: int | None = None


class Findings(NamedTuple):
    """What evaluators found of networks.

    Attributes:
        metrics: By name.
        values: For each name those of the members.
        details: By evaluator, what pictures are made of.
    """

    metrics: Mapping[str, Measured]
    values: Mapping[str, tuple[float, ...]]
    details: Mapping[str, Any]

    def result(
        self, made: Made, evaluation: Evaluation, *, name: str, family: str, setting: str, trial: int | None = None
    ) -> Result:
        """A row's result: who it is, the sizes of its networks and what was found of them."""
        population = made.populations[0]
        return Result(
            name=name,
            family=family,
            setting=setting,
            trial=made.trial if trial is None else trial,
            fits=len(made.populations),
            members=len(population),
            groups=len(np.unique(evaluation.groups(population))),
            parameters=population.parameters,
            examples=len(evaluation.test),
            metrics={**made.sizes, **self.metrics},
            values=self.values,
            details=self.details,
        )


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What a row that evaluators measure consists of.

    Attributes:
        name: What its networks are called in messages.
        make: Makes the networks.
        evaluation: What measures them.
        original: What they are compared with.
        finish: Makes the result.
        like: Networks of which the ones made have other weights, where those are kept; ``None`` where they are made
            sooner than read.
        with_details: Whether evaluators give details too.
    """

    name: str
    make: Callable[[], Made]
    evaluation: Callable[[], Evaluation]
    original: Callable[[], Subject | None] = lambda: None
    finish: Callable[[Made, Findings], Result]
    like: Callable[[], Population] | None = None
    with_details: bool = False

    def evaluating(self, made: Made) -> Evaluating:
        """Evaluators at work on the networks."""
        return Evaluating(self.evaluation(), [Subject(each, self.name) for each in made.populations], self.original())

    def measured(self, parts: KeptParts | None = None) -> Result:
        """All of it, one unit of work after the other.

        Args:
            parts: What was found before.
        """
        parts = KeptParts() if parts is None else parts
        made = parts.made(self)
        evaluating = self.evaluating(made)
        return self.finished(made, evaluating, {unit: parts.values(unit, evaluating) for unit in evaluating.units})

    def finished(self, made: Made, evaluating: Evaluating, found: Mapping[Unit, BlockValues]) -> Result:
        """The result of units that are all done."""
        metrics, values = evaluating.merged(found)
        details = evaluating.details() if self.with_details else {}
        return self.finish(made, Findings(metrics, values, details))


class KeptParts:
    """What is finished of a row.

    Args:
        store: Where it is kept; without one nothing is.
        folder: The row's own folder there.
    """

    def __init__(self, store: Store | None = None, folder: str = "") -> None:
        self._store, self._folder = store, folder
        self._names = set() if store is None else set(store.files(folder))
        self._unwritten: dict[Unit, BlockValues] = {}
        self._since = time.monotonic()
        self.found: dict[Unit, BlockValues] = {}
        for name in sorted(self._names - {NETWORKS}):
            self.found |= _of_units(self._read(name))

    def made(self, row: Evaluated) -> Made:
        """The row's networks, as they were made before, or made now."""
        if row.like is None:
            return row.make()
        if NETWORKS in self._names and (made := _of_networks(self._read(NETWORKS), row.like())) is not None:
            return made
        made = row.make()
        if self._is_time():
            self._write(NETWORKS, _networks(made))
        return made

    def values(self, unit: Unit, evaluating: Evaluating) -> BlockValues:
        """What a unit of work gives, as it was found before, or found now."""
        if unit not in self.found:
            self.found[unit] = self._unwritten[unit] = evaluating.values(unit)
            if self._is_time():
                self._write(f"{digest(list(self._unwritten))[:32]}.safetensors", _units(self._unwritten))
                self._unwritten = {}
        return self.found[unit]

    def drop(self) -> None:
        """Lets go of what is kept: the row is whole."""
        if self._store is not None:
            for name in self._store.files(self._folder):
                self._store.delete(f"{self._folder}/{name}")

    def _is_time(self) -> bool:
        return self._store is not None and time.monotonic() - self._since >= KEEP_EVERY_S

    def _write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        if self._store is not None:
            self._store.put(f"{self._folder}/{name}", save(arrays))
        self._since = time.monotonic()

    def _read(self, name: str) -> dict[str, np.ndarray]:
        """What was written; nothing where it cannot be read."""
        try:
            arrays: dict[str, np.ndarray] = (
                {} if self._store is None else load(self._store.read(f"{self._folder}/{name}"))
            )
            return arrays
        except (FileNotFoundError, SafetensorError, ValueError):
            return {}


def _units(found: Mapping[Unit, BlockValues]) -> dict[str, np.ndarray]:
    """Units of work as arrays, of which each is named by its unit and its own name; one of none has an empty one."""
    return {
        json.dumps([*unit, name]): np.ascontiguousarray(array)
        for unit, values in found.items()
        for name, array in (values or {"": np.empty(0, dtype=np.float32)}).items()
    }


def _of_units(arrays: Mapping[str, np.ndarray]) -> dict[Unit, BlockValues]:
    """The inverse of :func:`_units`."""
    found: dict[Unit, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        *unit, name = json.loads(key)
        found.setdefault(Unit(*unit), {}).update({name: array} if name else {})
    return dict(found)


def _networks(made: Made) -> dict[str, np.ndarray]:
    """Networks as arrays: the weights of each fit, and what is known of them as JSON."""
    sizes = {name: dataclasses.asdict(measured) for name, measured in made.sizes.items()}
    told = np.frombuffer(json.dumps({"sizes": sizes, "trial": made.trial}).encode(), dtype=np.uint8)
    return {"told": told, **{str(fit): each.weights_MP.numpy() for fit, each in enumerate(made.populations)}}


def _of_networks(arrays: Mapping[str, np.ndarray], like: Population) -> Made | None:
    """The inverse of :func:`_networks`; ``None`` where there is nothing."""
    if not arrays:
        return None
    told = json.loads(arrays["told"].tobytes())
    weights = [torch.from_numpy(arrays[str(fit)]) for fit in range(len(arrays) - 1)]
    return Made(
        populations=tuple(map(like.with_weights, weights)),
        sizes={name: Measured.from_record(measured) for name, measured in told["sizes"].items()},
        trial=told["trial"],
    )
