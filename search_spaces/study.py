"""A study: what is tried, what is measured, under which limits, and how long; free of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces.spaces import Prefixed, find_space
from trainables.registry import find_trainable
from trainables.trainable import Trainable
from zoo.config import require, to_json
from zoo.metric import Metric, by_name

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from zoo.architecture import Architecture

TRAINABLE = "trainable"
"""Name of the parameter that chooses among several trainables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """What a trial is to fit.

    Attributes:
        trainable: Name of the trainable.
        config: All fields of its configuration.
    """

    trainable: str
    config: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A search, or a fit of each of some trainables; flat, stored as JSON.

    Attributes:
        name: Name of the study.
        trainables: Names in ``trainables.registry.TRAINABLES`` or ``module:attribute``. Of several, all of one kind,
            each trial takes one.
        spaces: For each trainable its space: a name in ``SPACES`` or ``module:attribute``. None at all where
            nothing is searched: each trainable is fitted once, as its configuration says.
        objectives: What is optimized: names of the trainables' metrics, which say in which direction.
        limits: For names of metrics the worst value that counts. What a trainable knows before it is fitted, such
            as ``shared_bytes``, Optuna is told before the trial runs.
        trials: How many fits to try.
        epochs: Length of each fit, for trainables that have epochs; as their configuration says where ``None``.
        settings: Fixed fields of the trainables' configurations; they win over the space.
        preset: Name of settings of the trainables, of those that have it; they take the place of defaults, so that
            ``epochs``, the space and ``settings`` win over them.
        validation_members: How many validation members metrics are measured on.
        layout: Which parameter layout, by its number in the zoo; all where ``None``.
        description: One sentence for listings.
        cost: In words, how long a trial takes on which zoo.
    """

    name: str
    trainables: tuple[str, ...]
    spaces: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ("code_bits_per_weight", "agreement")
    limits: Mapping[str, float] = field(default_factory=dict)
    trials: int = 16
    epochs: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    preset: str = ""
    validation_members: int = 256
    layout: int | None = None
    description: str = ""
    cost: str = ""

    def __post_init__(self) -> None:
        require(len(self.trainables) == len(set(self.trainables)) > 0, self, "trainables", "one or more, each once")
        require(
            len(self.spaces) in (0, len(self.trainables)), self, "spaces", f"one for each of {self.trainables}, or none"
        )
        for name in ("trials", "validation_members"):
            require(getattr(self, name) > 0, self, name, "1 or more")
        require(self.epochs is None or self.epochs > 0, self, "epochs", "1 or more, or None")
        require(self.layout is None or self.layout >= 0, self, "layout", "0 or more, or None")
        for space in self.spaces:
            if ":" not in space:  # the user's own is imported only where it is used
                find_space(space)
        if all(":" not in name for name in self.trainables):
            self.check()

    def check(self) -> tuple[Trainable, ...]:
        """The trainables, if all that the study says of them is true.

        Raises:
            ValueError: A trainable is unknown or of another kind than the first, an objective or a limit is none of
                their metrics, a setting none of their fields, or the preset none of theirs.
        """
        found = tuple(find_trainable(name) for name in self.trainables)
        kinds = dict.fromkeys(trainable.kind for trainable in found)
        require(len(kinds) == 1, self, "trainables", f"trainables of one kind, not of {' and '.join(kinds)}")
        metrics = self.metrics(found)
        optimized = [name for name, metric in metrics.items() if metric.direction]
        known = 0 < len(self.objectives) == len(set(self.objectives)) and set(self.objectives) <= set(optimized)
        require(known, self, "objectives", f"one or more of {', '.join(optimized)}, each once")
        require(set(self.limits) <= set(optimized), self, "limits", f"numbers for some of {', '.join(optimized)}")
        fields = dict.fromkeys(name for trainable in found for name in trainable.fields)
        require(set(self.settings) <= set(fields), self, "settings", f"values for some of {', '.join(fields)}")
        presets = dict.fromkeys(name for trainable in found for name in trainable.presets)
        allowed = ", ".join(presets) or f"none: {' and '.join(self.trainables)} has no presets"
        require(self.preset in ("", *presets), self, "preset", allowed)
        for trainable in found:
            self.configuration(trainable, {})
        return found

    @staticmethod
    def metrics(trainables: Sequence[Trainable]) -> Mapping[str, Metric]:
        """The metrics that all of some trainables have."""
        return by_name(
            metric for metric in trainables[0].metrics if all(metric in other.metrics for other in trainables[1:])
        )

    @property
    def directions(self) -> tuple[str, ...]:
        """For each objective whether "min" or "max" is better."""
        metrics = self.metrics(tuple(find_trainable(name) for name in self.trainables))
        return tuple(metrics[name].direction for name in self.objectives)

    @property
    def kind(self) -> str:
        """Kind of what is fitted, the same for all trainables."""
        return find_trainable(self.trainables[0]).kind

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this study and no other: all but how long it goes on and what is said of it."""
        return {name: value for name, value in to_json(self).items() if name not in ("trials", "description", "cost")}

    @property
    def wanted_trials(self) -> int:
        """How many trials there are to be: one of each trainable where nothing is searched."""
        return self.trials if self.spaces else len(self.trainables)

    def configuration(self, trainable: Trainable, suggested: Mapping[str, Any]) -> dict[str, Any]:
        """All fields of a trainable's configuration: settings, else what was suggested, else preset, else defaults.

        Raises:
            ValueError: A suggestion is not a field, or a value is not allowed.
        """
        epochs = {"epochs": self.epochs} if self.epochs and "epochs" in trainable.fields else {}
        fixed = {name: value for name, value in self.settings.items() if name in trainable.fields}
        preset = trainable.presets.get(self.preset, {})
        complete: dict[str, Any] = to_json(trainable.configuration({**preset, **epochs, **suggested, **fixed}))
        return complete

    def bound_space(self, architectures: Sequence[Architecture]) -> Callable[[BaseTrial], Proposal]:
        """The space for networks of a zoo, with the limits told to each trial that can be told before it runs.

        Args:
            architectures: Those of the networks.

        Returns:
            A function from a trial to what it is to fit.
        """
        trainables = dict(zip(self.trainables, self.check(), strict=True))
        spaces = dict(zip(self.trainables, self.spaces, strict=False))

        def propose(trial: BaseTrial) -> Proposal:
            name = self.trainables[0]
            asked: Any = trial
            if len(self.trainables) > 1:
                name = trial.suggest_categorical(TRAINABLE, list(self.trainables))
                asked = Prefixed(trial, name)
            trainable = trainables[name]
            suggested = find_space(spaces[name])(asked, self.settings) if spaces else {}
            config = self.configuration(trainable, suggested)
            known = trainable.known_before(trainable.configuration(config), architectures)
            for metric, excess in self.excesses(trainable, known).items():
                trial.set_constraint(metric, excess)
            return Proposal(trainable=name, config=config)

        return propose

    def excesses(self, trainable: Trainable, values: Mapping[str, float]) -> dict[str, float]:
        """By how much values leave their limits, above 0 for those that do; only for limits with a value."""
        metrics = by_name(trainable.metrics)
        return {
            name: (values[name] - limit) * (-1 if metrics[name].direction == "max" else 1)
            for name, limit in self.limits.items()
            if name in values
        }
