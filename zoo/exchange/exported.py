"""Parquet sets: Hugging Face ``datasets`` reads them as they are, ``zooscale import`` makes of them the zoo again.

zoo.json                                        recipe, architectures, shards, hashes
data/train-00000-of-00002.parquet, ...          every column, weights as a list of float32, by split
README.md
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from zoo.architecture import Architecture
from zoo.config import to_json
from zoo.exchange.input_files import read_json
from zoo.generation.commit import zoo_name
from zoo.recipes import RecipeLike, recipe_from_json
from zoo.storage.rows import metrics_among, sum_hashes
from zoo.storage.zoo import Zoo

FORMAT = "zooscale-parquet"
RECORD, DATA = "zoo.json", "data"
VERSION = 1
# Of the record of a zoo with a hundred thousand shards.
RECORD_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedShard:
    """A shard of the zoo that was exported.

    Attributes:
        first: First member.
        end: One past the last member.
        architecture: Index into the architectures.
        content_sha256: Hash over ids, specs and weights.
        measured_sha256: Hash over the rest, from :func:`measured_hash`.
        environment: What it was computed with.
    """

    first: int
    end: int
    architecture: int
    content_sha256: str
    measured_sha256: str
    environment: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ExportedZoo:
    """An exported zoo, opened.

    Attributes:
        path: Its folder.
        name: Full name of the zoo.
        recipe: What stands behind it.
        digest: Its identity.
        dataset_sha256: Content hash of the data set.
        content_sha256: Hash over everything.
        architectures: Its distinct architectures.
        shards: Its shards.
    """

    path: Path
    name: str
    recipe: RecipeLike
    digest: str
    dataset_sha256: str
    content_sha256: str
    architectures: tuple[Architecture, ...]
    shards: tuple[ExportedShard, ...]

    @property
    def members(self) -> int:
        """How many members."""
        return self.shards[-1].end

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epochs of the snapshots."""
        return self.recipe.snapshot_epochs


def measured_hash(table: pa.Table) -> str:
    """Hash over what the content hash of a shard leaves out: metrics, steps and subsets of its rows in their order."""
    rows = table.select([*metrics_among(table.column_names), "step", "subset"]).to_pylist()
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def record(zoo: Zoo, shards: list[ExportedShard]) -> str:
    """``zoo.json`` of a zoo."""
    manifest = zoo.manifest
    value = {
        "format": FORMAT,
        "version": VERSION,
        "name": zoo.name,
        "recipe": manifest.recipe,
        "digest": manifest.digest,
        "dataset_sha256": manifest.dataset_sha256,
        "content_sha256": manifest.content_sha256,
        "architectures": zoo.architectures,
        "shards": shards,
    }
    return json.dumps(to_json(value), indent=1) + "\n"


def is_remote(path: Path) -> bool:
    """Whether a path was an address once: ``s3://bucket/name`` is the path ``s3:/bucket/name``."""
    return path.parts[:1] != () and path.parts[0].endswith(":")


def matches(path: Path) -> bool:
    """Whether a folder holds an exported zoo."""
    return path.is_dir() and (path / RECORD).exists()


def open_exported(path: Path) -> ExportedZoo:
    """Reads the record of an exported zoo.

    Raises:
        ValueError: It is damaged, or of another release.
    """
    where = path / RECORD
    value = read_json(where, RECORD_BYTES)
    try:
        if (value["format"], value["version"]) != (FORMAT, VERSION):
            raise ValueError(
                f"it is of format {value['format']!r}, version {value['version']!r}; this release reads {FORMAT}, "
                f"version {VERSION}"
            )
        recipe = recipe_from_json(value["recipe"])
        exported = ExportedZoo(
            path=path,
            name=value["name"],
            recipe=recipe,
            digest=value["digest"],
            dataset_sha256=value["dataset_sha256"],
            content_sha256=value["content_sha256"],
            architectures=tuple(Architecture.from_json(entry) for entry in value["architectures"]),
            shards=tuple(ExportedShard(**entry) for entry in value["shards"]),
        )
        _check_shards(exported)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where} is damaged or of another release ({error}); export the zoo again") from error
    if recipe.digest(exported.dataset_sha256) != exported.digest or exported.name != zoo_name(recipe, exported.digest):
        raise ValueError(f"{where} is of another recipe than its digest says; export the zoo again")
    return exported


def _check_shards(exported: ExportedZoo) -> None:
    """Raises where the shards do not follow one another, or are not those of the zoo's hash."""
    ends = [shard.end for shard in exported.shards]
    if not ends or [shard.first for shard in exported.shards] != [0, *ends[:-1]]:
        raise ValueError("its shards do not follow one another")
    if any(shard.architecture not in range(len(exported.architectures)) for shard in exported.shards):
        raise ValueError(f"a shard has another architecture than the {len(exported.architectures)} there are")
    if sum_hashes([shard.content_sha256 for shard in exported.shards]) != exported.content_sha256:
        raise ValueError("its content hash is not that of its shards")
