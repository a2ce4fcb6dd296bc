"""What reading a zoo costs in this checkout and in another one, side by side.

    git worktree add ../before COMMIT
    python benchmarks/readers.py ../before [--members 10000] [--turns 5] [--json FILE]

Each checkout writes the same zoo of 784-8-10 networks as it writes zoos, on local disk and on rclone's S3 server, and
reads it in processes of its own that take turns. Seconds of CPU time of the reading process; of each operation the
median within a process, then over the turns. Processes keep the memory that they have freed, so that scans after the
first write to the same memory, in both.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "OMP_NUM_THREADS": "1"}
OPERATIONS = (
    "full scan of the weights",
    "open, list the table",
    "one member, just opened",
    "one member, table at hand",
    "20 members, just opened",
    "20 members, table at hand",
)


def write(uri: str, members: int) -> str:
    """Writes the zoo; returns its name."""
    from dataclasses import replace

    import storage  # type: ignore[import-not-found]  # beside this file, of the checkout that is measured

    from zoo.architecture import mlp
    from zoo.storage.manifest import shard_path
    from zoo.storage.shards import encode_shard
    from zoo.storage.store import Store

    store, architecture = Store(uri), mlp((1, 28, 28), (8,), 10)
    recipe = replace(storage.RECIPE, members=members)
    name, entries = storage.zoo_name(recipe, recipe.digest(storage.DATASET_SHA256)), []
    for shard in storage.plan_shards(recipe, 0, members):
        data = encode_shard(storage.drawn_shard(recipe, architecture, shard))
        entries.append(storage.described(shard, data))
        store.put_new(shard_path(name, entries[-1].name), data)
    # Checkouts before the end of November 2026 want the architecture too.
    more: list[Any] = [architecture] if "architecture" in inspect.signature(storage.commit).parameters else []
    return storage.commit(store, recipe, *more, entries)


def read(uri: str, name: str) -> dict[str, float]:
    """CPU seconds of each operation."""
    import numpy as np

    from zoo.storage.zoo import Zoo

    def opened() -> Zoo:
        return Zoo.open(name, store=uri)

    def median(times: int, operation: Callable[[Zoo, list[int]], object], *, table: bool) -> float:
        seconds = []
        for _ in range(times):
            zoo, members = opened(), chance.integers(len(opened()), size=20).tolist()
            if table:
                _ = zoo.snapshots
            started = time.process_time()
            operation(zoo, members)
            seconds.append(time.process_time() - started)
        return statistics.median(seconds)

    chance = np.random.default_rng(0)
    every = np.arange(len(opened().snapshots))
    opened()._reader.weights(every)
    return dict(zip(OPERATIONS, (
        median(3, lambda zoo, _: zoo._reader.weights(every), table=False),
        median(3, lambda _zoo, _members: opened().snapshots, table=False),
        median(20, lambda zoo, members: zoo.population(members=members[:1]), table=False),
        median(20, lambda zoo, members: zoo.population(members=members[:1]), table=True),
        median(10, lambda zoo, members: zoo.population(members=members), table=False),
        median(10, lambda zoo, members: zoo.population(members=members), table=True),
    ), strict=True))  # fmt: skip


def child(checkout: Path, *words: str) -> dict[str, Any]:
    """What this file prints in a process that imports a checkout."""
    path = os.pathsep.join(map(str, (checkout, checkout / "benchmarks")))
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(checkout), *words], capture_output=True, text=True, check=True,
        env={**os.environ, **MEMORY, "PYTHONPATH": path}, cwd=checkout,
    )  # fmt: skip
    return json.loads(done.stdout)


def compare(other: Path, members: int, turns: int, stores: dict[str, str]) -> dict[str, dict[str, list[float]]]:
    """For each kind of store and operation, the seconds of the other checkout and of this one."""
    results = {}
    for kind, root in stores.items():
        uris = {checkout: f"{root}/{place}" for place, checkout in enumerate((other, HERE))}
        names = {checkout: child(checkout, "--write", uri, str(members))["name"] for checkout, uri in uris.items()}
        told: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in uris}
        for _ in range(turns):
            for checkout, uri in uris.items():
                told[checkout].append(child(checkout, "--read", uri, names[checkout]))
        results[kind] = {
            operation: [statistics.median(turn[operation] for turn in told[checkout]) for checkout in uris]
            for operation in OPERATIONS
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        print(json.dumps({"name": write(arguments.write[0], int(arguments.write[1]))}))
        return
    if arguments.read:
        print(json.dumps(read(*arguments.read)))
        return
    from storage import rclone

    with tempfile.TemporaryDirectory() as folder, rclone() as uri:
        stores = {"local disk": folder} | ({"rclone S3": uri} if uri else {})
        results = compare(arguments.other.resolve(), arguments.members, arguments.turns, stores)
    megabytes = 4e-6 * arguments.members * 6370
    print("| CPU time | store | other checkout | this one | ratio |\n|---|---|---:|---:|---:|")
    for kind, operations in results.items():
        for operation, (before, now) in operations.items():
            cells = [f"{1e3 * seconds:,.3g} ms" for seconds in (before, now)]
            if operation == OPERATIONS[0]:
                cells = [f"{megabytes / seconds:,.0f} MB/s" for seconds in (before, now)]
            print(f"| {operation} | {kind} | {' | '.join(cells)} | {now / before:.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
