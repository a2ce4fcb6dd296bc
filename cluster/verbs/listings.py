"""``recipes``, ``studies``, ``trainables``, ``evaluators``: what there is by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cluster.display import columns
from cluster.verb import Result, Verb
from zoo.words import nearest


@dataclass(frozen=True, kw_only=True)
class Listing(Result):
    """What there is: what is to say of each, under the same words."""

    entries: Sequence[Mapping[str, Any]]

    @property
    def text(self) -> str:
        heads = tuple(word.replace("_", " ") for word in self.entries[0])
        return columns([heads, *(tuple(map(_words, entry.values())) for entry in self.entries)])


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
                "trials": study.trials,
                "objectives": ", ".join(study.objectives),
                "description": _sentences(study.description, study.cost and f"Cost: {study.cost}."),
            }
            for name, study in STUDIES.items()
        ]
        return Listing(entries=entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trainables(Verb):
    """List what can be fitted: codecs, autoencoders, predictors."""

    kind: Annotated[str | None, typer.Option(help="Only those of a kind, such as codec.")] = None

    def run(self) -> Listing:
        """Lists them.

        Raises:
            ValueError: There is no such kind.
        """
        from trainables.registry import TRAINABLES

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
