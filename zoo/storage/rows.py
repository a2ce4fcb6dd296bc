"""What a row of a shard is: columns, split, content hash.

Shape letters: M rows, P parameters.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from zoo.architecture import Architecture
from zoo.config import digest, to_json
from zoo.data.class_tasks import parse_task
from zoo.data.task import Task
from zoo.population import Member
from zoo.recipes import RecipeLike
from zoo.recipes.recipe import HELD_OUT

SPLITS = ("train", "validation", "test")
# Chosen so that the first four blocks go to all three splits: a small zoo is usable.
SPLIT_PURPOSE = "split of block 1489"
# Chosen so that of the 45 pairs of ten classes 31 go to train and 7 to each of the others.
TASK_SPLIT_PURPOSE = "split of task 68"
MEMBER_COLUMNS = {"member" if field.name == "id" else field.name: field for field in dataclasses.fields(Member)}
# A shard has all of these columns, or lacks those that its recipe says nothing of: all members have the default there.
OPTIONAL_COLUMNS = frozenset(name for name, field in MEMBER_COLUMNS.items() if field.metadata.get("optional"))
# How members are trained, without what only tells them apart.
HYPERPARAMETERS = tuple(
    name
    for name in MEMBER_COLUMNS
    if name not in ("member", "seed", "order_seed", "subset_seed", "subset_size", "subset_index", "task")
)
GAP = "generalization_gap"
# Fewer runs of rows than these are cut out of a table one by one.
FEW_RUNS = 32
NULLABLE = frozenset({"step", *MEMBER_COLUMNS} - {"member"})
ARROW_TYPES = {"int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bool": pa.bool_()}


def metric_columns(task: Task) -> tuple[str, ...]:
    """Columns of what judges members on each split: ``test_loss``, ``test_accuracy`` and so on, after the task."""
    return tuple(f"{split}_{metric.name}" for split in SPLITS for metric in task.metrics)


# Those of networks that tell classes apart, such as all that come from elsewhere.
METRIC_COLUMNS = metric_columns(Task("softmax", 2))


def metrics_among(columns: Iterable[str]) -> tuple[str, ...]:
    """Those of some columns that are metrics on a split: their names begin with the split's."""
    return tuple(name for name in columns if name.startswith(tuple(f"{split}_" for split in SPLITS)))


def measured_among(columns: Iterable[str]) -> tuple[str, ...]:
    """Those of some columns that tell of what was measured: metrics and, where there is one, the gap."""
    names = tuple(columns)
    return (*metrics_among(names), *(name for name in names if name == GAP))


def with_gap(metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Metrics and, where they have a score beside the loss, the generalization gap: that in training minus in test."""
    told = dict(metrics)
    for name in metrics:
        if name.startswith("train_") and name != "train_loss":
            told[GAP] = metrics[name] - metrics[f"test_{name.removeprefix('train_')}"]
    return told


def split_of(member: int, block_members: int, task: str = "", held_out: int = HELD_OUT) -> str:
    """The split of all snapshots of a member: 70 % train, 15 % validation, 15 % test unless a recipe says otherwise.

    Members of one block share their training images and their order, so a block lies on one side. Members of a
    task go by the classes of the task, so that a task and the same with other labels lie on one side.

    Args:
        member: Number of the member.
        block_members: Members of a block, ``Recipe.block_members``.
        task: Its task, empty for the whole data set.
        held_out: Percent of validation and test together, ``Recipe.held_out``.
    """
    if task:
        place = _hash(f"{TASK_SPLIT_PURPOSE} {sorted(parse_task(task))}") % 100
    else:
        place = hash_number(SPLIT_PURPOSE, member // block_members) % 100
    return "train" if place < 100 - held_out else "validation" if place < 100 - held_out // 2 else "test"


def hash_number(purpose: str, number: int) -> int:
    """A fixed number for a member or block, independent between purposes: 64 bits of a sha256."""
    return _hash(f"{purpose} {number}")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def shard_schema(
    parameters: int, metrics: Iterable[str] = METRIC_COLUMNS, optional: Collection[str] = OPTIONAL_COLUMNS
) -> pa.Schema:
    """The columns of a shard of networks with so many parameters, such metrics and some of the optional columns.

    What is not known of an imported member is null; members of a recipe have no nulls.
    """
    columns: dict[str, pa.DataType] = {"member": ARROW_TYPES["int"], "epoch": pa.int64(), "step": pa.int64()}
    columns |= {"split": pa.string(), "dataset": pa.string(), "activation": pa.string()}
    columns |= {
        name: ARROW_TYPES[str(field.type)]
        for name, field in MEMBER_COLUMNS.items()
        if name not in OPTIONAL_COLUMNS or name in optional
    }
    columns |= {"subset": pa.list_(pa.int32()), "imported": pa.string()}
    columns |= dict.fromkeys(with_gap(dict.fromkeys(metrics, np.empty(0))), pa.float64())
    columns |= {"diverged": pa.bool_(), "weights": weights_type(parameters)}
    return pa.schema([pa.field(name, kind, nullable=name in NULLABLE) for name, kind in columns.items()])


def schema_fault(schema: pa.Schema, parameters: int) -> str:
    """What is wrong with the columns of a shard of networks with so many parameters; empty where nothing is."""
    measured = [name.removeprefix("test_") for name in schema.names if name.startswith("test_")]
    metrics = [f"{split}_{metric}" for split in SPLITS for metric in measured]
    expected = shard_schema(parameters, metrics, OPTIONAL_COLUMNS.intersection(schema.names))
    if schema.equals(expected, check_metadata=False):
        return ""
    odd, lacking = (
        ", ".join(f"{field.name} ({field.type})" for field in one if field not in list(other)) or "none"
        for one, other in ((schema, expected), (expected, schema))
    )
    return f"its columns are not those of a shard; lacking: {lacking}; too many: {odd}"


def optional_of(recipe: RecipeLike) -> frozenset[str]:
    """The optional columns that shards of a recipe have: of what it varies; where nobody knows, all."""
    axes: Any = recipe.identity().get("axes")
    return OPTIONAL_COLUMNS if axes is None else OPTIONAL_COLUMNS.intersection(axes)


def weights_type(parameters: int) -> pa.DataType:
    """The type of the weights column. Its elements are never null, which spares Arrow a level for each of them."""
    return pa.list_(pa.field("element", pa.float32(), nullable=False), parameters)


def weights_of(column: pa.ChunkedArray) -> np.ndarray:
    """The weights column as ``[M, P]`` float32; read-only, since not copied, where it lies in one piece."""
    width = column.type.list_size
    # As ``flatten`` without nulls, of which there are none; that imports ``pyarrow.compute``.
    flat = [chunk.values.slice(width * chunk.offset, width * len(chunk)) for chunk in column.chunks]
    parts = [np.from_dlpack(values) for values in flat] or [np.empty(0, np.float32)]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)).reshape(-1, width)


def rows_at(table: pa.Table, places: np.ndarray) -> pa.Table:
    """Some rows of a table, in the given order.

    A few runs of rows are cut out: nothing is copied then, and a process that only reads one member is spared what
    pyarrow imports to take rows one by one, pandas among it, for 0.2 s.
    """
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    if len(breaks) >= FEW_RUNS:
        return table.take(pa.array(places))
    runs = np.split(places, breaks)
    return pa.concat_tables([table.slice(int(run[0]) if len(run) else 0, len(run)) for run in runs])


def integers(column: pa.ChunkedArray) -> np.ndarray:
    """A column of integers without nulls; ``to_numpy`` imports pandas."""
    return np.concatenate([np.empty(0, np.int64), *(np.from_dlpack(chunk) for chunk in column.chunks)])


def booleans(column: pa.ChunkedArray) -> np.ndarray:
    """A column of booleans without nulls; ``to_numpy`` imports pandas."""
    bits = [np.unpackbits(np.frombuffer(chunk.buffers()[1], np.uint8), bitorder="little") for chunk in column.chunks]
    parts = [part[chunk.offset :][: len(chunk)] for part, chunk in zip(bits, column.chunks, strict=True)]
    return np.concatenate([np.empty(0, np.uint8), *parts]).astype(bool)


def members_of(table: pa.Table) -> Iterator[Member]:
    """How each row was trained; what is not known of an imported member has its default (seed 0).

    So have optional columns that lack. Rows that follow one another and are trained alike, as the snapshots of a
    member are, get the same object.
    """
    before: dict[str, object] = {}
    columns = {name: field.name for name, field in MEMBER_COLUMNS.items() if name in table.column_names}
    for row in table.select(list(columns)).to_pylist():
        if row != before:
            known = {field: row[name] for name, field in columns.items() if row[name] is not None}
            before, member = row, Member(**{"seed": 0} | known)
        yield member


def partly_known(table: pa.Table) -> dict[str, np.ndarray]:
    """Hyper-parameters that are null in some row: numbers as float64 with NaN, names as text, empty where not known.

    Of what only tells members apart there is none: seeds, pieces of the images, tasks.
    """
    return {
        name: np.array(["" if value is None else value for value in column.to_pylist()])
        if pa.types.is_string(column.type)
        else column.cast(pa.float64()).to_numpy()
        for name in HYPERPARAMETERS
        if name in table.column_names and (column := table[name]).null_count
    }


def content_hash(table: pa.Table, architecture: Architecture) -> str:
    """Hash over what was trained and what came out, whatever the file's encoding and environment.

    The sum of the rows' sha256 modulo 2**256 (AdHash of Bellare and Micciancio, EUROCRYPT 1997): sums of shards
    add up to that of the zoo, however its members are divided among shards.

    Returns:
        64 hexadecimal digits.
    """
    of_architecture = digest(architecture)
    weights_MP = weights_of(table["weights"]).astype("<f4", copy=False)
    rest = table.select(["dataset", "epoch", "step", "imported"]).to_pylist()
    total, before = 0, None
    for member, row, weights_P in zip(members_of(table), rest, weights_MP, strict=True):
        if member is not before:
            before, spec = member, member_told(member)
        # As canonical_json does, for values that are plain already.
        told = {"architecture": of_architecture, "member": spec, **row}
        state = hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())
        state.update(weights_P.tobytes())
        total += int.from_bytes(state.digest(), "big")
    return f"{total % 2**256:064x}"


def member_told(member: Member) -> dict[str, Any]:
    """A member as JSON, without optional fields that have their default: a field that is new changes no old hash."""
    told: dict[str, Any] = to_json(member)
    for name in OPTIONAL_COLUMNS:
        if told[name] == MEMBER_COLUMNS[name].default:
            del told[name]
    return told


def sum_hashes(hashes: Sequence[str]) -> str:
    """The content hash of several shards together."""
    return f"{sum(int(value, 16) for value in hashes) % 2**256:064x}"


def finite_rows(weights_MP: np.ndarray, metrics: Mapping[str, np.ndarray], imported_M: np.ndarray) -> np.ndarray:
    """Which snapshots have not diverged: weights and metrics are all finite.

    Args:
        weights_MP: Their weights.
        metrics: Of each split.
        imported_M: Which of them are imported: there a metric that is not a number is one that is not known.
    """
    finite_M = np.isfinite(weights_MP).all(axis=1)
    for values_M in metrics.values():
        finite_M &= np.isfinite(values_M) | imported_M
    return finite_M
