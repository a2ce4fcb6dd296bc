"""Export of whole zoos; what is written is described in ``zoo.exchange.exported``."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from zoo.config import canonical_json
from zoo.exchange.committing import Progress
from zoo.exchange.dataset_card import dataset_card, folder_card
from zoo.exchange.exported import (
    DATA,
    FOLDER,
    PARQUET,
    RECORD,
    SNAPSHOTS,
    WEIGHTS,
    ExportedShard,
    is_remote,
    measured_hash,
    record,
    snapshot_file,
)
from zoo.storage.errors import ZooError
from zoo.storage.manifest import shard_path
from zoo.storage.rows import SPLITS, weights_of
from zoo.storage.shards import ShardHeader, read_shard
from zoo.storage.zoo import Zoo

# A Parquet set's files hold about this many bytes of weights.
FILE_BYTES = 256 << 20


def export_zoo(zoo: Zoo, target: Path, layout: str = FOLDER, progress: Progress | None = None) -> Path:
    """Writes a zoo as a folder of files, or as a Parquet set.

    The target appears when it is complete. One shard is in memory at a time.

    Args:
        zoo: What to export.
        target: A folder that does not exist yet.
        layout: ``FOLDER`` or ``PARQUET``.
        progress: Called with (shards done, of how many).

    Raises:
        ValueError: The target exists, or the layout is unknown.
        ZooError: A shard is missing or damaged.
    """
    if layout not in WRITERS:
        raise ValueError(f"unknown layout {layout!r}; known: {', '.join(WRITERS)}")
    with new_path(target) as partial:
        partial.mkdir()
        exported: list[ExportedShard] = []

        def shards() -> Iterator[tuple[int, pa.Table]]:
            for done, entry in enumerate(zoo.manifest.shards, start=1):
                header, table = _read(zoo, done - 1)
                exported.append(
                    ExportedShard(
                        first=entry.first,
                        end=entry.end,
                        architecture=entry.architecture,
                        content_sha256=entry.content_sha256,
                        measured_sha256=measured_hash(table),
                        environment=header.environment,
                    )
                )
                yield entry.architecture, table
                if progress is not None:
                    progress(done, len(zoo.manifest.shards))

        WRITERS[layout](zoo, partial, shards())
        (partial / RECORD).write_text(record(zoo, layout, exported))
    return target


@contextlib.contextmanager
def new_path(target: Path) -> Iterator[Path]:
    """Yields a path beside ``target`` to write to, and gives it that name when nothing has failed.

    Raises:
        ValueError: The target exists, or is none of this machine.
    """
    if is_remote(target):
        raise ValueError(f"{target} is not of this machine; export to a local path, and copy what is written there")
    if target.exists():
        raise ValueError(f"{target} exists already; give another name, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial{target.suffix}")
    try:
        yield partial
        partial.rename(target)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


def _read(zoo: Zoo, number: int) -> tuple[ShardHeader, pa.Table]:
    """A whole shard, checked against the manifest."""
    entry = zoo.manifest.shards[number]
    path = shard_path(zoo.name, entry.name)
    try:
        data = zoo.store.read(path)
    except FileNotFoundError as error:
        raise ZooError(f"{zoo.store.join(path)} is missing; `zooscale verify {zoo.name}` lists all damage") from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ZooError(f"{zoo.store.join(path)} is damaged; `zooscale verify {zoo.name}` lists all damage")
    header, table = read_shard(data, zoo.store.join(path))
    return header, table.replace_schema_metadata()


def _write_folder(zoo: Zoo, target: Path, shards: Iterator[tuple[int, pa.Table]]) -> None:
    """``weights/<member>/epoch-<epoch>.safetensors`` and the table of snapshots."""
    texts = [canonical_json(architecture) for architecture in zoo.architectures]
    (target / WEIGHTS).mkdir()
    with contextlib.ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for architecture, table in shards:
            layout = zoo.architectures[architecture].layout
            weights_MP = weights_of(table["weights"])
            files = [
                snapshot_file(*place)
                for place in zip(table["member"].to_pylist(), table["epoch"].to_pylist(), strict=True)
            ]
            for file, weights_P in zip(files, weights_MP, strict=True):
                (target / file).parent.mkdir(exist_ok=True)
                tensors = {spec.name: np.ascontiguousarray(weights_P[spec.span].reshape(spec.shape)) for spec in layout}
                save_file(tensors, target / file, metadata={"architecture": texts[architecture]})
            plain = table.drop_columns(["weights"]).append_column("file", pa.array(files, pa.string()))
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(target / SNAPSHOTS, plain.schema, compression="zstd"))
            writer.write_table(plain)
    (target / "README.md").write_text(folder_card(zoo))


def _write_parquet(zoo: Zoo, target: Path, shards: Iterator[tuple[int, pa.Table]]) -> None:
    """``data/<split>-<number>-of-<count>.parquet``, files of about ``FILE_BYTES`` of weights."""
    (target / DATA).mkdir()
    # Of one length, which readers take as a matrix, where all members have it.
    lists = pa.list_(pa.float32(), zoo.parameters if len(zoo.layouts) == 1 else -1)
    parts: dict[str, list[Path]] = {split: [] for split in SPLITS}
    rows: dict[str, int] = dict.fromkeys(SPLITS, 0)
    room: dict[str, int] = dict.fromkeys(SPLITS, 0)
    writers: dict[str, pq.ParquetWriter] = {}
    with contextlib.ExitStack() as stack:
        for architecture, table in shards:
            table = _with_architecture(table, architecture, lists)
            for split in SPLITS:
                chosen = table.filter(pc.equal(table["split"], split))
                if not len(chosen):
                    continue
                if room[split] <= 0:
                    if split in writers:
                        writers[split].close()
                    parts[split].append(target / DATA / f"{split}-{len(parts[split]):05d}")
                    writers[split] = stack.enter_context(_writer(parts[split][-1], chosen.schema))
                    room[split] = FILE_BYTES
                writers[split].write_table(chosen)
                rows[split] += len(chosen)
                room[split] -= chosen["weights"].nbytes
    for files in parts.values():
        for file in files:
            file.rename(file.with_name(f"{file.name}-of-{len(files):05d}.parquet"))
    (target / "README.md").write_text(dataset_card(zoo, rows))


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=strings,
        column_encoding={"weights.list.element": "BYTE_STREAM_SPLIT"},
    )


def _with_architecture(table: pa.Table, architecture: int, lists: pa.DataType) -> pa.Table:
    """Weights as lists of that type, and beside them the number of the architecture."""
    place = table.schema.get_field_index("weights")
    weights = pa.field("weights", lists, nullable=False)
    table = table.set_column(place, weights, table["weights"].cast(lists))
    number = pa.array([architecture] * len(table), pa.int32())
    return table.add_column(place, pa.field("architecture", pa.int32(), nullable=False), number)


WRITERS: dict[str, Callable[[Zoo, Path, Iterator[tuple[int, pa.Table]]], None]] = {
    FOLDER: _write_folder,
    PARQUET: _write_parquet,
}
