"""``analyze`` with its options, until its own file declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cluster import options
from cluster.verb import Planned, Result


@dataclass(frozen=True)
class Told(Result):
    """A result without a record of its own: JSON values, and ``text`` among them."""

    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All but the text."""
        return {key: value for key, value in self.facts.items() if key != "text"}

    @property
    def text(self) -> str:
        return str(self.facts["text"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Analyze(Planned):
    """Measure codecs and autoencoders on held-out networks and examples; write report.html."""

    zoo: options.ZooOption
    study: Annotated[
        str | None, typer.Option(help="A study of the store whose best autoencoders are measured too.")
    ] = None
    store: options.Store = "./store"
    members: Annotated[int | None, typer.Option(min=1, help="How many test networks. (default: 300)")] = None
    codecs: Annotated[str | None, typer.Option(help="Names of codecs, with commas. (default: all)")] = None
    evaluators: Annotated[
        str | None, typer.Option(help="Names or module:attribute, with commas, beside the usual ones.")
    ] = None
    inputs: Annotated[
        str | None,
        typer.Option(help="Other inputs: translation-2, noise-0.1, data sets, with commas. (default: translation-1)"),
    ] = None
    layout: Annotated[int | None, typer.Option(min=0, help="Which parameter layout, where the zoo has several.")] = None
    seed: options.Seed = None

    def plan(self) -> Told:
        """Counts what would be measured."""
        return self._told(dry_run=True)

    def run(self) -> Told:
        """Measures and writes the report."""
        return self._told(dry_run=False)

    def _told(self, *, dry_run: bool) -> Told:
        from cluster.verbs.reporting import run_analyze

        return Told(
            run_analyze(
                self.zoo,
                self.study,
                self.store,
                members=self.members,
                codecs=self.codecs,
                evaluators=self.evaluators,
                inputs=self.inputs,
                layout=self.layout,
                seed=self.seed,
                dry_run=dry_run,
            )
        )
