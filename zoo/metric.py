"""Metrics: what is measured, said once. Tables, axis labels, objectives and the glossary are made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from zoo.config import require

Direction = Literal["min", "max", ""]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One number that is measured.

    Attributes:
        name: Its name in results and tables; the unit belongs in it where there is one (``accuracy_drop_pp``).
        label: The words on axes and in table heads: "agreement", "code bits per weight".
        unit: "bits/weight", "pp", "nats", "s", "bytes", "share" (0 to 1, shown in per cent), or empty.
        direction: Which is better: "min", "max", or "" where neither is.
        description: One sentence for the glossary.
    """

    name: str
    label: str
    unit: str = ""
    direction: Direction = ""
    description: str

    def __post_init__(self) -> None:
        require(self.name.isidentifier(), self, "name", "letters, digits and underscores")
        require(bool(self.label), self, "label", "the words for axes and table heads")
        require(self.direction in ("min", "max", ""), self, "direction", "min, max or empty")
        require(bool(self.description), self, "description", "one sentence")


def by_name(metrics: Iterable[Metric]) -> Mapping[str, Metric]:
    """Metrics by their names.

    Raises:
        ValueError: Two different ones share a name.
    """
    found: dict[str, Metric] = {}
    for metric in metrics:
        if found.setdefault(metric.name, metric) != metric:
            raise ValueError(f"two different metrics are called {metric.name!r}; rename one of them")
    return found
