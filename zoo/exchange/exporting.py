"""Export of whole zoos into formats that others read."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zoo.exchange.copying import read_shard_file
from zoo.exchange.dataset_card import dataset_card
from zoo.exchange.exported import DATA, RECORD, ExportedShard, is_remote, measured_hash, record
from zoo.exchange.small_cnn_zoo import write_small_cnn_zoo
from zoo.generation.build import Progress
from zoo.storage.rows import SPLITS
from zoo.storage.shards import read_shard
from zoo.storage.zoo import Zoo

# A Parquet set's files hold about this many bytes of weights.
FILE_BYTES = 256 << 20


def export_zoo(zoo: Zoo, target: Path, layout: str, progress: Progress | None = None) -> Path:
    """Writes a zoo in a format that others read. The target appears when it is complete.

    Args:
        zoo: What to export.
        target: A folder that does not exist yet.
        layout: A name in ``ZOO_FORMATS``.
        progress: Called with (how much is done, of how much).

    Raises:
        ValueError: The target exists, or the format is unknown or cannot say what the zoo is.
        ZooError: A shard is missing or damaged.
    """
    if layout not in ZOO_FORMATS:
        raise ValueError(f"unknown format {layout!r}; known: {', '.join(ZOO_FORMATS)}")
    with new_path(target) as partial:
        partial.mkdir()
        ZOO_FORMATS[layout](zoo, partial, progress)
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


def write_parquet(zoo: Zoo, target: Path, progress: Progress | None = None) -> None:
    """Writes a Parquet set, described in ``zoo.exchange.exported``, into a folder; one shard is in memory at a time."""
    (target / DATA).mkdir()
    # Of one length, which readers take as a matrix, where all members have it.
    lists = pa.list_(pa.float32(), zoo.parameters if len(zoo.layouts) == 1 else -1)
    parts: dict[str, list[Path]] = {split: [] for split in SPLITS}
    rows: dict[str, int] = dict.fromkeys(SPLITS, 0)
    room: dict[str, int] = dict.fromkeys(SPLITS, 0)
    writers: dict[str, pq.ParquetWriter] = {}
    shards: list[ExportedShard] = []
    with contextlib.ExitStack() as stack:
        for entry, architecture in zip(zoo.manifest.shards, zoo.architecture_of_shard, strict=True):
            header, whole = read_shard(read_shard_file(zoo, entry), zoo.uri)
            shards.append(
                ExportedShard(
                    first=entry.first,
                    end=entry.end,
                    architecture=architecture,
                    content_sha256=entry.content_sha256,
                    measured_sha256=measured_hash(whole),
                    environment=header.environment,
                )
            )
            table = _with_architecture(whole.replace_schema_metadata(), architecture, lists)
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
            if progress is not None:
                progress(len(shards), len(zoo.manifest.shards))
    for files in parts.values():
        for file in files:
            file.rename(file.with_name(f"{file.name}-of-{len(files):05d}.parquet"))
    (target / "README.md").write_text(dataset_card(zoo, rows))
    (target / RECORD).write_text(record(zoo, shards))


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


ZOO_FORMATS: dict[str, Callable[[Zoo, Path, Progress | None], None]] = {
    "parquet": write_parquet,
    "small-cnn-zoo": write_small_cnn_zoo,
}
