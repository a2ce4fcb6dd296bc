"""What the table of a zoo says of all its members: scores by epoch, split, task and axis; what varies, what is shared.

Shape letters: M members, R rows (snapshots).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.card.describe import Findings, Row, even_edges
from analysis.pages.numbers import plain
from zoo.config import attribute_words
from zoo.data import Dataset
from zoo.data.task import METRICS
from zoo.metric import Metric
from zoo.population import Member
from zoo.storage.rows import GAP, MEMBER_COLUMNS, SPLITS, metrics_among
from zoo.storage.zoo import Zoo

SCORE_BINS, NUMBER_BINS = 50, 24
# Numbers with more values than this are shown in ranges, of which there are so many.
MOST_LEVELS, RANGES = 16, 8
# Fewer members a level, and a share of explained variance would be noise.
MEMBERS_A_LEVEL = 4
# What names a random stream or a piece of the data: that it differs says something, its size nothing.
SEEDS = re.compile(r".*(seed|_index)")
# A text or whole number of which there are more values than this share of the members names them, as files do: there is
# nothing to learn of it.
MOST_NAMES = 0.5
# Columns that members may share, and that would leak from one split into another.
SHARED = {
    "seed": ("seed",),
    "minibatch order": ("order_seed",),
    "training subset": ("subset_seed", "subset_size", "subset_index", "training_fraction"),
    "task": ("task",),
}
# A network that has learned its subset by heart scores so much on it.
MEMORIZED = 0.99
# Before the names of what members had at their source.
IMPORTED = "imported "
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
        every: A row for each snapshot, by member, then epoch: ``member``, ``epoch``, ``diverged`` and each measured
            column, NaN where the snapshot diverged.
        last: For each member, its snapshot of the highest epoch with all columns that are no lists, and the columns of
            ``extra`` that :meth:`of` was given.
    """

    score: Metric
    metrics: Mapping[str, Metric]
    every: pd.DataFrame
    last: pd.DataFrame

    @classmethod
    def of(cls, zoo: Zoo, data: Dataset | None, extra: Mapping[str, Sequence[object]]) -> Snapshots:
        """Reads the table of a zoo; ``extra`` are further columns of its members."""
        table = zoo.snapshots
        score, metrics = measured_columns(table.schema.names, data)
        every = table.select(["member", "epoch", "diverged", *metrics]).to_pandas()
        every.loc[every["diverged"], list(metrics)] = np.nan
        last_M = np.flatnonzero(~every["member"].duplicated(keep="last"))
        flat = [field.name for field in table.schema if not pa.types.is_list(field.type)]
        last = table.select(flat).take(pa.array(last_M)).to_pandas()
        last[list(metrics)] = every[list(metrics)].to_numpy()[last_M]
        imported = imported_columns(last.pop("imported")) if "imported" in last else {}
        ours = [last[name].tolist() for name in ("activation", *MEMBER_COLUMNS) if name in last]
        imported = {name: column for name, column in imported.items() if column not in ours}  # told once
        for name, column in {**extra, **imported}.items():
            last[name] = pd.Series(list(column), dtype=object)
        return cls(score=score, metrics=metrics, every=every, last=last)

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
        counted = self.every.groupby("epoch")["diverged"].agg(snapshots="size", diverged="sum")
        return counted.astype(int).reset_index()

    def describe(self, findings: Findings) -> None:
        """Adds scores by epoch, split, task and size of small subsets, and what last snapshots reach."""
        for epoch, rows in self.every.groupby("epoch"):
            for name in self.metrics:
                findings.add(rows[name], name, by="epoch", value=epoch)
        findings.add(self.every[self.test][self.every["epoch"] > 0], self.test, by="trained")
        groups: dict[str, list[Any]] = {
            "split": list(SPLITS),
            "task": sorted(filter(None, set(self.tasks)), key=_classes),
            "subset_size": sorted(
                int(size) for size in set(self.last.get("subset_size", pd.Series()).dropna()) if size
            ),
        }
        scores = [name for split in SPLITS if (name := f"{split}_{self.score.name}") in self.last]
        for by, values in groups.items():
            for value in values:
                for name in (name for name in scores if not name.startswith("validation")):
                    findings.add(self.last[name][self.last[by] == value], name, by=by, value=value)
        # The same edges for all splits.
        edges = even_edges(self.last[scores].to_numpy(), SCORE_BINS)
        for name in scores:
            findings.add(self.last[name], name, edges=edges)
        if GAP in self.last:
            findings.add(self.last[GAP], GAP, edges=even_edges(self.last[GAP], SCORE_BINS))


def measured_columns(names: Collection[str], data: Dataset | None) -> tuple[Metric, dict[str, Metric]]:
    """What members are judged by, and for each measured column its metric, made of those that the task declares."""
    columns = {name: name.split("_", 1) for name in metrics_among(names)}
    bases = dict.fromkeys(base for _, base in columns.values())
    of_tasks = [*(data.task.metrics if data else ()), *(metric for task in METRICS.values() for metric in task)]
    words = {base: base.replace("_", " ") for base in bases}
    declared = {
        base: Metric(name=base, label=words[base], description=f"{words[base].capitalize()}.") for base in bases
    }
    declared |= {metric.name: metric for metric in reversed(of_tasks)}
    preferred = data.task.score.name if data and data.task.score else next((b for b in bases if b != "loss"), "loss")
    score = declared[preferred if preferred in bases else next(iter(bases))]
    metrics = {}
    for name, (split, base) in columns.items():
        split, metric = "training" if split == "train" else split, declared[base]
        told = f"{metric.description} On {split} examples."
        metrics[name] = replace(metric, name=name, label=f"{split} {metric.label}", description=told)
    if GAP in names:
        told = f"Training minus test {score.label}: how much worse a network is on what it was not trained on."
        metrics[GAP] = Metric(name=GAP, label="generalization gap", unit=score.unit, direction="", description=told)
    return score, metrics


def axes(snapshots: Snapshots, findings: Findings) -> pd.DataFrame:
    """What differs between members, and what does not.

    Adds the distributions of numbers, and of test scores for each value or range of values.

    Returns:
        The table of axes, that which explains most first, seeds and constants last.
    """
    last, score_M = snapshots.last, snapshots.last[snapshots.test].to_numpy()
    meanings = MEANINGS | attribute_words(Member)
    ours = [name for name in ("activation", *MEMBER_COLUMNS) if name != "member" and name in last]
    extra = [name for name in last if name == "architecture" or name.startswith(IMPORTED)]
    rows: list[Row] = []
    for name in (*ours, *extra):
        column = last[name]
        values, missing_M = column.dropna(), column.isna().to_numpy()
        row: Row = {"name": name, "meaning": meanings.get(name, ""), "kind": _kind(name, column), "value": ""}
        row |= {"distinct": int(values.nunique()), "unknown": int(missing_M.sum())}
        row |= {"logarithmic": False, "explains": np.nan}
        if row["kind"] == "constant":
            row["value"] = plain(values.iloc[0]) if len(values) else ""
            if not len(values) or _is_nothing(name, values.iloc[0]):
                continue
        rows.append(row)
        if row["kind"] not in ("choice", "number"):
            continue
        groups = _ranges(column) if row["kind"] == "number" else _choices(column)
        if row["unknown"]:
            groups["unknown"] = missing_M
        row["explains"] = explained_variance([score_M[rows_M] for rows_M in groups.values()])
        if row["kind"] == "number":
            numbers = values.astype(float)
            row["logarithmic"] = bool(0 < numbers.min() < numbers.max() / 20)
            edges = even_edges(numbers, NUMBER_BINS, logarithmic=row["logarithmic"])
            findings.add(numbers, name, edges=edges)
        if len(groups) > MOST_LEVELS:
            groups = dict(sorted(groups.items(), key=lambda group: -int(group[1].sum()))[:MOST_LEVELS])
        for value, rows_M in groups.items():
            findings.add(score_M[rows_M], snapshots.test, by=f"axis {name}", value=value)
    order = {"choice": 0, "number": 0, "seed": 1, "name": 1, "constant": 2}
    rows.sort(key=lambda row: (order[row["kind"]], -np.nan_to_num(row["explains"])))
    columns = ["name", "meaning", "kind", "value", "distinct", "unknown", "logarithmic", "explains"]
    return pd.DataFrame(rows, columns=columns)


def _kind(name: str, column: pd.Series) -> str:
    distinct = column.nunique()
    if distinct + column.hasnans < 2:
        return "constant"
    if SEEDS.fullmatch(name):
        return "seed"
    numeric = _numeric(column)
    if name.startswith(IMPORTED) and distinct > MOST_NAMES * column.count():
        whole = numeric and (column.dropna().astype(float) % 1 == 0).all()
        return "name" if whole or not numeric else "number"
    return "number" if numeric and distinct > MOST_LEVELS else "choice"


def _numeric(column: pd.Series) -> bool:
    values = column.dropna().infer_objects()
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


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
    last, rows = snapshots.last.assign(task=snapshots.tasks), []
    for task in sorted(set(snapshots.tasks), key=_classes) if any(snapshots.tasks) else ():
        splits = last["split"][last["task"] == task]
        listed = ", ".join(split for split in SPLITS if (splits == split).any())
        rows.append({"task": task, "members": len(splits), "split": listed})
    return pd.DataFrame(rows, columns=["task", "members", "split"])


def shared_table(snapshots: Snapshots) -> pd.DataFrame:
    """What several members have in common, and whether it keeps to one split."""
    last, rows = snapshots.last, []
    whole = (last.get("training_fraction", 1) == 1) & (last.get("subset_size", 0) == 0)
    for what, columns in SHARED.items():
        names = [name for name in columns if name in last]
        trivial = {"task": not any(snapshots.tasks), "training subset": bool(np.all(whole))}
        if names and not last[names].isna().to_numpy().any() and not trivial.get(what):
            splits = last.groupby(names)["split"]
            row: Row = {"what": what, "groups": splits.ngroups, "largest": int(splits.size().max())}
            row |= {"across": int((splits.nunique() > 1).sum())}
            rows.append(row | {"held_out": last[last["split"] == "test"].groupby(names).ngroups})
    return pd.DataFrame(rows, columns=["what", "groups", "largest", "across", "held_out"])


def subsets_table(snapshots: Snapshots) -> pd.DataFrame:
    """Members that are trained on small subsets, by their size."""
    last, rows = snapshots.last, []
    chosen = last[last["subset_size"].fillna(0) > 0] if "subset_size" in last else last[:0]
    for size, members in chosen.groupby("subset_size") if len(chosen) else ():
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
    return {f"{IMPORTED}{name}": [row.get(name) for row in rows] for name in names}


def _ranges(column: pd.Series) -> dict[str, np.ndarray]:
    """Ranges of a number that hold about equally many members each."""
    numbers_M = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    edges = np.unique(np.nanquantile(numbers_M, np.linspace(0, 1, RANGES + 1)))
    place_M = np.clip(np.searchsorted(edges, numbers_M, side="right") - 1, 0, len(edges) - 2)
    parts = [(place_M == place) & np.isfinite(numbers_M) for place in range(len(edges) - 1)]
    return {f"{numbers_M[m].min():.2g} … {numbers_M[m].max():.2g}": m for m in parts if m.any()}


def _choices(column: pd.Series) -> dict[str, np.ndarray]:
    """The members of each value: numbers by size, names by how many members have them, then by name."""
    counts = column.value_counts()
    by_size = _numeric(column)
    order = sorted(counts.index, key=lambda value: (value if by_size else -counts[value], str(value)))
    return {plain(value): (column == value).to_numpy(dtype=bool, na_value=False) for value in order}


def _is_nothing(name: str, value: object) -> bool:
    """Whether a value says that members have no such thing."""
    return value == "" or (name.startswith("subset_") and value == 0)


def _classes(task: str) -> tuple[int, ...]:
    return tuple(int(part) for part in task.split("-") if part.isdigit())
