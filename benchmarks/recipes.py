"""What the named recipes give: accuracy and cost of zoos, or of cuts of those that are too long.

    python benchmarks/recipes.py [--store recorded] [--only NAME ...] [--processes N] [--json FILE]

A cut has fewer members than the recipe, and the same distribution. Each zoo is generated into the store, by one
process; a run that is stopped (Ctrl-C) goes on from the shards that are there, so a long record is made in several
sittings. Recipes that cannot be made, because their data are missing, are left out with the reason. The table is of
what is complete.

CIFAR-10 counts as there when its first training batch and its test batch are: the zoos called ``…-batch-1`` are of the
10 000 images of that batch.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import datasets

from zoo.data.examples import Dataset, split_examples
from zoo.data.task import Task
from zoo.data.vision import data_root
from zoo.data.vision import gray as in_gray
from zoo.generation.build import plan_generation
from zoo.generation.commit import commit
from zoo.generation.shard_training import train_shard
from zoo.generation.writer import ShardWriter
from zoo.recipes import RECIPES, Recipe
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

# Members of each record, in the order in which they are made.
CUTS: dict[str, int] = {
    "unterthiner-mnist": 96,
    "hr-mnist-hyp-5-rand-seed": 64,
    "unterthiner-f-mnist": 64,
    "unterthiner-cifar10-gray-batch-1": 128,
    "unterthiner-cifar10-batch-1": 64,
    "hr-f-mnist-seed": 32,
    "mnist-mlp-mixed": 256,
    "mnist-cnn-mixed": 128,
    "cs236-wide": 64,
    "cs236-deep": 128,
    "cs236-mixed-depths": 192,
    "cs236-initialisations": 128,
    "hr-tetris-hyp": 3200,
    "hr-tetris-seed": 1000,
    "digits-mlp-mixed": 1024,
    "digits-mlp-seeds": 1000,
    "digits-mlp-diverse": 2000,
    "digits-tasks": 1440,
    "digits-tasks-reversed": 1440,
    "tetris-seeds": 1000,
    "mnist-memorise-1": 64,
    "mnist-mlp-seeds": 128,
    "mnist-mlp-diverse": 192,
    "hr-mnist-seed": 1000,
}


class FirstBatch(datasets.CIFAR10):
    """CIFAR-10 of one training batch."""

    train_list = datasets.CIFAR10.train_list[:1]


def first_batch(*, gray: bool = False) -> Dataset:
    """The 10 000 images of CIFAR-10's first training batch, 1 000 of them for validation, and its test images.

    Raises:
        FileNotFoundError: They are not there.
    """
    root = data_root()
    try:
        parts = [FirstBatch(root=str(root), train=train) for train in (True, False)]
    except RuntimeError as error:
        raise FileNotFoundError(f"CIFAR-10's data_batch_1 and test_batch are not under {root}") from error
    pixels, test_pixels = (part.data.transpose(0, 3, 1, 2) for part in parts)
    if gray:
        pixels, test_pixels = in_gray(pixels), in_gray(test_pixels)
    labels, test_labels = (np.asarray(part.targets) for part in parts)
    return split_examples(
        "cifar10-batch-1", pixels, labels, task=Task("softmax", 10), scale=1 / 255, validation=1000,
        test_values=test_pixels, test_targets=test_labels,
    )  # fmt: skip


def first_batch_gray() -> Dataset:
    """The same in shades of gray."""
    return first_batch(gray=True)


def find(name: str) -> Recipe:
    """A recipe of the record."""
    base = name.removesuffix("-batch-1")
    if base == name:
        return RECIPES[name]
    load = "first_batch_gray" if base.endswith("gray") else "first_batch"
    return replace(RECIPES[base], name=name, dataset=f"{Path(__file__).stem}:{load}")


def generate(name: str, where: str) -> dict[str, Any]:
    """Makes a zoo, or what is missing of it, and returns its figures; the cost of each shard is kept beside the zoo."""
    recipe, store = replace(find(name), members=CUTS[name]), Store(where)
    plan = plan_generation(recipe, store, recipe.members)
    written = []
    with ShardWriter(store, plan.name, lambda _members, file: written.extend([file] if file else [])) as writer:
        for shard in plan.missing:
            started = time.thread_time()  # without what encodes and stores the shard before, in a thread of its own
            contents = train_shard(plan.recipe, plan.data, shard)
            seconds = time.thread_time() - started
            writer.write(contents)
            whole = recipe.shard(shard.start)  # of which all are trained, also where the cut ends within it
            with costs_of(where, plan.name).open("a") as costs:
                costs.write(json.dumps({"members": whole.end - whole.first, "cpu_s": seconds}) + "\n")
    commit(plan, store, written)
    return row(name, Zoo.open(plan.name, store), where)


def costs_of(where: str, zoo: str) -> Path:
    """Where the cost of each shard is kept."""
    return Path(where) / f"{zoo}.costs.jsonl"


def row(name: str, zoo: Zoo, where: str) -> dict[str, Any]:
    """The figures of a finished zoo."""
    recipe = find(name)
    last = zoo.members.query(f"epoch == {recipe.epochs}")
    costs = [json.loads(line) for line in costs_of(where, zoo.name).read_text().splitlines()]
    seconds = sum(cost["cpu_s"] for cost in costs) / sum(cost["members"] for cost in costs) / recipe.epochs
    finite = last[~last.diverged]
    return {
        "recipe": name,
        "members": len(zoo),
        "of": recipe.members,
        "epochs": recipe.epochs,
        "parameters": sorted({min(zoo.parameter_counts), max(zoo.parameter_counts)}),
        "diverged": len(last) - len(finite),
        "test_accuracy_mean": finite.test_accuracy.mean(),
        "test_accuracy_sd": finite.test_accuracy.std(),
        "test_accuracy_min": finite.test_accuracy.min(),
        "test_accuracy_max": finite.test_accuracy.max(),
        "generalization_gap_pp": 100 * finite.generalization_gap.mean(),
        "cpu_s_per_member_epoch": seconds,
        "cpu_h_of_all": seconds * recipe.epochs * recipe.members / 3600,
        "content_sha256": zoo.content_sha256[:16],
        "recorded": datetime.date.today().isoformat(),
    }


def markdown(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The table."""
    yield "| recipe | members | parameters | epochs | test accuracy, % | lowest, highest | gap, pp | CPU, s | all, h |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for each in rows:
        diverged = f" ({each['diverged']} diverged)" if each["diverged"] else ""
        yield (
            f"| {each['recipe']} | {each['members']:,} of {each['of']:,}{diverged} "
            f"| {' to '.join(f'{count:,}' for count in each['parameters'])} | {each['epochs']} "
            f"| {100 * each['test_accuracy_mean']:.1f} ± {100 * each['test_accuracy_sd']:.1f} "
            f"| {100 * each['test_accuracy_min']:.1f}, {100 * each['test_accuracy_max']:.1f} "
            f"| {each['generalization_gap_pp']:.1f} | {each['cpu_s_per_member_epoch']:.2g} "
            f"| {each['cpu_h_of_all']:.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="recorded", help="local folder of the zoos (./recorded)")
    parser.add_argument("--only", nargs="+", choices=list(CUTS), metavar="NAME", help="these recipes; by default all")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="zoos made at once (all cores)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    wanted = given.only or list(CUTS)
    Path(given.store).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(given.processes) as pool, contextlib.suppress(KeyboardInterrupt):
        futures = {pool.submit(generate, name, given.store): name for name in wanted}
        for future in as_completed(futures):
            try:
                rows.append(future.result())
            except Exception as error:  # the others go on, and the table is of them
                print(f"{futures[future]} is left out: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            print(f"{futures[future]} is complete", file=sys.stderr, flush=True)
    rows.sort(key=lambda each: list(CUTS).index(each["recipe"]))
    print("\n".join(markdown(rows)))
    if given.json:
        told = {
            "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
            "torch": torch.__version__,
            "rows": rows,
        }
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
