"""Makes of an exported zoo the zoo that it was.

Shape letters: M rows, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import torch

from zoo.architecture import Architecture
from zoo.exchange.exported import DATA, ExportedShard, ExportedZoo, measured_hash
from zoo.exchange.input_files import require_regular
from zoo.generation.build import Progress, write_zoo
from zoo.generation.commit import checked_entry, plan_zoo
from zoo.population import single_architecture
from zoo.storage.errors import ZooError
from zoo.storage.manifest import shard_name, shard_path
from zoo.storage.rows import MEMBER_COLUMNS, OPTIONAL_COLUMNS, members_of, metrics_among
from zoo.storage.shards import ShardContents, encode_shard, read_shard
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo
from zoo.words import zooscale

# Columns that are neither of a member nor metrics.
REST = ("epoch", "step", "subset", "imported")


def check_exported(
    exported: ExportedZoo, store: Store, progress: Progress | None = None
) -> Callable[[Progress | None], Zoo]:
    """Reads all of an exported zoo, and makes sure that it is what was exported.

    Args:
        exported: The zoo.
        store: Where it is to lie.
        progress: Called with (members checked, of how many).

    Returns:
        What makes the zoo that was exported, with the same recipe, members, metrics, weights and hashes; called with
        what is told of (members stored, of how many).

    Raises:
        ValueError: A file is missing or damaged, or rows are not those that were exported.
        ZooError: The store cannot be written, or has a zoo of that name with other members.
    """
    plan = plan_zoo(
        exported.recipe,
        exported.dataset_sha256,
        store,
        [range(shard.first, shard.end) for shard in exported.shards],
    )
    if plan.previous is not None and plan.previous.content_sha256 != exported.content_sha256:
        raise ZooError(
            f"{store.uri} has zoo {plan.name} already, with {plan.previous.members} members and other content than the "
            f"{exported.members} of {exported.path}; import it into another store"
        )
    rows = _open_rows(exported)
    wanted = dict(zip(plan.shards, exported.shards, strict=True))
    for members in plan.missing:
        header, _ = read_shard(encode_shard(_contents(exported, wanted[members], rows)), str(exported.path))
        if header.content_sha256 != wanted[members].content_sha256:
            raise ValueError(
                f"members {members.start} to {members.stop - 1} in {exported.path} are not those that were exported: "
                f"their content hash is {header.content_sha256[:8]}, not {wanted[members].content_sha256[:8]}; export "
                "the zoo again"
            )
        if progress is not None:
            progress(members.stop, exported.members)
    for members in set(plan.shards) - set(plan.missing):
        if checked_entry(plan, store, members).content_sha256 != wanted[members].content_sha256:
            path = shard_path(plan.name, shard_name(members))
            raise ZooError(
                f"{store.join(path)} is there already with other content; "
                f"`{zooscale('verify', plan.name, '--remove-unfinished', '--store', store.uri)}` deletes it where no "
                "manifest lists it"
            )
    return partial(write_zoo, plan, store, lambda members: _contents(exported, wanted[members], rows))


def _open_rows(exported: ExportedZoo) -> pads.Dataset:
    files = sorted((exported.path / DATA).glob("*.parquet"))
    if not files:
        raise ValueError(f"{exported.path} has no {DATA}/*.parquet; export the zoo again")
    for file in files:
        require_regular(file)
    try:
        rows = pads.dataset([str(file) for file in files], format="parquet")
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{files[0].parent} cannot be read ({error}); export the zoo again") from error
    needed = (*REST, *(name for name in MEMBER_COLUMNS if name not in OPTIONAL_COLUMNS), "weights")
    if lacking := [name for name in needed if name not in rows.schema.names]:
        raise ValueError(f"{exported.path} lacks the column {lacking[0]}; export the zoo again")
    return rows


def _table(exported: ExportedZoo, shard: ExportedShard, rows: pads.Dataset) -> pa.Table:
    """The rows of one shard in their order, metrics, steps and subsets checked."""
    inside = (pc.field("member") >= shard.first) & (pc.field("member") < shard.end)
    try:
        table = rows.to_table(filter=inside).sort_by([("member", "ascending"), ("epoch", "ascending")])
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{exported.path} cannot be read ({error}); export the zoo again") from error
    expected = (shard.end - shard.first) * len(exported.epochs)
    if len(table) != expected:
        raise ValueError(
            f"{exported.path} has {len(table)} snapshots of members {shard.first} to {shard.end - 1}; expected "
            f"{expected}. Rows are missing or repeated: export the zoo again"
        )
    if measured_hash(table) != shard.measured_sha256:
        raise ValueError(
            f"metrics, steps or subsets of members {shard.first} to {shard.end - 1} in {exported.path} are not "
            "those that were exported; export the zoo again"
        )
    return table


def _contents(exported: ExportedZoo, shard: ExportedShard, rows: pads.Dataset) -> ShardContents:
    """A shard as it was before it was exported."""
    table = _table(exported, shard, rows)
    architecture = exported.architectures[shard.architecture]
    known = {name: table[name].is_valid().to_pylist() for name in MEMBER_COLUMNS if name in table.column_names}
    weights_MP = _weights(exported, architecture, table)
    return ShardContents(
        recipe=exported.recipe,
        dataset_sha256=exported.dataset_sha256,
        members=range(shard.first, shard.end),
        population=single_architecture(
            architecture, torch.from_numpy(weights_MP), list(members_of(table)), table["epoch"].to_pylist()
        ),
        steps=table["step"].to_pylist(),
        metrics={name: table[name].to_numpy().astype(np.float64) for name in metrics_among(table.column_names)},
        subsets=table["subset"].to_pylist(),
        imported=table["imported"].to_pylist(),
        unknown=[
            frozenset(MEMBER_COLUMNS[name].name for name in known if not known[name][row]) for row in range(len(table))
        ],
        environment=shard.environment,
    )


def _weights(exported: ExportedZoo, architecture: Architecture, table: pa.Table) -> np.ndarray:
    """The weights column of a Parquet set: float32 ``[M, P]``."""
    column = table["weights"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    lengths = column.value_lengths().to_numpy()
    if (lengths != architecture.parameters).any():
        raise ValueError(
            f"{exported.path / DATA} has weights of {lengths.min()} to {lengths.max()} entries where "
            f"{architecture.parameters} are expected; export the zoo again"
        )
    return np.array(flat, dtype=np.float32).reshape(-1, architecture.parameters)  # a copy: torch wants it writable
