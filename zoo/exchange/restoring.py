"""Makes of an exported zoo the zoo that it was.

Shape letters: M rows, P parameters.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from zoo.architecture import Architecture
from zoo.config import to_json
from zoo.exchange.committing import Progress, is_whole, store_shards
from zoo.exchange.exported import DATA, FOLDER, SNAPSHOTS, ExportedShard, ExportedZoo, measured_hash, snapshot_file
from zoo.population import single_architecture
from zoo.storage.errors import ZooError
from zoo.storage.manifest import read_manifest
from zoo.storage.rows import MEMBER_COLUMNS, members_of, metrics_among
from zoo.storage.shards import ShardContents, ShardRange, encode_shard, read_shard
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

# Columns that are neither of a member nor metrics.
REST = ("epoch", "step", "subset", "imported")


def restore(exported: ExportedZoo, store: Store, progress: Progress | None = None) -> Zoo:
    """Makes the zoo that was exported: same recipe, members, metrics, weights and hashes.

    Everything is checked before anything is stored.

    Raises:
        ValueError: A file is missing or damaged, or rows are not those that were exported.
        ZooError: The store cannot be written, or has a zoo of that name with other members.
    """
    previous = read_manifest(store, exported.name)
    if previous is not None and previous.content_sha256 != exported.content_sha256:
        raise ZooError(
            f"{store.uri} has zoo {exported.name} already, with {previous.members} members and other content than the "
            f"{exported.members} of {exported.path}; import it into another store"
        )
    if is_whole(store, exported.name):
        return Zoo.open(exported.name, store=store)
    for shard, contents in zip(exported.shards, _shards(exported), strict=True):
        header, _ = read_shard(encode_shard(contents), str(exported.path))
        if header.content_sha256 != shard.content_sha256:
            raise ValueError(
                f"members {shard.first} to {shard.end - 1} in {exported.path} are not those that were exported: their "
                f"content hash is {header.content_sha256[:8]}, not {shard.content_sha256[:8]}; export the zoo again"
            )
    return store_shards(
        store,
        exported.name,
        to_json(exported.recipe),
        exported.digest,
        exported.dataset_sha256,
        _shards(exported),
        len(exported.shards),
        progress,
    )


def _shards(exported: ExportedZoo) -> Iterator[ShardContents]:
    rows = _open_rows(exported)
    columns = [*REST, *MEMBER_COLUMNS, *([] if exported.format == FOLDER else ["weights"])]
    if lacking := [name for name in columns if name not in rows.schema.names]:
        raise ValueError(f"{exported.path} lacks the column {lacking[0]}; export the zoo again")
    for shard in exported.shards:
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
        yield _contents(exported, shard, table)


def _open_rows(exported: ExportedZoo) -> pads.Dataset:
    if exported.format == FOLDER:
        files = [exported.path / SNAPSHOTS]
    else:
        files = sorted((exported.path / DATA).glob("*.parquet"))
    if not files or not files[0].exists():
        raise ValueError(f"{exported.path} has no {SNAPSHOTS if exported.format == FOLDER else DATA + '/*.parquet'}")
    try:
        return pads.dataset([str(file) for file in files], format="parquet")
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{files[0].parent} cannot be read ({error}); export the zoo again") from error


def _contents(exported: ExportedZoo, shard: ExportedShard, table: pa.Table) -> ShardContents:
    """A shard as it was before it was exported."""
    architecture = exported.architectures[shard.architecture]
    known = {name: table[name].is_valid().to_pylist() for name in MEMBER_COLUMNS}
    weights_MP = (_weights_of_files if exported.format == FOLDER else _weights_of_lists)(exported, architecture, table)
    return ShardContents(
        recipe=exported.recipe,
        dataset_sha256=exported.dataset_sha256,
        members=ShardRange(shard.first, shard.end),
        population=single_architecture(
            architecture, torch.from_numpy(weights_MP), list(members_of(table)), table["epoch"].to_pylist()
        ),
        steps=table["step"].to_pylist(),
        metrics={name: table[name].to_numpy().astype(np.float64) for name in metrics_among(table.column_names)},
        subsets=table["subset"].to_pylist(),
        imported=table["imported"].to_pylist(),
        unknown=[
            frozenset(field.name for name, field in MEMBER_COLUMNS.items() if not known[name][row])
            for row in range(len(table))
        ],
        environment=shard.environment,
    )


def _weights_of_lists(exported: ExportedZoo, architecture: Architecture, table: pa.Table) -> np.ndarray:
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


def _weights_of_files(exported: ExportedZoo, architecture: Architecture, table: pa.Table) -> np.ndarray:
    """The weights of the snapshots of a folder: float32 ``[M, P]``."""
    weights_MP = np.empty((len(table), architecture.parameters), dtype=np.float32)
    for row, (member, epoch) in enumerate(zip(table["member"].to_pylist(), table["epoch"].to_pylist(), strict=True)):
        path = exported.path / snapshot_file(member, epoch)
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path} is missing or damaged ({error}); export the zoo again") from error
        for spec in architecture.layout:
            if spec.name not in tensors or tensors[spec.name].shape != tuple(spec.shape):
                raise ValueError(f"{path} has no tensor {spec.name} {tuple(spec.shape)}; export the zoo again")
            weights_MP[row, spec.span] = tensors[spec.name].reshape(-1)
    return weights_MP
