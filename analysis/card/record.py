"""The card of a zoo as a record: tidy tables of what was measured, and its JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.pages.distributions import DESCRIBED, described, even_edges
from zoo.config import to_json
from zoo.metric import Metric

Row = dict[str, Any]
# Of what a set of values is: metric, layout and tensor where it is of one, what it is grouped by, and the group.
KEYS: Row = {"metric": "", "layout": -1, "tensor": "", "by": "", "value": ""}
# The columns of the tables, which have a row for each measured thing.
TABLES: Mapping[str, tuple[str, ...]] = {
    # Each set of values, and what ``described`` says of it.
    "distributions": (*KEYS, *DESCRIBED),
    # Each bin: its edges, and the share of all finite values.
    "histograms": (*KEYS, "low", "high", "count", "share"),
    # Each column of the members: its kind ("choice", "number", "seed", "name", or "constant" with its value), different
    # values, members for which it is unknown, and the share of the variance of scores that it explains (ε²).
    "axes": ("name", "meaning", "kind", "value", "distinct", "unknown", "logarithmic", "explains"),
    "epochs": ("epoch", "snapshots", "diverged"),
    # Each parameter layout, that with the most members first; how many are in training, read and so on.
    "layouts": (
        *("layout", "label", "parameters", "activations", "members", "training"),
        *("read", "measured", "compared", "unaligned"),
    ),
    # Those of the layouts that are described one by one.
    "tensors": ("layout", "tensor", "shape", "trainable"),
    "tasks": ("task", "members", "split"),
    # Each thing that members have in common: groups, members of the largest, groups with members in several splits and
    # those with members held out for testing.
    "shared": ("what", "groups", "largest", "across", "held_out"),
    # Each size of small training subsets, and the share of members that know theirs by heart.
    "subsets": ("size", "members", "subsets", "complete"),
    # Each two of some members, by rising accuracy; none where members have different tasks.
    "matrix": ("member", "other", "similarity"),
    "uses": ("purpose", "verdict", "reason"),
}


class Findings:
    """A card in the making: the rows of its tables, and what was sampled for them.

    Attributes:
        rows: By table; those of distributions and histograms are added by :meth:`add`.
        sample: How many members and examples were looked at.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {name: [] for name in TABLES}
        self.sample: Row = {}

    def add(
        self, values: Iterable[float], metric: str, *, bins: int = 0, edges: np.ndarray | None = None, **keys: Any
    ) -> None:
        """Describes values of any shape, and bins the finite ones where ``bins`` or their ``edges`` are given.

        Args:
            values: The values.
            metric: What they are of.
            bins: At most so many, equally wide.
            edges: Of bins.
            keys: Further ones of :data:`KEYS`.
        """
        keys, flat = {**KEYS, "metric": metric, **keys}, np.asarray(values, dtype=np.float64).ravel()
        row = {**keys, **described(flat)}
        self.rows["distributions"].append(row)
        edges = even_edges(flat, bins) if bins else edges
        if edges is not None and row["count"]:
            counts, _ = np.histogram(flat[np.isfinite(flat)], edges)
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
                share = count / row["count"]
                self.rows["histograms"].append({**keys, "low": low, "high": high, "count": count, "share": share})

    def add_groups(self, values: pd.Series, metric: str, by: str, groups: Any, **keys: Any) -> None:
        """Describes the values of each group, in order; of categories also those that have none."""
        for value, rows in values.groupby(groups, observed=False):
            self.add(rows, metric, by=by, value=value, **keys)

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by their names."""
        return {name: pd.DataFrame(rows, columns=TABLES[name]) for name, rows in self.rows.items()}


@dataclass(frozen=True, kw_only=True)
class Card:
    """The card of a zoo: what there is one of, and the tables that :data:`TABLES` tells of.

    Attributes:
        about: What there is one of: which zoo it is, where it comes from, what of it was sampled.
        score: What members are judged by, on test examples.
        metrics: All metrics of the tables, by their names there.
        absent: Why nothing was measured on examples; empty where it was.
        limits: What to keep in mind, most serious first.
    """

    about: Mapping[str, Any]
    score: Metric
    metrics: Mapping[str, Metric]
    absent: str
    distributions: pd.DataFrame
    histograms: pd.DataFrame
    axes: pd.DataFrame
    epochs: pd.DataFrame
    layouts: pd.DataFrame
    tensors: pd.DataFrame
    tasks: pd.DataFrame
    shared: pd.DataFrame
    subsets: pd.DataFrame
    matrix: pd.DataFrame
    uses: pd.DataFrame
    limits: tuple[str, ...] = ()

    @property
    def test(self) -> str:
        """The name of the score on test examples."""
        return f"test_{self.score.name}"

    @property
    def similarity(self) -> str:
        """The metric that compares the outputs of two members."""
        return "concordance" if "concordance" in self.metrics else "agreement"

    def distribution(self, metric: str, by: str = "", layout: int = -1, tensor: str = "") -> pd.DataFrame:
        """A row for each value of what a metric is grouped by, where anything was measured."""
        return self.groups(metric, by, layout, tensor).query("count > 0")

    def groups(self, metric: str, by: str = "", layout: int = -1, tensor: str = "") -> pd.DataFrame:
        """A row for each value of what a metric is grouped by, with the number of ``members``."""
        rows = _where(self.distributions, metric=metric, by=by, layout=layout, tensor=tensor)
        return rows.assign(members=rows["count"] + rows["missing"])

    def histogram(self, metric: str, layout: int = -1, value: str = "") -> pd.DataFrame:
        """The bins of a metric; none where it was not measured."""
        return _where(self.histograms, metric=metric, layout=layout, value=value)

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON values; a table has ``columns`` and ``data``, as ``pandas.DataFrame`` takes them."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {n: _plain(v) if isinstance(v, pd.DataFrame) else to_json(v) for n, v in values.items()}


def _where(table: pd.DataFrame, **keys: Any) -> pd.DataFrame:
    """The rows of a table that have these values in these columns."""
    return table[(table[list(keys)] == pd.Series(keys)).all(axis=1)]


def _plain(table: pd.DataFrame) -> dict[str, Any]:
    objects = table.astype(object)
    return {"columns": list(table), "data": to_json(objects.where(objects.notna(), None).to_numpy().tolist())}
