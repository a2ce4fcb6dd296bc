"""Shards: one Parquet file of snapshots of one architecture.

A row is one snapshot; rows are sorted by member, then epoch. Shape letters: M rows, P parameters.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zoo.architecture import Architecture
from zoo.config import canonical_json
from zoo.population import Population
from zoo.recipes import RecipeLike
from zoo.storage.environment import environment
from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.manifest import ShardEntry, shard_name
from zoo.storage.rows import (
    MEMBER_COLUMNS,
    content_hash,
    finite_rows,
    optional_of,
    shard_schema,
    split_of,
    weights_type,
    with_gap,
)

SCHEMA_VERSION = 3
METADATA_PREFIX = "zooscale."
# Aim for row groups of half a megabyte: one member is then read in a millisecond or two, and the footer, of which each
# row group needs 3 KB, stays small.
ROW_GROUP_BYTES = 1 << 19
# Columns that are worth compressing. Those of a few numbers are read three times as fast as they are.
COMPRESSED = ("weights", "subset", "imported")
FOOTER_END = 8


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """What a shard says about itself in its schema metadata.

    Attributes:
        schema_version: Version of columns and metadata.
        digest: Digest of the recipe on the data set: the zoo's identity.
        dataset_sha256: Content hash of the data set.
        members: Which members it holds.
        recipe: The recipe as JSON, without the number of members.
        architecture: The architecture of all its rows.
        content_sha256: Hash over ids, specs and weights; see :func:`content_hash`.
        environment: Library versions, backend and CPU that trained it.
    """

    schema_version: int
    digest: str
    dataset_sha256: str
    members: range
    recipe: Mapping[str, Any]
    architecture: Architecture
    content_sha256: str
    environment: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ShardContents:
    """What a shard holds before it is encoded: snapshots of one architecture.

    Attributes:
        recipe: What generated them.
        dataset_sha256: Content hash of the data set.
        members: The members that the rows belong to.
        population: Rows sorted by member, then epoch, with epochs.
        steps: For each row, optimizer steps done; ``None`` where that is not known.
        metrics: The columns of the task's metrics (``zoo.storage.rows.metric_columns``), float64, NaN where a
            network's output is not finite.
        subsets: For each row, the training images that the member saw where it has a subset, else nothing; empty
            where no row has one.
        imported: For each row, the hyper-parameters as they came with an imported member, JSON; empty where no row
            is imported.
        unknown: For each row, the fields of its member that are not known and are stored as null; empty where all
            are known.
        environment: What it was computed with; this process's where ``None``.
    """

    recipe: RecipeLike
    dataset_sha256: str
    members: range
    population: Population
    steps: Sequence[int | None]
    metrics: Mapping[str, np.ndarray]
    subsets: Sequence[np.ndarray] = ()
    imported: Sequence[str] = ()
    unknown: Sequence[frozenset[str]] = ()
    environment: Mapping[str, Any] | None = None


def describe_shard(data: bytes, where: str) -> ShardEntry:
    """What a manifest says of a shard with these bytes; the weights are not looked at.

    Raises:
        ZooError: It is damaged or no shard.
    """
    file = open_shard(io.BytesIO(data), where)
    header = read_header(file.schema_arrow, where)
    return ShardEntry(
        name=shard_name(header.members),
        first=header.members.start,
        end=header.members.stop,
        architecture=header.architecture.to_json(),
        rows=file.metadata.num_rows,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        content_sha256=header.content_sha256,
        **checksums(data, file.metadata),
    )


def checksums(data: bytes, footer: pq.FileMetaData) -> dict[str, Any]:
    """What parts of a shard are checked against when they are read: the last fields of its ``ShardEntry``."""
    view = memoryview(data)
    # Before the magic number at the end, four bytes say how long the rest of the footer is.
    footer_bytes = FOOTER_END + int.from_bytes(view[-FOOTER_END:][:4], "little")
    chunks = [weights_chunk(footer, group) for group in range(footer.num_row_groups)]
    return {
        "footer_bytes": footer_bytes,
        "footer_crc32": zlib.crc32(view[-footer_bytes:]),
        "weights_crc32": tuple(
            zlib.crc32(view[chunk.data_page_offset :][: chunk.total_compressed_size]) for chunk in chunks
        ),
    }


def weights_chunk(footer: pq.FileMetaData, group: int) -> pq.ColumnChunkMetaData:
    """The weights of a row group: the last column. They have no dictionary."""
    return footer.row_group(group).column(footer.num_columns - 1)


def encode_shard(contents: ShardContents) -> bytes:
    """Serializes a shard; equal contents give equal bytes.

    Raises:
        ValueError: The rows have several architectures.
    """
    population, recipe = contents.population, contents.recipe
    architecture = population.architecture
    if len(population.architectures) != 1:
        raise ValueError(f"a shard has one architecture, got {len(population.architectures)}")
    weights = population.weights_MP.contiguous().numpy()
    members, rows = population.members, len(population)
    imported = list(contents.imported) or [""] * rows
    unknown = list(contents.unknown) or [frozenset()] * rows
    columns: dict[str, Any] = {
        name: [None if f.name in lacking else getattr(m, f.name) for m, lacking in zip(members, unknown, strict=True)]
        for name, f in MEMBER_COLUMNS.items()
    }
    metrics = contents.metrics
    columns |= with_gap(metrics)
    columns |= {
        "epoch": list(population.epochs),
        "step": list(contents.steps),
        "split": [split_of(member.id, recipe.block_members, member.task, recipe.held_out) for member in members],
        "dataset": [recipe.dataset] * rows,
        "activation": [architecture.activation] * rows,
        "subset": list(contents.subsets) or [np.empty(0, np.int32)] * rows,
        "imported": imported,
        "diverged": ~finite_rows(weights, metrics, np.array([bool(text) for text in imported])),
        "weights": pa.FixedSizeListArray.from_arrays(
            pa.array(weights.reshape(-1)), type=weights_type(architecture.parameters)
        ),
    }
    schema = shard_schema(architecture.parameters, metrics, optional_of(recipe))
    table = pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)
    header = {
        "schema_version": SCHEMA_VERSION,
        "digest": recipe.digest(contents.dataset_sha256),
        "dataset_sha256": contents.dataset_sha256,
        "members": [contents.members.start, contents.members.stop],
        "recipe": recipe.identity(),
        "architecture": architecture.to_json(),
        "content_sha256": content_hash(table, architecture),
        "environment": environment() if contents.environment is None else contents.environment,
    }
    table = table.replace_schema_metadata({METADATA_PREFIX + k: canonical_json(v) for k, v in header.items()})
    return _serialize(table, row_group_rows(architecture.parameters, len(recipe.snapshot_epochs)))


def row_group_rows(parameters: int, snapshots: int) -> int:
    """Rows of a row group: whole members, about ``ROW_GROUP_BYTES``."""
    return snapshots * max(1, ROW_GROUP_BYTES // (4 * parameters * snapshots))


def _serialize(table: pa.Table, rows: int) -> bytes:
    """A table as Parquet: weights by byte planes, page checksums, zstd where it is worth it."""
    plain = [name for name in table.column_names if name != "weights"]
    strings = [field.name for field in table.schema if pa.types.is_string(field.type)]
    lists = {field.name: f"{field.name}.list.element" for field in table.schema if hasattr(field.type, "value_type")}
    zstd = {lists.get(name, name) for name in COMPRESSED if name in table.column_names}
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=rows,
        compression={lists.get(name, name): "none" for name in table.column_names} | dict.fromkeys(zstd, "zstd"),
        compression_level=dict.fromkeys(zstd, 1),
        use_dictionary=strings,
        column_encoding={lists["weights"]: "BYTE_STREAM_SPLIT"},
        write_statistics=plain,
        write_page_checksum=True,
        data_page_version="1.0",
    )
    return buffer.getvalue()


def open_shard(file: BinaryIO, where: str) -> pq.ParquetFile:
    """Opens a shard for reading parts of it; pages are checked as they are read.

    Raises:
        ZooError: It is not a readable Parquet file.
    """
    with damage_of(where):
        return pq.ParquetFile(file, page_checksum_verification=True)


def read_header(schema: pa.Schema, where: str) -> ShardHeader:
    """What a shard says about itself.

    Raises:
        ZooError: It is not a shard, or one of another schema version.
    """
    metadata = schema.metadata or {}
    try:
        raw = {
            key.decode().removeprefix(METADATA_PREFIX): json.loads(value)
            for key, value in metadata.items()
            if key.decode().startswith(METADATA_PREFIX)
        }
        if raw["schema_version"] == SCHEMA_VERSION:
            raw["members"] = range(*raw["members"])
            raw["architecture"] = Architecture.from_json(raw["architecture"])
            return ShardHeader(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise ZooError(f"{where} is no shard of a zoo: its metadata lack or misstate {error}; delete it") from error
    raise ZooError(
        f"{where} has schema version {raw['schema_version']}; this release reads {SCHEMA_VERSION}. "
        "Use the release that wrote it, or generate the zoo anew"
    )


def read_shard(data: bytes, where: str) -> tuple[ShardHeader, pa.Table]:
    """Reads a whole shard.

    Raises:
        ZooError: It is damaged or no shard.
    """
    file = open_shard(io.BytesIO(data), where)
    with damage_of(where):
        table = file.read(use_threads=False)  # see ShardReader.read
    return read_header(table.schema, where), table


@contextlib.contextmanager
def damage_of(where: str) -> Iterator[None]:
    """Turns what pyarrow raises on a damaged file into an error that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ZooError(
            f"{where} is corrupted or truncated ({error}). `zooscale verify` lists all damage of a zoo; "
            f"delete the file and {REMAKE}"
        ) from error
