"""A zoo from end to end: ``zooscale generate`` against the field's practice.

    python benchmarks/generation.py [--members 200 2000 10000] [--trials 8 24] [--repeats 1] [--json FILE]

The field's practice, as in the published code of model zoos: one Ray Tune trial per model, the ordinary loop over an
``nn.Module`` and a ``torch.optim`` optimizer, and after every epoch an evaluation and a checkpoint by ``torch.save``.
Both make the same members of the recipe ``digits-mlp-diverse`` with all CPUs of this machine, each run in a process of
its own; times are of the clock, start and end of Ray included. The marginal rate is that between the smallest and the
largest run: what a further member costs. Starting Ray takes a second or two more or less each time, so that the largest
run must be long against that. Training that many models one by one would take hours, so that the field's
time at our numbers of members is extrapolated from its two runs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPE = "digits-mlp-diverse"
ROOT = Path(__file__).resolve().parent.parent
OURS, FIELD = "zooscale generate", "one Ray Tune trial per model"


def environment() -> dict[str, str]:
    """Both start a Ray of their own, with one thread a process."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **kept, "RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths),
        "RAY_AIR_NEW_OUTPUT": "0", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip


def train_one(config: dict[str, int]) -> None:
    """One trial: a member of the recipe, trained, evaluated and saved epoch by epoch."""
    import torch
    import torch.nn.functional as F
    from ray import tune

    from zoo.data import load_dataset
    from zoo.recipes import find_recipe

    torch.set_num_threads(1)
    recipe, data = find_recipe(RECIPE), load_dataset("digits")
    member = recipe.member(config["member"])
    torch.manual_seed(member.seed % 2**63)
    architecture = recipe.member_architecture(member.id, data)
    module = architecture.to_module(torch.randn(architecture.parameters) * 0.1)
    kinds = {
        "sgd": torch.optim.SGD, "momentum": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }  # fmt: skip
    options = {"momentum": 0.9} if member.optimizer == "momentum" else {}
    optimizer = kinds[member.optimizer](
        module.parameters(), lr=member.learning_rate, weight_decay=member.weight_decay, **options
    )
    count = round(member.training_fraction * len(data.train))
    x, y = data.train.inputs[:count], data.train.targets[:count]
    for epoch in range(1, recipe.epochs + 1):
        module.train()
        for rows in torch.randperm(count)[: count // member.batch_size * member.batch_size].split(member.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(module(x[rows]), y[rows]).backward()
            optimizer.step()
        module.eval()
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            outputs = module(data.test.inputs)
            accuracy = float((outputs.argmax(1) == data.test.targets).float().mean())
            torch.save({"model": module.state_dict(), "epoch": epoch}, Path(folder, "checkpoint.pt"))
            tune.report({"test_accuracy": accuracy}, checkpoint=tune.Checkpoint.from_directory(folder))


def run_field(trials: int) -> None:
    """All trials of the field's practice, in this process's Ray."""
    import ray
    from ray import tune

    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_resources(train_one, {"cpu": 1}),
            param_space={"member": tune.grid_search(list(range(trials)))},
            run_config=tune.RunConfig(name="field", storage_path=folder, verbose=0),
        ).fit()
        assert len(results) == trials
        assert not results.errors
    ray.shutdown()


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started


def ours(members: int) -> float:
    with tempfile.TemporaryDirectory() as store:
        return seconds_of(
            [sys.executable, "-m", "cluster", "generate", RECIPE, "--members", str(members), "--store", store, "--json"]
        )


def field(trials: int) -> float:
    return seconds_of([sys.executable, __file__, "--run-field", str(trials)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--members", type=int, nargs="+", default=[200, 2000, 10_000])
    parser.add_argument("--trials", type=int, nargs="+", default=[8, 24])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--run-field", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run_field:
        run_field(arguments.run_field)
        return
    from zoo.recipes import find_recipe

    recipe = find_recipe(RECIPE)
    runs: dict[str, dict[int, list[float]]] = {
        OURS: {count: [] for count in arguments.members}, FIELD: {count: [] for count in arguments.trials}
    }  # fmt: skip
    ours(recipe.shard_members)  # compiles the kernel, once per machine
    for _ in range(arguments.repeats):
        for count in arguments.members:
            runs[OURS][count].append(ours(count))
        for count in arguments.trials:
            runs[FIELD][count].append(field(count))
    seconds = {way: {count: statistics.median(times) for count, times in of.items()} for way, of in runs.items()}
    each = {}
    for way, of in seconds.items():
        (few, few_s), *_, (many, many_s) = of.items()
        each[way] = (many_s - few_s) / (many - few)
    marginal = each[FIELD] / each[OURS]
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "recipe": recipe.identity(),
        "seconds": seconds,
        "models_per_s": {way: 1 / value for way, value in each.items()},
        "marginal_ratio": marginal,
        "ratio_with_start": {},
    }
    print(f"{report['date']}, {report['machine']}: {RECIPE}, {recipe.epochs} epochs\n")
    print("| | members | seconds, start included | further models/s |")
    print("|---|---:|---:|---:|")
    for way, of in seconds.items():
        for count, value in of.items():
            print(f"| {way} | {count:,} | {value:.1f} | {1 / each[way]:,.3g} |")
    print(f"\nA further model: {marginal:,.0f} times as fast.")
    few, few_s = next(iter(seconds[FIELD].items()))
    for count in arguments.members:
        extrapolated = few_s + each[FIELD] * (count - few)
        ratio = extrapolated / seconds[OURS][count]
        report["ratio_with_start"][count] = ratio
        print(f"With start-up, {count:,} members: {ratio:,.0f} times as fast ({extrapolated:,.0f} s extrapolated).")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
