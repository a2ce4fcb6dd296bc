"""The seam of everything that can be fitted: a registry entry, a fit in progress, what it leaves behind.

Free of torch, so that search spaces and ``--help`` load fast. To add a trainable, write one file with a config, a
fit and an artifact, and name a :class:`Trainable` in ``trainables.registry`` (or as ``module:attribute``): fitting,
checkpoints, search on Ray, fits with other seeds, and the report are inherited.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from zoo.config import from_json
from zoo.metric import Metric

if TYPE_CHECKING:
    from zoo.architecture import Architecture
    from zoo.data.examples import Dataset
    from zoo.data.task import Task
    from zoo.population import Population

Reference = str | Callable[..., Any]
"""A function, or where it is: ``module:attribute`` or ``module:Class.method``, imported when it is first called."""


FEWEST_TASKS = 2


class DivergedError(ArithmeticError):
    """A fit's loss or parameters are no longer finite, or leave the range in which they are stored."""


@dataclass(frozen=True, kw_only=True)
class FitData:
    """What a fit sees of a zoo: never test members nor test examples.

    All fits on a machine share it, so none may change it, but for ``shared``.

    Attributes:
        training: Training members, one population for each parameter layout.
        validation: Validation members, likewise.
        dataset: The data set; a fit uses its training and validation examples.
        shared: What fits keep for one another, under keys of their own: measurements of the same networks, say, that do
            not depend on a configuration. Results must be the same without.

    Raises:
        ValueError: There is no training population.
    """

    training: tuple[Population, ...]
    validation: tuple[Population, ...]
    dataset: Dataset
    shared: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.training:
            raise ValueError(
                "FitData.training is empty; give it one population for each parameter layout of the training networks, "
                'such as tuple(zoo.populations("train")); only FitData.validation may be empty'
            )

    def require_validation(self, use: str) -> None:
        """Raises a ``ValueError`` where there are no validation networks; ``use`` says what they are needed for."""
        if not any(map(len, self.validation)):
            raise ValueError(f"there are no validation networks, {use}; take more members")

    def one_layout(self, what: str) -> tuple[Population, Population]:
        """(training, validation) for what knows networks of one layout only; either may be empty.

        Raises:
            ValueError: There are several layouts; the message says that ``what`` needs one.
        """
        if len(self.training) != 1:
            counts = ", ".join(f"{population.parameters:,}" for population in self.training[:4])
            raise ValueError(
                f"{what} needs networks of one parameter layout; this zoo has {len(self.training)} "
                f"(of {counts}{' …' if len(self.training) > 4 else ''} parameters). Choose one with "
                "--set layout=0, or take a trainable that is for any"
            )
        training = self.training[0]
        alike = (other for other in self.validation if other.architecture.layout == training.architecture.layout)
        return training, next(alike, training.select([]))


@runtime_checkable
class Artifact(Protocol):
    """What a fit leaves behind: it does the work, and is stored as safetensors and JSON."""

    def to_files(self) -> dict[str, bytes]:
        """The whole artifact as files; a :class:`Trainable`'s ``load`` is the inverse."""
        ...


@runtime_checkable
class Fit(Protocol):
    """One fitting in progress. It goes an epoch at a time and can be stopped and continued after any."""

    @property
    def epochs(self) -> int:
        """How many epochs it takes; 1 where the fit is in closed form."""
        ...

    @property
    def epoch(self) -> int:
        """Epochs done."""
        ...

    def train_epoch(self) -> dict[str, float]:
        """Goes through the training members once; returns what there is to say of it (losses).

        Raises:
            DivergedError: A loss is not finite.
        """
        ...

    def validate(self) -> dict[str, float]:
        """The trainable's metrics, on validation members and validation examples.

        Raises:
            DivergedError: What was fitted is not finite.
        """
        ...

    def state(self) -> dict[str, bytes]:
        """Everything needed to go on, as files (safetensors and JSON)."""
        ...

    def load_state(self, state: Mapping[str, bytes]) -> None:
        """Continues from :meth:`state`, bit for bit."""
        ...

    def artifact(self) -> Artifact:
        """What was fitted, as it is now."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A registry entry: what can be fitted, and how.

    Attributes:
        name: Its name in the registry, in tables and in studies.
        kind: What it is: "codec", "autoencoder", "predictor" …; says how its artifact is used and reported.
        config: Its own configuration, a flat frozen dataclass free of torch. With a field ``seed`` it can be fitted
            again with other seeds; with a field ``epochs`` a study says how many; with a field ``target`` or
            ``targets`` it learns columns of the zoo that are named there, with commas; "all" for all that there are.
        metrics: What ``Fit.validate`` gives: the objectives and limits that a study can name. Metrics of classes are
            left out where outputs are values, and the other way round.
        begin: ``(config, FitData) -> Fit``.
        load: ``(files) -> Artifact``.
        check: ``(config, architectures) -> {metric name: value}``: what can be told before anything is fitted, such
            as the bytes of a decoder (instantiated on the meta device). Raises ``ValueError`` for networks that it
            cannot take; the message says what helps. ``None`` where there is nothing to tell.
        curve: Settings, by increasing rate, at which an analysis measures it where no study has chosen any; a setting
            holds fields of ``config``. Empty for what is measured only as a study found it.
        encode_steps: The field of ``config`` that says in how many steps a code is improved for each network when it is
            encoded; empty for what encodes in one pass. Codecs with and without such steps stand in the same table.
        no_symbols: Of codecs, why memory cells could hold no symbols of its payloads; empty of those that have a method
            ``numbers``, see ``trainables.codecs.cells``.
        presets: Named settings, such as those published with a method: for each name the fields of ``config`` that
            differ from the defaults.
        tasks: Which zoos it can be fitted to, by the class tasks of their members: "any", "one" (all members have the
            same, or none), or "several".
        needs_classes: Whether targets must be classes.
        description: One sentence for listings.
    """

    name: str
    kind: str
    config: type[Any]
    metrics: tuple[Metric, ...]
    begin: Reference
    load: Reference
    check: Reference | None = None
    curve: tuple[Mapping[str, Any], ...] = ()
    encode_steps: str = ""
    no_symbols: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tasks: Literal["any", "one", "several"] = "any"
    needs_classes: bool = False
    description: str

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the configuration's fields."""
        return tuple(field.name for field in fields(self.config) if field.init)

    def configuration(self, values: Mapping[str, Any]) -> Any:
        """The configuration with these values, else defaults.

        Raises:
            ValueError: A key is not a field, or a value is not allowed; the message says what is.
        """
        return from_json(self.config, values)

    def columns(self, config: Any) -> tuple[str, ...]:
        """Columns of the zoo that a configuration names to be learned; of those that learn "all", none."""
        named = [getattr(config, name) for name in ("target", "targets") if name in self.fields]
        return tuple(name.strip() for text in named if text not in ("", "all") for name in text.split(","))

    def fit(self, config: Any, data: FitData) -> Fit:
        """Begins a fit.

        Raises:
            ValueError: The networks, or their tasks, are none that it can be fitted to.
        """
        self.check_tasks(member.task for population in data.training for member in population.members)
        self.check_targets(data.dataset.task)
        fit: Fit = resolved(self.begin)(config, data)
        return fit

    def from_files(self, files: Mapping[str, bytes]) -> Artifact:
        """Loads an artifact that a fit of this trainable has left."""
        artifact: Artifact = resolved(self.load)(files)
        return artifact

    def check_tasks(self, tasks: Iterable[str]) -> None:
        """Raises a ``ValueError`` where the class tasks of a zoo's training members are too few or too many for it."""
        found = set(tasks)
        if self.tasks == "several" and len(found) < FEWEST_TASKS:
            raise ValueError(
                f"{self.name} needs a zoo of {FEWEST_TASKS} or more tasks; this one has {len(found - {''})}: generate "
                "one such as digits-tasks or mnist-tasks"
            )
        if self.tasks == "one" and len(found) > 1:
            raise ValueError(
                f"{self.name} needs a zoo whose networks all have one task; this one has {len(found)}: generate one "
                "with --set task=…"
            )

    def check_targets(self, task: Task) -> None:
        """Raises a ``ValueError`` where targets are values though it needs classes."""
        if self.needs_classes and not task.has_classes:
            raise ValueError(
                f"{self.name} needs classes to tell apart; this data set's loss is {task.loss!r}: take a zoo of a data "
                "set such as digits or mnist"
            )

    def steps_of(self, config: Any) -> int:
        """In how many steps a code is improved for each network when it is encoded."""
        return int(getattr(config, self.encode_steps)) if self.encode_steps else 0

    def known_before(self, config: Any, architectures: Sequence[Architecture]) -> Mapping[str, float]:
        """What config and networks tell without a fit; see ``check``."""
        found: Mapping[str, float] = {} if self.check is None else resolved(self.check)(config, architectures)
        return found


def resolved(reference: Reference) -> Callable[..., Any]:
    """The function that a reference names."""
    if not isinstance(reference, str):
        return reference
    module, _, attribute = reference.partition(":")
    function: Callable[..., Any] = operator.attrgetter(attribute)(importlib.import_module(module))
    return function


def call(reference: Reference, *arguments: Any) -> Any:
    """Calls what a reference names; with ``functools.partial`` it gives a reference its first arguments."""
    return resolved(reference)(*arguments)


def run(fit: Fit) -> Fit:
    """Trains a fit to its end: the plain loop of scripts and tests."""
    while fit.epoch < fit.epochs:
        fit.train_epoch()
    return fit
