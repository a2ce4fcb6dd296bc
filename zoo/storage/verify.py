"""Verification of zoos."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zoo.architecture import Architecture
from zoo.config import canonical_json
from zoo.recipes import Recipe
from zoo.storage.errors import REMAKE, ZooError
from zoo.storage.manifest import ShardEntry, listed_shards, shard_path
from zoo.storage.rows import (
    content_hash,
    finite_rows,
    members_of,
    metrics_among,
    schema_fault,
    split_of,
    sum_hashes,
    weights_of,
)
from zoo.storage.shards import checksums, open_shard, read_shard
from zoo.storage.zoo import Zoo


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a zoo.

    Attributes:
        kind: What kind of fault, in a few words that do not change: "missing shard", "wrong file hash".
        where: URI of the file.
        detail: What was found and what was expected.
    """

    kind: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.detail}"


def verify(zoo: Zoo | str) -> list[Finding]:
    """Reads a whole zoo and compares it with its manifest and its recipe.

    Args:
        zoo: A zoo, or what ``Zoo.open`` takes.

    Returns:
        Everything that is wrong, by file; empty for a sound zoo.

    Raises:
        ZooError: The zoo cannot even be opened: it is unfinished, or its manifest is damaged or of another recipe.
    """
    zoo = zoo if isinstance(zoo, Zoo) else Zoo.open(zoo)
    manifest = zoo.manifest
    findings = []
    present = set(zoo.store.list(shard_path(zoo.name, "")))
    listed = {shard_path(zoo.name, entry.name): entry for entry in manifest.shards}
    for path, entry in listed.items():
        where = zoo.store.join(path)
        if path not in present:
            findings.append(Finding("missing shard", where, f"the manifest lists it; {REMAKE}"))
        else:
            findings += [Finding(kind, where, detail) for kind, detail in _shard_faults(zoo, entry, path)]
    findings += [
        Finding("extra shard", zoo.store.join(path), "no manifest lists it; it may be removed as unfinished")
        for path in sorted(present - listed_shards(zoo.store, zoo.name))
    ]
    total = sum_hashes([entry.content_sha256 for entry in manifest.shards])
    if total != manifest.content_sha256:
        findings.append(Finding("wrong content hash", zoo.uri, f"{manifest.content_sha256}, its shards give {total}"))
    return findings


def _shard_faults(zoo: Zoo, entry: ShardEntry, path: str) -> Iterator[tuple[str, str]]:
    """(kind, detail) of everything that is wrong with one shard."""
    data = zoo.store.read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != entry.sha256:
        yield "wrong file hash", f"sha256 is {sha256}, the manifest says {entry.sha256}"
    try:
        header, table = read_shard(data, zoo.store.join(path))
    except ZooError as error:
        yield "unreadable shard", str(error)
        return
    told = checksums(data, open_shard(io.BytesIO(data), path).metadata)
    if sha256 == entry.sha256 and any(getattr(entry, name) != value for name, value in told.items()):
        yield "wrong checksums", "those of its footer and weights are not the manifest's"
    if header.digest != zoo.digest:
        yield "wrong recipe", f"its digest is {header.digest}, the zoo's {zoo.digest}"
    elif canonical_json(header.recipe) != canonical_json(zoo.recipe.identity()):
        yield "wrong recipe", "the recipe that it holds is not the one of its digest"
    if header.dataset_sha256 != zoo.manifest.dataset_sha256:
        yield (
            "wrong data set",
            f"it was trained on {header.dataset_sha256[:8]}, the zoo on {zoo.manifest.dataset_sha256[:8]}",
        )
    if header.members != entry.members:
        said, listed = (f"{members.start} to {members.stop - 1}" for members in (header.members, entry.members))
        yield "wrong members", f"it says {said}, the manifest {listed}"
    architecture = Architecture.from_json(entry.architecture)
    if header.architecture != architecture:
        yield "wrong architecture", f"it says {header.architecture.to_json()}"
    if fault := schema_fault(table.schema, architecture.parameters):
        yield "wrong schema", fault
        return
    try:
        yield from _row_faults(zoo, entry, table)
    except (TypeError, ValueError) as error:
        yield "wrong specs", str(error)
        return
    content = content_hash(table, header.architecture)
    if not content == header.content_sha256 == entry.content_sha256:
        yield (
            "wrong content hash",
            f"rows give {content}, the shard says {header.content_sha256}, the manifest {entry.content_sha256}",
        )


def _row_faults(zoo: Zoo, entry: ShardEntry, table: pa.Table) -> Iterator[tuple[str, str]]:
    """(kind, detail) of what is wrong with a shard's rows."""
    epochs = zoo.recipe.snapshot_epochs
    ids = range(entry.first, entry.end)
    if len(table) != entry.rows or entry.rows != len(ids) * len(epochs):
        yield (
            "wrong row count",
            f"{len(table)} rows; the manifest says {entry.rows}, {len(ids)} members at {len(epochs)} epochs make "
            f"{len(ids) * len(epochs)}",
        )
    rows = list(zip(table["member"].to_pylist(), table["epoch"].to_pylist(), strict=True))
    if rows != [(member, epoch) for member in ids for epoch in epochs]:
        odd = sorted(set(rows) ^ {(member, epoch) for member in ids for epoch in epochs})
        what = f"(member, epoch) lacking or too many: {odd[:5]}" if odd else "rows are out of order or repeated"
        yield "wrong members or epochs", what
    elif isinstance(zoo.recipe, Recipe):
        expected = (zoo.recipe.member(member) for member, _ in rows)
        odd = [row for row, *specs in zip(rows, members_of(table), expected, strict=True) if specs[0] != specs[1]]
        if odd:
            yield "wrong specs", f"not trained as the recipe says: (member, epoch) {odd[:5]}"
    tasks = (task or "" for task in table["task"].to_pylist())
    splits = [
        split_of(member, zoo.recipe.block_members, task, zoo.recipe.held_out)
        for (member, _), task in zip(rows, tasks, strict=True)
    ]
    if table["split"].to_pylist() != splits:
        yield "wrong split", "a member is in another split than its number or task says"
    sizes = [size or 0 for size in table["subset_size"].to_pylist()]
    if [len(subset) for subset in table["subset"].to_pylist()] != sizes:
        yield "wrong subset", "a member's training images are not as many as its subset_size says"
    metrics = {name: table[name].to_numpy() for name in metrics_among(table.column_names)}
    imported = np.array([bool(text) for text in table["imported"].to_pylist()])
    finite = finite_rows(weights_of(table["weights"]), metrics, imported)
    marked = table["diverged"].to_numpy()
    if (~finite & ~marked).any():
        found = [rows[row] for row in np.flatnonzero(~finite & ~marked)[:5]]
        yield "unmarked divergence", f"not finite but not marked as diverged: (member, epoch) {found}"
    if (finite & marked).any():
        yield "wrong divergence mark", f"{int((finite & marked).sum())} finite snapshots are marked as diverged"
