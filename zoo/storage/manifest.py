"""Manifests: the commit records of zoos.

    <store>/zoos/<recipe>-<digest8>/shards/shard-0000000-0000064.parquet …
    <store>/zoos/<recipe>-<digest8>/manifest-0001.json

A zoo exists once it has a manifest; the one with the highest number is the zoo. This module needs no torch.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo.config import from_json, to_json
from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.store import Store

MANIFEST_VERSION = 2
ZOOS = "zoos"
SHARDS = "shards"
MANIFEST_PATTERN = re.compile(r"manifest-(\d{4})\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardEntry:
    """One shard of a zoo.

    Attributes:
        name: File name.
        first: First member.
        end: One past the last member.
        architecture: The architecture of all its members as JSON.
        rows: Number of snapshots.
        size_bytes: Size of the file.
        sha256: Hash of the file.
        content_sha256: Hash over ids, specs and weights.
        footer_bytes: Size of the file's footer, its length and magic number included.
        footer_crc32: Checksum of the footer.
        weights_crc32: Checksum of the weights in each row group, as they lie in the file.
    """

    name: str
    first: int
    end: int
    architecture: Mapping[str, Any]
    rows: int
    size_bytes: int
    sha256: str
    content_sha256: str
    footer_bytes: int
    footer_crc32: int
    weights_crc32: tuple[int, ...]

    @property
    def members(self) -> range:
        """The members that it holds."""
        return range(self.first, self.end)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a zoo consists of.

    Attributes:
        schema_version: Version of this record.
        recipe: The recipe as JSON, with the number of members.
        digest: Digest of the recipe on the data set: the zoo's identity.
        dataset_sha256: Content hash of the data set.
        members: Number of members.
        shards: All shards, in order of members.
        content_sha256: Hash over ids, specs and weights of the whole zoo.
        environment: Library versions and CPU of the process that committed it.
        created: When, ISO 8601 in UTC.
    """

    schema_version: int
    recipe: Mapping[str, Any]
    digest: str
    dataset_sha256: str
    members: int
    shards: tuple[ShardEntry, ...]
    content_sha256: str
    environment: Mapping[str, Any]
    created: str

    def __post_init__(self) -> None:
        ends = [0, *(shard.end for shard in self.shards)]
        if [shard.first for shard in self.shards] != ends[:-1] or ends[-1] != self.members:
            raise ValueError(f"its shards do not make up members 0 to {self.members - 1} without gaps")

    def architectures(self) -> tuple[list[Mapping[str, Any]], list[int]]:
        """The distinct architectures in the order in which they occur, and for each shard its index among them."""
        distinct: dict[str, int] = {}
        numbers = [
            distinct.setdefault(json.dumps(shard.architecture, sort_keys=True), len(distinct)) for shard in self.shards
        ]
        return [json.loads(text) for text in distinct], numbers

    def to_bytes(self) -> bytes:
        """The manifest as JSON text, in which shards have the index of their architecture."""
        architectures, numbers = self.architectures()
        value = to_json(dataclasses.asdict(self)) | {"architectures": architectures}
        for shard, number in zip(value["shards"], numbers, strict=True):
            shard["architecture"] = number
        return (json.dumps(value, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """The inverse of :meth:`to_bytes`.

        Raises:
            ZooError: It is damaged, or written by another release.
        """
        try:
            value = json.loads(data)
            version = value["schema_version"]
            if version == MANIFEST_VERSION:
                architectures = value.pop("architectures")
                shards = [entry | {"architecture": architectures[entry["architecture"]]} for entry in value["shards"]]
                return from_json(cls, value | {"shards": [from_json(ShardEntry, entry) for entry in shards]})
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ZooError(
                f"{where} is damaged ({error}). Delete it, and {REMAKE}: the manifest is written anew from the "
                "shards, or the one before it counts"
            ) from error
        raise ZooError(f"{where} has schema version {version}; this release reads {MANIFEST_VERSION}")


def zoo_folder(name: str) -> str:
    """Path of a zoo in its store."""
    return f"{ZOOS}/{name}"


def shard_name(members: range) -> str:
    """File name of the shard that holds these members."""
    return f"shard-{members.start:07d}-{members.stop:07d}.parquet"


def shard_path(zoo: str, shard: str) -> str:
    """Path of a shard in its store."""
    return f"{zoo_folder(zoo)}/{SHARDS}/{shard}"


def manifest_paths(store: Store, name: str) -> tuple[str, ...]:
    """Paths of a zoo's manifests, oldest first, without a look at its shards."""
    return tuple(
        f"{zoo_folder(name)}/{file}" for file in store.files(zoo_folder(name)) if MANIFEST_PATTERN.fullmatch(file)
    )


def read_manifest(store: Store, name: str) -> Manifest | None:
    """The newest manifest of a zoo; ``None`` where there is none.

    Raises:
        ZooError: It is damaged.
    """
    paths = manifest_paths(store, name)
    return Manifest.from_bytes(store.read(paths[-1]), store.join(paths[-1])) if paths else None


def listed_shards(store: Store, name: str) -> set[str]:
    """Paths of the shards that any manifest of a zoo lists.

    Raises:
        ZooError: A manifest is damaged.
    """
    manifests = (Manifest.from_bytes(store.read(path), store.join(path)) for path in manifest_paths(store, name))
    return {shard_path(name, entry.name) for manifest in manifests for entry in manifest.shards}


def write_manifest(store: Store, name: str, manifest: Manifest) -> None:
    """Commits a zoo under the next free number; nothing is written where another process has committed the same.

    Raises:
        ZooError: Another process committed something else meanwhile, or the store cannot be written.
    """
    while True:
        paths = manifest_paths(store, name)
        number = 0
        if paths:
            newest = Manifest.from_bytes(store.read(paths[-1]), store.join(paths[-1]))
            if _is_same(newest, manifest):
                return
            if newest.members > manifest.members or newest.digest != manifest.digest:
                raise ZooError(
                    f"{store.join(paths[-1])} with {newest.members} members was written by another process just now; "
                    "run `zooscale generate` again to go on from what it committed"
                )
            match = MANIFEST_PATTERN.fullmatch(paths[-1].rpartition("/")[2])
            number = int(match[1]) if match else 0
        if store.put_new(f"{zoo_folder(name)}/manifest-{number + 1:04d}.json", manifest.to_bytes()):
            return


def _is_same(one: Manifest, other: Manifest) -> bool:
    """Whether two manifests describe the same zoo, whoever made it and when."""
    return dataclasses.replace(one, environment=other.environment, created=other.created).to_bytes() == other.to_bytes()
