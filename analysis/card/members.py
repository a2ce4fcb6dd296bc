"""What the table of a zoo says of all its members: scores by epoch, split, task and axis; what varies, what is shared.

Shape letters: M members, R rows (snapshots).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.card.describe import Row, bins, describe, even_edges
from analysis.card.words import attribute_words
from zoo.data import Dataset
from zoo.data.task import METRICS
from zoo.metric import Metric
from zoo.population import Member
from zoo.storage.rows import MEMBER_COLUMNS, SPLITS
from zoo.storage.zoo import Zoo

GAP = "generalization_gap"
SCORE_BINS, NUMBER_BINS = 50, 24
# Numbers with more values than this are shown in ranges, of which there are so many.
MOST_LEVELS, RANGES = 16, 8
# Fewer members a level, and a share of explained variance would be noise.
MEMBERS_A_LEVEL = 4
# What names a random stream or a piece of the data: that it differs says something, its size nothing.
SEEDS = re.compile(r".*(seed|_index)")
# Columns that members may share, and that would leak from one split into another.
SHARED = {
    "seed": ("seed",),
    "minibatch order": ("order_seed",),
    "training subset": ("subset_seed", "subset_size", "subset_index", "training_fraction"),
    "task": ("task",),
}
# A network that has learned its subset by heart scores so much on it.
MEMORIZED = 0.99
MEANINGS = {
    "activation": "Activation function.",
    "architecture": "Layers with their widths, from input to outputs.",
}


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """The table of a zoo without weights.

    Attributes:
        score: What members are judged by.
        metrics: The declared metric of each measured column.
        member_R: Member of each row; rows are sorted by member, then epoch.
        epoch_R: Its epoch.
        diverged_R: Whether it diverged.
        values: Each measured column, NaN where the snapshot diverged.
        last_M: For each member, its row of the highest epoch.
        last: These rows, without lists, with the columns of ``extra`` that :meth:`of` was given.
    """

    score: Metric
    metrics: Mapping[str, Metric]
    member_R: np.ndarray
    epoch_R: np.ndarray
    diverged_R: np.ndarray
    values: Mapping[str, np.ndarray]
    last_M: np.ndarray
    last: pd.DataFrame

    @classmethod
    def of(cls, zoo: Zoo, data: Dataset | None, extra: Mapping[str, Sequence[object]]) -> Snapshots:
        """Reads the table of a zoo; ``extra`` are further columns of its members."""
        table = zoo.snapshots
        member_R, diverged_R = table["member"].to_numpy(), table["diverged"].to_numpy()
        last_M = np.flatnonzero(np.r_[member_R[1:] != member_R[:-1], True])
        score, metrics = measured_columns(table.schema.names, data)
        values = {name: np.where(diverged_R, np.nan, table[name].to_numpy()) for name in metrics}
        flat = [field.name for field in table.schema if not pa.types.is_list(field.type)]
        last = table.select(flat).take(pa.array(last_M)).to_pandas()
        last = last.assign(**{name: values_R[last_M] for name, values_R in values.items()})
        imported = imported_columns(last.pop("imported")) if "imported" in last else {}
        for name, column in {**extra, **imported}.items():
            last[name] = pd.Series(list(column), dtype=object)
        return cls(
            score=score,
            metrics=metrics,
            member_R=member_R,
            epoch_R=table["epoch"].to_numpy(),
            diverged_R=diverged_R,
            values=values,
            last_M=last_M,
            last=last,
        )

    @property
    def test(self) -> str:
        """The column of the score on test examples."""
        return f"test_{self.score.name}"

    @property
    def tasks(self) -> list[str]:
        """The classes that each member tells apart; empty for the whole data set."""
        found: list[str] = self.last["task"].fillna("").tolist() if "task" in self.last else [""] * len(self.last)
        return found

    def epochs(self) -> pd.DataFrame:
        """The table of epochs."""
        frame = pd.DataFrame({"epoch": self.epoch_R, "snapshots": 1, "diverged": self.diverged_R.astype(int)})
        return frame.groupby("epoch", as_index=False).sum()

    def by_group(self) -> Iterator[Row]:
        """Scores by epoch, split, task and size of small subsets; and test scores of all that is ``trained`` at all."""
        for epoch in np.unique(self.epoch_R).tolist():
            for name, values_R in self.values.items():
                yield describe(values_R[self.epoch_R == epoch], metric=name, by="epoch", value=epoch)
        yield describe(self.values[self.test][self.epoch_R > 0], metric=self.test, by="trained")
        scores = [name for name in (f"train_{self.score.name}", self.test) if name in self.last]
        groupings: dict[str, list[Any]] = {
            "split": list(SPLITS),
            "task": sorted(filter(None, set(self.tasks)), key=_classes),
        }
        if "subset_size" in self.last:
            groupings["subset_size"] = sorted(int(size) for size in self.last["subset_size"].dropna().unique() if size)
        for by, groups in groupings.items():
            for group in groups:
                chosen = self.last[self.last[by] == group]
                yield from (describe(chosen[name], metric=name, by=by, value=group) for name in scores)

    def final(self) -> Iterator[Row]:
        """Histograms of what last snapshots reach; those of the score have the same edges for all splits."""
        scores = [f"{split}_{self.score.name}" for split in SPLITS if f"{split}_{self.score.name}" in self.last]
        edges = even_edges(self.last[scores].to_numpy(), SCORE_BINS)
        for name in scores:
            yield from bins(self.last[name], edges, metric=name)
        if GAP in self.last:
            yield from bins(self.last[GAP], even_edges(self.last[GAP], SCORE_BINS), metric=GAP)


def measured_columns(names: Iterable[str], data: Dataset | None) -> tuple[Metric, dict[str, Metric]]:
    """What members are judged by, and for each measured column its metric, made of those that the task declares."""
    columns = {name: match for name in names if (match := re.fullmatch(r"(train|validation|test)_(\w+)", name))}
    bases = dict.fromkeys(match[2] for match in columns.values())
    declared: dict[str, Metric] = {}
    for metric in [*(data.task.metrics if data else ()), *(each for task in METRICS.values() for each in task)]:
        declared.setdefault(metric.name, metric)
    for base in bases:
        words = base.replace("_", " ")
        declared.setdefault(base, Metric(name=base, label=words, description=f"{words.capitalize()}."))
    preferred = data.task.score.name if data and data.task.score else next((b for b in bases if b != "loss"), "loss")
    score = declared[preferred if preferred in bases else next(iter(bases))]
    metrics = {}
    for name, match in columns.items():
        split, base = ("training" if match[1] == "train" else match[1]), declared[match[2]]
        told = f"{base.description} On {split} examples."
        metrics[name] = replace(base, name=name, label=f"{split} {base.label}", description=told)
    if GAP in set(names):
        told = f"Training minus test {score.label}: how much worse a network is on what it was not trained on."
        metrics[GAP] = Metric(name=GAP, label="generalization gap", unit=score.unit, direction="", description=told)
    return score, metrics


def axes(snapshots: Snapshots) -> tuple[pd.DataFrame, list[Row], list[Row]]:
    """What differs between members, and what does not.

    Returns:
        The table of axes, that which explains most first, seeds and constants last; rows of distributions: of numbers,
        and of test scores for each value or range of values; rows of histograms of numbers.
    """
    last, score_M = snapshots.last, snapshots.last[snapshots.test].to_numpy()
    words = attribute_words(Member)
    ours = [name for name in ("activation", *MEMBER_COLUMNS) if name != "member" and name in last]
    extra = [name for name in last if name == "architecture" or name.startswith("imported ")]
    found: list[Row] = []
    described: list[Row] = []
    binned: list[Row] = []
    for name in (*ours, *extra):
        column = last[name]
        values = column.dropna()
        distinct, unknown = int(values.nunique()), int(column.isna().sum())
        row: Row = {"name": name, "meaning": MEANINGS.get(name, words.get(name, "")), "kind": "constant", "value": ""}
        row |= {"distinct": distinct, "unknown": unknown, "logarithmic": False, "explains": np.nan}
        if distinct + bool(unknown) < 2:
            row["value"] = text_of(values.iloc[0]) if distinct else ""
            if distinct and not _is_nothing(name, values.iloc[0]):
                found.append(row)
            continue
        found.append(row)
        if SEEDS.fullmatch(name):
            row["kind"] = "seed"
            continue
        numeric = pd.api.types.is_numeric_dtype(values.infer_objects()) and not isinstance(
            values.iloc[0], bool | np.bool_
        )
        row["kind"] = "number" if numeric and distinct > MOST_LEVELS else "choice"
        groups = _ranges(column) if row["kind"] == "number" else _choices(column, numeric)
        if unknown:
            groups["unknown"] = column.isna().to_numpy()
        row["explains"] = explained_variance([score_M[rows_M] for rows_M in groups.values()])
        if row["kind"] == "number":
            numbers = values.astype(float)
            row["logarithmic"] = bool(0 < numbers.min() < numbers.max() / 20)
            described.append(describe(numbers, metric=name))
            edges = even_edges(numbers, NUMBER_BINS, logarithmic=row["logarithmic"])
            binned += bins(numbers, edges, metric=name)
        if len(groups) > MOST_LEVELS:
            groups = dict(sorted(groups.items(), key=lambda group: -int(group[1].sum()))[:MOST_LEVELS])
        described += [
            describe(score_M[rows_M], metric=snapshots.test, by=f"axis {name}", value=value)
            for value, rows_M in groups.items()
        ]
    order = {"choice": 0, "number": 0, "seed": 1, "constant": 2}
    found.sort(key=lambda row: (order[row["kind"]], -np.nan_to_num(row["explains"])))
    columns = ["name", "meaning", "kind", "value", "distinct", "unknown", "logarithmic", "explains"]
    return pd.DataFrame(found, columns=columns), described, binned


def explained_variance(groups: Sequence[np.ndarray]) -> float:
    """ε²: the share of the variance that lies between groups, corrected for what chance puts there.

    Returns:
        0 to 1, or NaN where there are fewer than two groups, too few values or no variance.
    """
    groups = [finite for group in groups if len(finite := group[np.isfinite(group)])]
    everything = np.concatenate(groups) if groups else np.empty(0)
    if len(groups) < 2 or len(everything) < MEMBERS_A_LEVEL * len(groups) or not everything.var():
        return float("nan")
    within = sum(group.var() * len(group) for group in groups) / (len(everything) - len(groups))
    return float(np.clip(1 - within / everything.var(ddof=1), 0, 1))


def tasks_table(snapshots: Snapshots) -> pd.DataFrame:
    """The tasks by their classes; none where all members have the whole data set."""
    last = snapshots.last.assign(task=snapshots.tasks)
    rows = [
        {"task": task, "members": len(chosen), "split": ", ".join(s for s in SPLITS if (chosen["split"] == s).any())}
        for task, chosen in last.groupby("task")
        if any(snapshots.tasks)
    ]
    rows.sort(key=lambda row: _classes(str(row["task"])))
    return pd.DataFrame(rows, columns=["task", "members", "split"])


def shared_table(snapshots: Snapshots) -> pd.DataFrame:
    """What several members have in common, and whether it keeps to one split."""
    last, rows = snapshots.last, []
    whole = (last.get("training_fraction", 1) == 1) & (last.get("subset_size", 0) == 0)
    for what, columns in SHARED.items():
        names = [name for name in columns if name in last]
        trivial = {"task": not any(snapshots.tasks), "training subset": bool(np.all(whole))}
        if names and not last[names].isna().to_numpy().any() and not trivial.get(what):
            groups = last.groupby(names)["split"].agg(["size", "nunique"])
            across = int((groups["nunique"] > 1).sum())
            rows.append({"what": what, "groups": len(groups), "largest": int(groups["size"].max()), "across": across})
    return pd.DataFrame(rows, columns=["what", "groups", "largest", "across"])


def subsets_table(snapshots: Snapshots) -> pd.DataFrame:
    """Members that are trained on small subsets, by their size."""
    last, rows = snapshots.last, []
    chosen = last[last["subset_size"].fillna(0) > 0] if "subset_size" in last else last[:0]
    for size, members in chosen.groupby("subset_size"):
        subsets = members.groupby(["subset_seed", "subset_index"]).ngroups
        complete = float((members[f"train_{snapshots.score.name}"] >= MEMORIZED).mean())
        rows.append({"size": int(size), "members": len(members), "subsets": int(subsets), "complete": complete})
    return pd.DataFrame(rows, columns=["size", "members", "subsets", "complete"])


def imported_columns(texts: Iterable[str | None]) -> dict[str, list[object]]:
    """The settings that imported members had at their source, a column for each that is not nested.

    Args:
        texts: For each member the JSON of its own settings, or nothing.
    """
    rows = [json.loads(text) if text else {} for text in texts]
    names = dict.fromkeys(
        name for row in rows for name, value in row.items() if isinstance(value, str | int | float | bool)
    )
    return {f"imported {name}": [row.get(name) for row in rows] for name in names}


def text_of(value: Any) -> str:
    """A value of an axis."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, int | float) and not isinstance(plain, bool):
        return f"{plain:g}"
    return str(plain) or "(none)"


def _ranges(column: pd.Series) -> dict[str, np.ndarray]:
    """Ranges of a number that hold about equally many members each."""
    numbers_M = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    edges = np.unique(np.nanquantile(numbers_M, np.linspace(0, 1, RANGES + 1)))
    place_M = np.clip(np.searchsorted(edges, numbers_M, side="right") - 1, 0, len(edges) - 2)
    parts = [(place_M == place) & np.isfinite(numbers_M) for place in range(len(edges) - 1)]
    return {f"{numbers_M[m].min():.2g} … {numbers_M[m].max():.2g}": m for m in parts if m.any()}


def _choices(column: pd.Series, numeric: bool) -> dict[str, np.ndarray]:
    """The members of each value: numbers by size, names by how many members have them, then by name."""
    counts = column.value_counts()
    order = sorted(counts.index, key=(lambda value: value) if numeric else (lambda value: (-counts[value], str(value))))
    return {text_of(value): (column == value).to_numpy(dtype=bool, na_value=False) for value in order}


def _is_nothing(name: str, value: object) -> bool:
    """Whether a value says that members have no such thing."""
    return value == "" or (name.startswith("subset_") and value == 0)


def _classes(task: str) -> tuple[int, ...]:
    return tuple(int(part) for part in task.split("-") if part.isdigit())
