"""``member``: one network of a zoo, to look at."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cluster import options
from cluster.display import columns
from cluster.stores import open_zoo
from cluster.verb import Result, Verb


@dataclass(frozen=True, kw_only=True)
class OneMember(Result):
    """A member: how it was trained, and of each of its snapshots the metrics and the norm of each layer's weights."""

    zoo: str
    member: int
    split: str
    architecture: str
    trained: Mapping[str, Any]
    snapshots: tuple[Mapping[str, Any], ...]
    layer_norms: tuple[Mapping[str, float | None], ...]

    @property
    def text(self) -> str:
        lines = [f"member {self.member} of {self.zoo}, in its {self.split} split: {self.architecture}", ""]
        lines.append(columns([(name, _words(value)) for name, value in self.trained.items()]))
        for title, rows in (("snapshots", self.snapshots), ("norms of layers", self.layer_norms)):
            heads = tuple(name.replace("_", " ") for name in rows[0])
            lines += ["", title, columns([heads, *(tuple(map(_words, row.values())) for row in rows)])]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member(Verb):
    """Show one network of a zoo: how it was trained, what it reached at each snapshot, its layers."""

    zoo: options.Zoo
    number: Annotated[int, typer.Argument(min=0, help="Its number, as reports name it.")]
    store: options.Store = "./store"

    def run(self) -> OneMember:
        """Reads its snapshots, also those that diverged.

        Raises:
            ValueError: The zoo has no such member.
        """
        from analysis.evaluators.errors import layers
        from zoo.population import Member as Trained

        zoo = open_zoo(self.zoo, self.store)
        if self.number >= len(zoo):
            raise ValueError(f"zoo {zoo.name} has no member {self.number}; allowed: 0 to {len(zoo) - 1}")
        chosen: dict[str, Any] = {
            "members": [self.number], "epochs": zoo.recipe.snapshot_epochs, "include_diverged": True,
        }  # fmt: skip
        table = zoo.snapshots.take(zoo.rows(**chosen)).to_pylist()
        known = {field.name for field in dataclasses.fields(Trained)}
        (population,) = zoo.populations(**chosen)
        places = layers(population.architecture)
        norms = [
            {"epoch": epoch, **{name: _finite(float(weights_P[at].double().norm())) for name, at in places.items()}}
            for epoch, weights_P in zip(population.epochs, population.weights_MP, strict=True)
        ]
        return OneMember(
            zoo=zoo.name,
            member=self.number,
            split=table[0]["split"],
            architecture=f"{population.architecture.summary}, {population.architecture.activation}",
            trained={name: value for name, value in table[0].items() if name in known and value not in (None, "")},
            snapshots=tuple(
                {"epoch": row["epoch"]}
                | {n: _finite(v) for n, v in row.items() if isinstance(v, float) and n not in known}
                for row in table
            ),
            layer_norms=tuple(norms),
        )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _words(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
