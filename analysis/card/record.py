"""The card of a zoo as a record: tidy tables of what was measured, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from zoo.config import to_json
from zoo.metric import Metric


@dataclass(frozen=True, kw_only=True)
class Card:
    """The card of a zoo: what there is one of, and tables with one row for each measured thing.

    Attributes:
        about: What there is one of: which zoo it is, where it comes from, what of it was sampled.
        score: What members are judged by, on test examples.
        metrics: All metrics of the tables, by their names there.
        absent: Why nothing was measured on examples; empty where it was.
        distributions: A row for each set of values, see ``Findings``: its ``metric``, the ``layout`` and ``tensor``
            that it is of (-1 and empty where of neither), what it is grouped ``by`` and the group's ``value``.
        histograms: A row for each bin, likewise.
        axes: A row for each column of the members: its ``meaning`` and ``kind`` ("choice", "number", "seed", "name",
            or "constant" with its ``value``), ``distinct`` values, members for which it is ``unknown``, whether it is
            ``logarithmic``, and the share of the variance of scores that it ``explains`` (ε²).
        epochs: A row for each: ``snapshots``, and how many of them ``diverged``.
        layouts: A row for each parameter layout, that with the most members first.
        tensors: A row for each tensor of the layouts that are described one by one.
        tasks: A row for each task: its ``members`` and the ``split`` that they are in.
        shared: A row for each thing that members have in common: ``groups``, members of the ``largest``, groups with
            members in several splits (``across``) and those with members ``held_out`` for testing.
        subsets: A row for each ``size`` of small training subsets: ``members``, different ``subsets``, and the share
            of members that know theirs by heart (``complete``).
        matrix: A row for each two of some members: how similar their outputs are.
        uses: A row for each purpose: ``verdict`` and ``reason``.
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
    uses: pd.DataFrame = field(default_factory=pd.DataFrame)
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
