"""Speed of writing and reading zoos, on local disk and on an S3 server.

    python benchmarks/storage.py [--members 10000] [--repeats 5] [--shards 1600] [--json FILE]

The zoo is one of 784-8-10 networks (6 370 parameters) with weights drawn, not trained: speed depends on shapes and on
how random the weights are. The S3 server is ``rclone serve s3`` on loopback, with its files on the same disk, where
rclone is installed. Weights are counted uncompressed. CPU rates divide by the CPU time of this process, which is what
one core does; the server's is not in it. The median over the repetitions is reported. Pyarrow's rate is that of
``read_table`` on the same shards in memory, weights alone, one thread, pages checked: what a scan took that decoded
nothing itself. A process of its own imports the reader, opens the zoo, then reads one member, then scans.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from zoo.architecture import Architecture, mlp
from zoo.config import to_json
from zoo.generation.build import plan_shards
from zoo.generation.commit import zoo_name
from zoo.population import single_architecture
from zoo.recipes import Recipe
from zoo.storage.environment import environment
from zoo.storage.manifest import MANIFEST_VERSION, Manifest, ShardEntry, shard_name, shard_path, write_manifest
from zoo.storage.rows import METRIC_COLUMNS, sum_hashes
from zoo.storage.shards import ShardContents, describe_shard, encode_shard
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

RECIPE = Recipe(
    name="storage-benchmark", dataset="mnist", members=10_000, axes={"hidden": (8,)}, epochs=25, snapshot_epochs=(25,),
    shard_members=1024, block_members=16,
)  # fmt: skip
DATASET_SHA256 = "0" * 64
KEY, SECRET, BUCKET = "benchmark", "benchmark-secret", "bucket"


def drawn_shard(recipe: Recipe, architecture: Architecture, members: range) -> ShardContents:
    """What training would have left: every snapshot of some members, with random numbers."""
    generator = np.random.Generator(np.random.Philox(key=members.start))
    epochs = recipe.snapshot_epochs
    rows = len(members) * len(epochs)
    weights = generator.standard_normal((rows, architecture.parameters), dtype=np.float32) * np.float32(0.1)
    specs = [recipe.member(index) for index in members for _ in epochs]
    population = single_architecture(architecture, torch.from_numpy(weights), specs, list(epochs) * len(members))
    metrics = {name: generator.random(rows) for name in METRIC_COLUMNS}
    steps = [1000 * epoch for epoch in population.epochs]
    return ShardContents(
        recipe=recipe, dataset_sha256=DATASET_SHA256, members=members, population=population, steps=steps,
        metrics=metrics,
    )  # fmt: skip


def described(members: range, data: bytes) -> ShardEntry:
    return describe_shard(data, shard_name(members))


def commit(store: Store, recipe: Recipe, entries: list[ShardEntry]) -> str:
    """Writes the manifest; returns the zoo's name."""
    digest = recipe.digest(DATASET_SHA256)
    name = zoo_name(recipe, digest)
    manifest = Manifest(
        schema_version=MANIFEST_VERSION, recipe=to_json(recipe), digest=digest, dataset_sha256=DATASET_SHA256,
        members=recipe.members, shards=tuple(entries),
        content_sha256=sum_hashes([entry.content_sha256 for entry in entries]), environment=environment(),
        created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    write_manifest(store, name, manifest)
    return name


def timed(call: Callable[..., object], *arguments: object, **named: object) -> tuple[float, float]:
    """(seconds of the clock, seconds of CPU time of this process) that a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    call(*arguments, **named)
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(store: Store, recipe: Recipe, architecture: Architecture, repeats: int) -> dict[str, float]:
    """Writes the zoo, then reads it in several ways, each by a reader that has read nothing before."""
    ranges = plan_shards(recipe, 0, recipe.members)
    entries, put_s, encode_cpu_s = [], 0.0, 0.0
    name = zoo_name(recipe, recipe.digest(DATASET_SHA256))
    for members in ranges:
        contents, encoded = drawn_shard(recipe, architecture, members), b""

        def encode(contents: ShardContents = contents) -> None:
            nonlocal encoded
            encoded = encode_shard(contents)

        encode_cpu_s += timed(encode)[1]
        put_s += timed(store.put_new, shard_path(name, shard_name(members)), encoded)[0]
        entries.append(described(members, encoded))
    commit(store, recipe, entries)
    raw = 4e-6 * architecture.parameters * sum(entry.rows for entry in entries)
    every = np.arange(sum(entry.rows for entry in entries))
    scans, arrow, populations, tables, first_members, member_s, alone = [], [], [], [], [], [], []
    chance = np.random.default_rng(0)
    for _ in range(repeats):
        scans.append(timed(lambda: torch.from_numpy(Zoo.open(name, store=store)._reader.weights(every))))
        arrow.append(sum(arrow_cpu_s(store.read(shard_path(name, entry.name))) for entry in entries))
        zoo = Zoo.open(name, store=store)
        tables.append(timed(getattr, zoo, "snapshots"))
        populations.append(timed(zoo.population))
        chosen = chance.integers(recipe.members, size=20).tolist()
        opened = Zoo.open(name, store=store)
        first_members.append(timed(opened.population, members=chosen[:1]))
        member_s.append(statistics.median(timed(zoo.population, members=[one])[0] for one in chosen))
        alone.append(in_a_process("--read-alone", store.uri, name))
    return {
        "encode_mb_per_cpu_s": raw / encode_cpu_s,
        "put_mb_per_s": sum(entry.size_bytes for entry in entries) / 1e6 / put_s,
        "size_share": sum(entry.size_bytes for entry in entries) / 1e6 / raw,
        "scan_mb_per_cpu_s": raw / statistics.median(cpu for _, cpu in scans),
        "scan_slowest_mb_per_cpu_s": raw / max(cpu for _, cpu in scans),
        "scan_mb_per_s": raw / statistics.median(wall for wall, _ in scans),
        "arrow_mb_per_cpu_s": raw / statistics.median(arrow),
        "table_s": statistics.median(wall for wall, _ in tables),
        "population_mb_per_s": raw / statistics.median(wall for wall, _ in populations),
        "first_member_ms": 1e3 * statistics.median(wall for wall, _ in first_members),
        "first_member_cpu_ms": 1e3 * statistics.median(cpu for _, cpu in first_members),
        "member_ms": 1e3 * statistics.median(member_s),
        "alone_member_ms": 1e3 * statistics.median(read["member_s"] for read in alone),
        "alone_scan_mb_per_cpu_s": raw / statistics.median(read["scan_cpu_s"] for read in alone),
    }


def arrow_cpu_s(data: bytes) -> float:
    """CPU time that pyarrow takes to read the weights of a shard."""
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    return timed(lambda: file.read(columns=["weights"], use_threads=False))[1]


def in_a_process(*arguments: str) -> dict[str, float]:
    """What another process of this file prints."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def read_alone(uri: str, name: str) -> None:
    zoo = Zoo.open(name, store=uri)
    member_s, _ = timed(lambda: zoo.population(members=[len(zoo) // 3]))
    rows = np.arange(sum(entry.rows for entry in zoo.manifest.shards))
    _, scan_cpu_s = timed(lambda: torch.from_numpy(zoo._reader.weights(rows)))
    print(json.dumps({"member_s": member_s, "scan_cpu_s": scan_cpu_s}))


def many_shards(store: Store, shards: int) -> dict[str, float]:
    """Opens a zoo of so many shards and reads its table, in a process of its own."""
    architecture = mlp((1, 2, 2), (2,), 2)
    recipe = replace(RECIPE, name="many-shards", axes={"hidden": (2,)}, shard_members=64, members=64 * shards)
    entries = []
    for members in plan_shards(recipe, 0, recipe.members):
        data = encode_shard(drawn_shard(recipe, architecture, members))
        store.put_new(shard_path(zoo_name(recipe, recipe.digest(DATASET_SHA256)), shard_name(members)), data)
        entries.append(described(members, data))
    name = commit(store, recipe, entries)
    return in_a_process("--read-many", store.uri, name)


def read_many(uri: str, name: str) -> None:
    def peak_mb() -> float:
        """Of this process: that of ``getrusage`` begins with its parent's."""
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1e3

    before = peak_mb()
    started = time.perf_counter()
    zoo = Zoo.open(name, store=uri)
    opened = time.perf_counter()
    zoo.population(members=[len(zoo) // 2])
    found = time.perf_counter()
    rows = len(zoo.snapshots)
    print(
        json.dumps(
            {
                "members": len(zoo), "shards": len(zoo.manifest.shards), "rows": rows, "open_s": opened - started,
                "first_member_s": found - opened, "table_s": time.perf_counter() - found,
                "memory_mb": peak_mb() - before,
            }
        )
    )  # fmt: skip


@contextlib.contextmanager
def rclone() -> Iterator[str | None]:
    """The URI of a store on an S3 server of its own; ``None`` where rclone is not installed."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        Path(folder, BUCKET).mkdir()
        command = [program, "serve", "s3", folder, "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
        server = subprocess.Popen([*command, "--config", os.devnull], stderr=subprocess.DEVNULL)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }  # fmt: skip
        try:
            yield f"s3://{BUCKET}/store"
        finally:
            server.terminate()
            server.wait()


ROWS = {
    "encode_mb_per_cpu_s": "encode (MB/s of CPU time)",
    "size_share": "size on storage / size of the weights",
    "put_mb_per_s": "put (MB/s of the file)",
    "scan_mb_per_cpu_s": "full scan into a tensor (MB/s of CPU time)",
    "scan_slowest_mb_per_cpu_s": "full scan into a tensor, slowest (MB/s of CPU time)",
    "scan_mb_per_s": "full scan into a tensor (MB/s)",
    "arrow_mb_per_cpu_s": "the same by pyarrow alone, into its own memory (MB/s of CPU time)",
    "table_s": "table of all columns but the weights (s)",
    "population_mb_per_s": "`population()` of everything, table at hand (MB/s)",
    "first_member_ms": "one member, zoo just opened (ms)",
    "first_member_cpu_ms": "one member, zoo just opened (ms of CPU time)",
    "member_ms": "one member, table at hand (ms)",
    "alone_member_ms": "one member, first thing a process reads (ms)",
    "alone_scan_mb_per_cpu_s": "full scan, next thing that process reads (MB/s of CPU time)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--members", type=int, default=RECIPE.members)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shards", type=int, default=1600, help="shards of the zoo with many of them")
    parser.add_argument("--read-many", nargs=2, metavar=("STORE", "ZOO"), help=argparse.SUPPRESS)
    parser.add_argument("--read-alone", nargs=2, metavar=("STORE", "ZOO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.read_many:
        read_many(*arguments.read_many)
        return
    if arguments.read_alone:
        read_alone(*arguments.read_alone)
        return
    architecture = mlp((1, 28, 28), (8,), 10)
    recipe = replace(RECIPE, members=arguments.members)
    report: dict[str, object] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
    }
    print(f"{report['date']}, {report['machine']}: {recipe.members:,} x {architecture.parameters:,} float32\n")
    cases = {}
    with tempfile.TemporaryDirectory() as folder:
        cases["local disk"] = measure(Store(folder), recipe, architecture, arguments.repeats)
        report["many_shards"] = many = many_shards(Store(folder), arguments.shards)
    with rclone() as uri:
        if uri is not None:
            cases["rclone S3"] = measure(Store(uri), recipe, architecture, arguments.repeats)
    report["cases"] = cases
    print("| | " + " | ".join(cases) + " |")
    print("|---|" + "---:|" * len(cases))
    for key, title in ROWS.items():
        print(f"| {title} | " + " | ".join(f"{case[key]:,.3g}" for case in cases.values()) + " |")
    print(
        f"\n{many['members']:,} members in {many['shards']:,} shards, local: open {many['open_s']:.2f} s, one member "
        f"{many['first_member_s']:.2f} s, table of {many['rows']:,} rows {many['table_s']:.2f} s, "
        f"{many['memory_mb']:.0f} MB"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
