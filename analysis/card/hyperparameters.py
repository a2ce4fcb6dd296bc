"""What varies among the members of a zoo, and how much of their accuracy it explains.

Shape letters: M members.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.card.distributions import Distribution, Histogram, distribution, even_edges, histogram
from analysis.card.words import attribute_words
from zoo.population import Member
from zoo.storage.rows import MEMBER_COLUMNS

# Numbers that name a random stream or a piece of the data: that they differ says something, their size nothing.
SEEDS = ("seed", "order_seed", "subset_seed", "subset_index")
# Numbers with more values than this are shown in bins.
MOST_LEVELS = 16
BINS, NUMBER_BINS = 8, 24
# Fewer members a level, and a share of explained variance would be noise.
MEMBERS_A_LEVEL = 4
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """Members that share a value of a hyper-parameter, or a range of its values.

    Attributes:
        value: The value in words, or the range.
        members: How many have it.
        test_accuracy: Test accuracy of their last snapshots.
    """

    value: str
    members: int
    test_accuracy: Distribution


@dataclass(frozen=True, kw_only=True, slots=True)
class HyperParameter:
    """Something that differs between members.

    Attributes:
        name: Its column.
        meaning: What it is.
        kind: "choice" of some values, "number" from a range, or "seed".
        distinct: How many values there are.
        unknown: Members whose value is not known (imported zoos).
        values: Distribution over members; for numbers only.
        histogram: Likewise; of decimal logarithms where ``logarithmic``.
        logarithmic: Whether the numbers spread over decades.
        levels: Its values, or ranges of them that are equally frequent; none for seeds.
        other_levels: How many more values there are that are not listed.
        explained: Share of the variance of test accuracy between the levels, corrected for their number (ε²);
            ``None`` where there are too few members.
    """

    name: str
    meaning: str
    kind: str
    distinct: int
    unknown: int
    values: Distribution | None
    histogram: Histogram | None
    logarithmic: bool
    levels: tuple[Level, ...]
    other_levels: int
    explained: float | None


def hyper_parameters(
    members: pd.DataFrame, extra: Mapping[str, Sequence[object]]
) -> tuple[tuple[HyperParameter, ...], dict[str, object]]:
    """Describes what differs between members and lists what does not.

    Args:
        members: One row for each member, its last snapshot, with the columns of a shard.
        extra: Further columns by their names: architecture, original settings of imported members.

    Returns:
        What varies, that which explains most first and seeds last; and for all else its one value.
    """
    meanings = {
        "activation": "Activation function.",
        "architecture": "Layers with their widths, from input to logits.",
    } | {column: attribute_words(Member).get("id" if column == "member" else column, "") for column in MEMBER_COLUMNS}
    names = [name for name in ("activation", *MEMBER_COLUMNS) if name != "member" and name in members]
    columns = {name: members[name] for name in names} | {
        name: pd.Series(list(values), index=members.index, dtype=object) for name, values in extra.items()
    }
    accuracy_M = members["test_accuracy"].to_numpy(dtype=np.float64)
    varying, constant = [], {}
    for name, column in columns.items():
        distinct = column.nunique(dropna=True)
        if distinct + bool(column.isna().any()) > 1:
            varying.append(_describe(name, meanings.get(name, ""), column, accuracy_M))
        else:
            constant[name] = column.dropna().iloc[0] if distinct else None
    varying.sort(key=lambda entry: (entry.kind == "seed", -(entry.explained or 0.0)))
    constant = {name: value for name, value in constant.items() if value is not None and not _absent(name, value)}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in constant.items()}
    return tuple(varying), plain


def imported_columns(texts: Sequence[str | None]) -> dict[str, list[object]]:
    """The original hyper-parameters of imported members, a column for each that is not nested.

    Args:
        texts: For each member the JSON of its own settings, or nothing.
    """
    rows = [json.loads(text) if text else {} for text in texts]
    names = dict.fromkeys(
        name for row in rows for name, value in row.items() if isinstance(value, str | int | float | bool)
    )
    return {f"imported {name}": [row.get(name) for row in rows] for name in names}


def explained_variance(groups: Sequence[np.ndarray]) -> float | None:
    """ε²: the share of the variance that lies between groups, corrected for what chance puts there.

    Args:
        groups: The values of each group.

    Returns:
        0 to 1, or ``None`` where there are fewer than two groups, too few values or no variance.
    """
    groups = [group[np.isfinite(group)] for group in groups]
    groups = [group for group in groups if len(group)]
    count = sum(len(group) for group in groups)
    if len(groups) < 2 or count < MEMBERS_A_LEVEL * len(groups):
        return None
    everything = np.concatenate(groups)
    total = float(((everything - everything.mean()) ** 2).sum())
    within = float(sum(((group - group.mean()) ** 2).sum() for group in groups))
    if total <= 0:
        return None
    return float(np.clip(1 - (within / (count - len(groups))) / (total / (count - 1)), 0, 1))


def _describe(name: str, meaning: str, column: pd.Series, accuracy_M: np.ndarray) -> HyperParameter:
    known_M = column.notna().to_numpy()
    distinct = int(column.nunique(dropna=True))
    numeric = pd.api.types.is_numeric_dtype(pd.Series(column[known_M].tolist())) and not _boolean(column[known_M])
    many = numeric and distinct > MOST_LEVELS
    kind = "seed" if name in SEEDS else "number" if many else "choice"
    groups: list[tuple[str, np.ndarray]] = []
    values, counts, logarithmic = None, None, False
    if kind == "number":
        numbers_M = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
        values = distribution(numbers_M[known_M])
        logarithmic = bool(values.minimum and values.minimum > 0 and (values.maximum or 0) > 20 * values.minimum)
        scaled = np.log10(numbers_M[known_M]) if logarithmic else numbers_M[known_M]
        counts = histogram(scaled, even_edges(scaled, NUMBER_BINS))
        groups = _bins(numbers_M, known_M)
    elif kind == "choice":
        groups = [
            (_text(value), (column == value).to_numpy(dtype=bool, na_value=False))
            for value in _in_order(column[known_M], numeric)
        ]
    if groups and not known_M.all():
        groups.append((UNKNOWN, ~known_M))
    explained = None if kind == "seed" else explained_variance([accuracy_M[rows_M] for _, rows_M in groups])
    listed = groups if len(groups) <= MOST_LEVELS else sorted(groups, key=lambda g: -int(g[1].sum()))[:MOST_LEVELS]
    return HyperParameter(
        name=name,
        meaning=meaning,
        kind=kind,
        distinct=distinct,
        unknown=int((~known_M).sum()),
        values=values,
        histogram=counts,
        logarithmic=logarithmic,
        levels=tuple(
            Level(value=value, members=int(rows_M.sum()), test_accuracy=distribution(accuracy_M[rows_M]))
            for value, rows_M in listed
        ),
        other_levels=len(groups) - len(listed),
        explained=explained,
    )


def _bins(numbers_M: np.ndarray, known_M: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Ranges of a number that hold about equally many members each."""
    edges = np.unique(np.quantile(numbers_M[known_M], np.linspace(0, 1, BINS + 1)))
    place_M = np.clip(np.searchsorted(edges, numbers_M, side="right") - 1, 0, max(len(edges) - 2, 0))
    found = [(place, (place_M == place) & known_M) for place in range(max(len(edges) - 1, 1))]
    return [
        (f"{numbers_M[rows_M].min():.2g} … {numbers_M[rows_M].max():.2g}", rows_M)
        for _, rows_M in found
        if rows_M.any()
    ]


def _in_order(column: pd.Series, numeric: bool) -> list[object]:
    """The distinct values: numbers by size, names by how many members have them, then by name."""
    if numeric:
        return sorted(column.unique().tolist())
    counts = column.value_counts()
    return sorted(counts.index.tolist(), key=lambda value: (-counts[value], str(value)))


def _absent(name: str, value: object) -> bool:
    """Whether a value says that members have no such thing."""
    return value == "" or (name.startswith("subset_s") and value == 0) or (name == "subset_index" and value == 0)


def _boolean(column: pd.Series) -> bool:
    return all(isinstance(value, bool | np.bool_) for value in column.unique())


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value) or "(none)"
