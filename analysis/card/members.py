"""What the table of a zoo says of all its members: scores by epoch, split, task and axis; what varies, what is shared.

Shape letters: M members.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from analysis.card.record import Findings, Row
from analysis.pages.distributions import even_edges
from analysis.pages.numbers import plain
from zoo.config import attribute_words
from zoo.data import Dataset
from zoo.data.class_tasks import parse_task, task_labels
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
# How far above guessing a member must be: two standard errors of an accuracy on the test examples.
CHANCE_ERRORS = 2.0
# Columns of how members were trained, and what stands before the names of what they had at their source.
TRAINED, IMPORTED = ("activation", *(name for name in MEMBER_COLUMNS if name != "member")), "imported "
MEANINGS = {
    **attribute_words(Member),
    "activation": "Activation function.",
    "architecture": "Layers with their widths, from input to outputs.",
}


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """The table of a zoo without weights.

    Attributes:
        score: What members are judged by.
        metrics: The declared metric of each measured column.
        every: A row for each snapshot, by member, then epoch; measured columns are NaN where it diverged.
        last: The last ones of ``every``, one for each member, with further columns for its ``architecture`` and the
            settings that it had at its source.
    """

    score: Metric
    metrics: Mapping[str, Metric]
    every: pd.DataFrame
    last: pd.DataFrame

    @classmethod
    def of(cls, zoo: Zoo, data: Dataset | None) -> Snapshots:
        """Reads the table of a zoo."""
        flat = [field.name for field in zoo.snapshots.schema if not pa.types.is_list(field.type)]
        score, metrics = measured_columns(flat, data)
        every = zoo.snapshots.select(flat).to_pandas()
        every.loc[every["diverged"], list(metrics)] = np.nan
        last = every[~every["member"].duplicated(keep="last")].reset_index(drop=True)
        # A zoo may lack columns that its recipe says nothing of.
        absent = {"task": "", "subset_size": 0}.items()
        last = last.assign(**{name: default for name, default in absent if name not in last})
        labels = [zoo.architectures[number].summary for number in zoo.architecture_of_shard]
        last["architecture"] = np.repeat(labels, [entry.end - entry.first for entry in zoo.manifest.shards])
        known = [last[name].tolist() for name in TRAINED if name in last]
        for name, column in imported_columns(last.pop("imported")).items() if "imported" in last else ():
            if column not in known:  # told once
                last[name] = pd.Series(column, dtype=object)
        return cls(score=score, metrics=metrics, every=every, last=last)

    @property
    def test(self) -> str:
        """The column of the score on test examples."""
        return f"test_{self.score.name}"

    @property
    def tasks(self) -> pd.Categorical:
        """The classes that each member tells apart, in order; nothing for the whole data set."""
        named = self.last["task"].replace("", None)
        return pd.Categorical(named, sorted(named.dropna().unique(), key=parse_task))

    @property
    def small(self) -> pd.DataFrame:
        """Members that are trained on small subsets."""
        return self.last[self.last["subset_size"] > 0].astype({"subset_size": int})

    def describe(self, findings: Findings) -> None:
        """Adds scores by epoch, split, task and size of small subsets, and what last snapshots reach."""
        every, last, small = self.every, self.last, self.small
        for name in self.metrics:
            findings.add_groups(every[name], name, "epoch", every["epoch"])
        findings.add(every[self.test][every["epoch"] > 0], self.test, by="trained")
        scores = [name for split in SPLITS if (name := f"{split}_{self.score.name}") in last]
        # The same edges for all splits.
        edges = even_edges(last[scores].to_numpy(), SCORE_BINS)
        for name in scores:
            findings.add(last[name], name, edges=edges)
            if not name.startswith("validation"):
                findings.add_groups(last[name], name, "split", pd.Categorical(last["split"], SPLITS))
                findings.add_groups(last[name], name, "task", self.tasks)
                findings.add_groups(small[name], name, "subset_size", small["subset_size"])
        if GAP in last:
            findings.add(last[GAP], GAP, bins=SCORE_BINS)
        self._describe_groups(findings)
        self._describe_axes(findings)

    def _describe_groups(self, findings: Findings) -> None:
        """Adds epochs, tasks, sizes of small subsets, and what several members have in common."""
        last, tasks = self.last, self.tasks
        for epoch, diverged in self.every.groupby("epoch")["diverged"]:
            row: Row = {"epoch": epoch, "snapshots": len(diverged), "diverged": int(diverged.sum())}
            findings.rows["epochs"].append(row)
        for task, splits in last["split"].groupby(tasks, observed=True):
            listed = ", ".join(split for split in SPLITS if (splits == split).any())
            findings.rows["tasks"].append({"task": task, "members": len(splits), "split": listed})
        for size, members in self.small.groupby("subset_size"):
            row = {"size": size, "members": len(members)}
            row["subsets"] = members.groupby(["subset_seed", "subset_index"]).ngroups
            row["complete"] = (members[f"train_{self.score.name}"] >= MEMORIZED).mean()
            findings.rows["subsets"].append(row)
        whole = (last["training_fraction"] == 1) & (last["subset_size"] == 0)
        trivial = {"task": not len(tasks.categories), "training subset": whole.all()}
        for what, columns in SHARED.items():
            names = [name for name in columns if name in last]
            if not last[names].isna().to_numpy().any() and not trivial.get(what):
                splits = last.groupby(names)["split"]
                row = {"what": what, "groups": splits.ngroups, "largest": splits.size().max()}
                row["across"] = (splits.nunique() > 1).sum()
                row["held_out"] = last[last["split"] == "test"].groupby(names).ngroups
                findings.rows["shared"].append(row)

    def _describe_axes(self, findings: Findings) -> None:
        """Adds what differs between members, that which explains most first, and what does not, last.

        Adds the distributions of numbers, too, and of test scores for each value or range of values.
        """
        score, rows = self.last[self.test], list[Row]()
        ours = [name for name in TRAINED if name in self.last]
        for name in (*ours, *(name for name in self.last if name == "architecture" or name.startswith(IMPORTED))):
            column = self.last[name]
            values, kind = column.dropna(), _kind(name, column)
            row: Row = {"name": name, "meaning": MEANINGS.get(name, ""), "kind": kind, "value": ""}
            row |= {"distinct": values.nunique(), "unknown": column.isna().sum()}
            row |= {"logarithmic": False, "explains": np.nan}
            if kind == "constant":
                if values.empty or values.iloc[0] == "" or (name.startswith("subset_") and values.iloc[0] == 0):
                    continue  # there is no such thing
                row["value"] = plain(values.iloc[0])
            if kind == "number":
                numbers = values.astype(float)
                row["logarithmic"] = bool(0 < numbers.min() < numbers.max() / 20)
                findings.add(numbers, name, edges=even_edges(numbers, NUMBER_BINS, logarithmic=row["logarithmic"]))
            if kind in ("choice", "number"):
                levels = _levels(column, ranges=kind == "number")
                row["explains"] = explained_variance(score, levels)
                if len(levels.categories) > MOST_LEVELS:
                    levels = levels.set_categories(levels.value_counts().nlargest(MOST_LEVELS).index.tolist())
                findings.add_groups(score, self.test, f"axis {name}", levels)
            rows.append(row)
        order = {"choice": 0, "number": 0, "seed": 1, "name": 1, "constant": 2}
        rows.sort(key=lambda row: (order[row["kind"]], -np.nan_to_num(row["explains"])))
        findings.rows["axes"] = rows

    def chance(self, data: Dataset | None) -> dict[str, Any]:
        """What guessing reaches (of several tasks, the highest), and the share of members that reach no more.

        Guessing is the commonest class of a member's task, with two standard errors, or for R² the mean target.
        """
        guess_of: dict[str, float] = {}
        tasks = self.last["task"].fillna("")
        for task in tasks.unique() if data else ():
            if data is not None and data.task.has_classes:
                labels = task_labels(task, data.test.targets)
                labels = labels[labels >= 0]
                share = float(torch.bincount(labels).max()) / len(labels)
                guess_of[task] = share + CHANCE_ERRORS * math.sqrt(share * (1 - share) / len(labels))
            elif self.score.name == "r2":
                guess_of[task] = 0.0
        known = self.last[self.test].dropna()
        reached = (known <= tasks.map(guess_of)[known.index]).mean() if guess_of and len(known) else None
        return {"chance_score": max(guess_of.values(), default=None), "chance_share": reached}


def measured_columns(names: Collection[str], data: Dataset | None) -> tuple[Metric, dict[str, Metric]]:
    """What members are judged by, and for each measured column its metric, made of those that the task declares."""
    columns = {name: name.split("_", 1) for name in metrics_among(names)}
    bases = dict.fromkeys(base for _, base in columns.values())
    words = {base: base.replace("_", " ") for base in bases}
    declared = {base: Metric(name=base, label=w, description=f"{w.capitalize()}.") for base, w in words.items()}
    of_tasks = [*(data.task.metrics if data else ()), *(metric for task in METRICS.values() for metric in task)]
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
        metrics[GAP] = Metric(name=GAP, label="generalization gap", unit=score.unit, description=told)
    return score, metrics


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


def explained_variance(values: pd.Series, groups: pd.Categorical) -> float:
    """ε²: the share of the variance that lies between groups, corrected for what chance puts there.

    Returns:
        0 to 1, or NaN where there are fewer than two groups, too few values or no variance.
    """
    known = np.isfinite(values)
    values, grouped = values[known], values[known].groupby(groups[known], observed=True)
    if grouped.ngroups < 2 or len(values) < MEMBERS_A_LEVEL * grouped.ngroups or not values.var(ddof=0):
        return math.nan
    within = (grouped.var(ddof=0) * grouped.size()).sum() / (len(values) - grouped.ngroups)
    return float(np.clip(1 - within / values.var(), 0, 1))


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


def _levels(column: pd.Series, *, ranges: bool) -> pd.Categorical:
    """The value that each member has of a column, or the range: of these all hold about equally many members.

    Numbers come by size, names by how many members have them, then by name; last what is unknown.
    """
    values = column.dropna()
    labels = values.map(plain)
    counts = labels.value_counts()
    order = sorted(counts.index, key=lambda label: (-counts[label], label))
    if _numeric(column):
        values = values.astype(float)
        if ranges:
            edges = np.unique(np.quantile(values, np.linspace(0, 1, RANGES + 1)))
            parts = values.groupby(np.minimum(np.searchsorted(edges, values, "right"), len(edges) - 1))
            labels = parts.transform(lambda part: f"{part.min():.2g} … {part.max():.2g}")
        order = labels[values.sort_values().index].unique().tolist()
    known = labels.reindex(column.index, fill_value="unknown")
    return pd.Categorical(known, dict.fromkeys([*order, *["unknown"] * column.hasnans]))
