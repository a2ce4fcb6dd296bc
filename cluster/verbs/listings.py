"""``recipes``, ``studies``, ``trainables``, ``evaluators``: what there is by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster import options
from cluster.display import columns
from cluster.verb import Result, Verb
from zoo.words import nearest

if TYPE_CHECKING:
    from trainables.trainable import Trainable


@dataclass(frozen=True, kw_only=True)
class Listing(Result):
    """What there is: what is to say of each, under the same words."""

    entries: Sequence[Mapping[str, Any]]

    @property
    def text(self) -> str:
        heads = tuple(word.replace("_", " ") for word in self.entries[0])
        return columns([heads, *(tuple(map(_words, entry.values())) for entry in self.entries)])


@dataclass(frozen=True, kw_only=True)
class OneTrainable(Result):
    """What can be fitted: what it is, the fields of its configuration with their defaults, and its presets."""

    trainable: str
    kind: str
    description: str
    fields: Sequence[Mapping[str, Any]]
    presets: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, trainable: Trainable) -> OneTrainable:
        from zoo.config import attribute_words, to_json

        words: dict[str, str] = {}
        for base in reversed(trainable.config.__mro__):
            words |= attribute_words(base)
        return cls(
            trainable=trainable.name,
            kind=trainable.kind,
            description=trainable.description,
            fields=[
                {"field": name, "default": to_json(default), "description": words.get(name, "")}
                for name, default in _defaults(trainable.config).items()
            ],
            presets=trainable.presets,
        )

    @property
    def text(self) -> str:
        heads = tuple(self.fields[0]) if self.fields else ()
        fields = columns([heads, *(tuple(str(value) for value in entry.values()) for entry in self.fields)])
        presets = [f"  {name}: {_settings(values)}" for name, values in self.presets.items()]
        return "\n".join(
            [
                f"{self.trainable} ({self.kind}): {self.description}",
                *(["", "fields, each for --set:", fields] if self.fields else []),
                *(["", "presets, each for --preset:", *presets] if presets else []),
            ]
        )


def _defaults(config: type[Any]) -> dict[str, Any]:
    """For each field of a configuration its default; "required" where it has none."""
    missing = dataclasses.MISSING
    return {
        field.name: field.default_factory()
        if field.default_factory is not missing
        else ("required" if field.default is missing else field.default)
        for field in dataclasses.fields(config)
        if field.init
    }


def _settings(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else value or "–"


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipes(Verb):
    """List the recipes of zoos: how many members, minutes of one core, what they are and reach."""

    def run(self) -> Listing:
        from zoo.recipes import RECIPES

        entries = [
            {
                "recipe": name,
                "dataset": recipe.dataset,
                "members": recipe.members,
                "core_minutes": recipe.cost and recipe.members * recipe.epochs * recipe.cost / 60,
                "description": _sentences(recipe.description, recipe.expected and f"Expected: {recipe.expected}."),
            }
            for name, recipe in RECIPES.items()
        ]
        return Listing(entries=entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Studies(Verb):
    """List the studies that search knows: what they fit, how many trials, what they are for."""

    def run(self) -> Listing:
        from search_spaces.studies import STUDIES

        entries = [
            {
                "study": name,
                "kind": study.kind,
                "trials": study.wanted_trials,
                "objectives": ", ".join(study.objectives),
                "description": _sentences(study.description, study.cost and f"Cost: {study.cost}."),
            }
            for name, study in STUDIES.items()
        ]
        return Listing(entries=entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trainables(Verb):
    """List what can be fitted: codecs, autoencoders, predictors …; of one, its fields and its presets."""

    name: Annotated[
        str | None, typer.Argument(help=f"One of them, {options.OWN}", autocompletion=options.trainable_names)
    ] = None
    kind: Annotated[str | None, typer.Option(help="Only those of a kind, such as codec.")] = None

    def run(self) -> Listing | OneTrainable:
        """Lists them.

        Raises:
            ValueError: There is no such kind, or no such trainable.
        """
        from trainables.registry import TRAINABLES, find_trainable

        if self.name is not None:
            return OneTrainable.of(find_trainable(self.name))
        kinds = list(dict.fromkeys(trainable.kind for trainable in TRAINABLES.values()))
        if self.kind not in (None, *kinds):
            raise ValueError(f"--kind is {self.kind!r}; {nearest(str(self.kind), kinds)}allowed: {', '.join(kinds)}")
        entries = [
            {"trainable": name, "kind": trainable.kind, "description": trainable.description}
            for name, trainable in TRAINABLES.items()
            if self.kind in (None, trainable.kind)
        ]
        return Listing(entries=entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluators(Verb):
    """List what analyze can measure, in which metrics."""

    def run(self) -> Listing:
        from analysis.evaluators.registry import EVALUATORS

        metrics = {name: [each.metric.name for each in one.measures] for name, one in EVALUATORS.items()}
        entries = [
            {
                "evaluator": name,
                "judges": evaluator.judges,
                "description": _sentences(evaluator.description, f"Metrics: {', '.join(metrics[name])}."),
            }
            for name, evaluator in EVALUATORS.items()
        ]
        return Listing(entries=entries)
