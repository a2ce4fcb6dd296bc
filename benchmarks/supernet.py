"""SuperNet on held-out tasks: a table of ways of coming to a network by labeled examples.

    python benchmarks/supernet.py digits-tasks-reversed --work FOLDER [--held-out 52] [--dataset MODULE:ATTRIBUTE]
        [--labels 5 20 all] [--ways "vector alone" …] [--set z=32 epochs=20] [--seeds 3] [--tasks 28] [--tuned-on 10]
        [--classes 0 1 …]

Tasks, their split and the architecture are a recipe's; its networks are not needed, since those that are compared are
trained here, all tasks at once. What is measured is what ``zooscale analyze`` measures of a study of hypernetworks,
with the same choice of learning rates on validation tasks, at chosen budgets. A fit and a cell of the table that lie
in the folder are not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.intervals import Bootstrap
from analysis.ways import DESCRIBED, EXAMPLES, LEARNED, OTHERS, SMALL_LEARNING_RATES, Begin, Way, adapted_weights
from trainables.hypernetworks.adaptation import AdaptedShared, adapt, task_accuracies
from trainables.hypernetworks.generator import tensor_scales
from trainables.hypernetworks.hypernetwork import Hypernetwork, HypernetworkFit
from trainables.hypernetworks.task_examples import TaskExamples
from trainables.registry import find_trainable
from trainables.trainable import DivergedError, FitData, run
from zoo.config import digest
from zoo.data import Dataset, load_dataset
from zoo.data.class_tasks import parse_task
from zoo.population import Member, Population
from zoo.population.population import single_architecture
from zoo.recipes import Recipe, find_recipe
from zoo.storage.rows import SPLITS, split_of

SHARED, MEAN = "one network for all tasks", "mean vector, not adapted"
WAYS: dict[str, Way] = {way.name: way for way in (LEARNED, *OTHERS)}


class Run:
    """A recipe's tasks, and hypernetworks that are fitted to them once.

    Args:
        recipe: Whose tasks.
        settings: Of the hypernetworks, as text.
        seeds: How many of them.
        most: At most how many tasks of a split are looked at; all where it is not named.
        work: Where results are kept.
        classes: Only tasks of these are looked at, of others than the training tasks; all where empty.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Sequence[str],
        seeds: int,
        most: Mapping[str, int | None],
        work: Path,
        classes: Sequence[int] = (),
    ) -> None:
        self.dataset: Dataset = load_dataset(recipe.dataset)
        self.architecture = recipe.member_architecture(0, self.dataset)
        named = recipe.axes["task"].choices
        self.tasks: dict[str, list[str]] = {split: [] for split in SPLITS}
        for task in sorted(named, key=parse_task):
            split = split_of(0, recipe.block_members, task, recipe.held_out)
            if split == "train" or not classes or set(parse_task(task)) <= set(classes):
                self.tasks[split].append(task)
        self.tasks = {split: tasks[: most.get(split)] for split, tasks in self.tasks.items()}
        self.training, self.validation, self.test = self.tasks.values()
        changes = dict(each.split("=", 1) for each in settings)
        self.config = find_trainable("supernet").configuration({name: value(text) for name, text in changes.items()})
        self.seeds, self.work = seeds, work / digest([recipe.identity(), settings])[:12]
        self.work.mkdir(parents=True, exist_ok=True)

    def hypernetworks(self) -> list[Hypernetwork]:
        """One for each seed."""
        return [self._hypernetwork(seed) for seed in range(self.seeds)]

    def _hypernetwork(self, seed: int) -> Hypernetwork:
        folder = self.work / f"fit-{seed}"
        if not folder.exists():
            clock, cpu = time.monotonic(), time.process_time()
            training, validation = (self._members(tasks) for tasks in (self.training, self.validation))
            data = FitData(training=(training,), validation=(validation,), dataset=self.dataset)
            made = run(HypernetworkFit(replace(self.config, seed=seed), data)).artifact()
            folder.mkdir()
            for name, content in made.to_files().items():
                (folder / name).write_bytes(content)
            seconds, own = time.monotonic() - clock, time.process_time() - cpu
            print(f"fitted seed {seed} to {len(self.training)} tasks: {own:.0f} s of CPU, {seconds:.0f} s", flush=True)
        return Hypernetwork.from_files({file.name: file.read_bytes() for file in folder.iterdir()})

    def _members(self, tasks: Sequence[str]) -> Population:
        members = [Member(id=index, seed=index, task=task) for index, task in enumerate(tasks)]
        return single_architecture(self.architecture, torch.zeros(len(tasks), self.architecture.parameters), members)

    def cell(self, way: str, labels: int | None, steps: int) -> dict[str, Any]:
        """Accuracies ``[S, T]`` of a way with so many labels, kept in the folder."""
        file = self.work / f"{digest([way, labels, steps, self.seeds, self.validation, self.test])[:12]}.json"
        if not file.exists():
            cpu = time.process_time()
            file.write_text(json.dumps(self._measured(way, labels, steps) | {"cpu_s": time.process_time() - cpu}))
        return dict(json.loads(file.read_text()))

    def _measured(self, name: str, labels: int | None, steps: int) -> dict[str, Any]:
        fits, judged = self.hypernetworks(), TaskExamples(self.test, self.dataset.test)
        # Each fit meets labeled images of its own, the same for all ways.
        tuned, *fitted = (
            TaskExamples(tasks, self.dataset.train, labels, self.dataset.objects, draw)
            for tasks, draw in ((self.validation, 0), *((self.test, draw) for draw in range(len(fits))))
        )
        if name in (SHARED, MEAN):
            found = [self._unadapted(name, made, seed, steps) for seed, made in enumerate(fits)]
            accuracies = [task_accuracies(self.architecture, weights_TP, judged).tolist() for weights_TP in found]
            return {"accuracies": accuracies, "numbers": 0, "rate": 0.0, "variant": 0}
        if name == DESCRIBED:
            found = [made.make(made.described(own)).weights_MP for made, own in zip(fits, fitted, strict=True)]
            accuracies = [task_accuracies(self.architecture, weights_TP, judged).tolist() for weights_TP in found]
            return {"accuracies": accuracies, "numbers": 0, "rate": 0.0, "variant": 0}
        way = WAYS[name]
        tuned_on = TaskExamples(self.validation, self.dataset.validation)

        def on_validation(begin: Begin, rate: float) -> float:
            try:
                weights_TP = adapted_weights(begin, fits[0], tuned, steps, rate, 0)
            except DivergedError:
                return 0.0
            return float(task_accuracies(self.architecture, weights_TP, tuned_on).mean())

        begins = (way.begin, *way.variants)
        rate = max(way.learning_rates, key=partial(on_validation, way.begin))
        variant = max(range(len(begins)), key=lambda each: on_validation(begins[each], rate)) if way.variants else 0
        accuracies = [
            task_accuracies(
                self.architecture, adapted_weights(begins[variant], made, fitted[seed], steps, rate, seed), judged
            ).tolist()
            for seed, made in enumerate(fits)
        ]
        numbers = way.begin(fits[0], fitted[0], 0).trainable
        return {"accuracies": accuracies, "numbers": numbers, "rate": rate, "variant": variant}

    def _unadapted(self, name: str, made: Hypernetwork, seed: int, steps: int) -> torch.Tensor:
        """Weights that have not seen the task."""
        if name == MEAN:
            return made.make(made.trained_vectors.mean(0).expand(len(self.test), -1)).weights_MP
        generator = torch.Generator().manual_seed(seed)
        start_P = torch.randn(self.architecture.parameters, generator=generator) * tensor_scales(self.architecture)
        shared = AdaptedShared(start_P, len(self.training))
        examples = TaskExamples(self.training, self.dataset.train)
        adapt(
            shared, self.architecture, made.task, examples,
            steps=2 * steps, learning_rate=SMALL_LEARNING_RATES[1], batch=EXAMPLES, seed=seed,
        )  # fmt: skip
        return shared.numbers[0].detach().expand(len(self.test), -1)


def table(work: Run, ways: Sequence[str], labels: Sequence[int | None], steps: int) -> None:
    """Prints accuracies in percent, with 95 % intervals over pairs of classes and fits."""
    groups_T = np.unique(["-".join(sorted(task.split("-"))) for task in work.test], return_inverse=True)[1]
    heads = ["all labels" if each is None else f"{each} labels a class" for each in labels]
    counts = (f"{len(tasks)} {split}" for split, tasks in work.tasks.items())
    print(f"tasks: {', '.join(counts)}; {work.seeds} fits")
    print(f"| way | numbers a task | {' | '.join(heads)} |\n|---|---:|{'---:|' * len(heads)}")

    def percent(values_ST: np.ndarray, most: float) -> str:
        interval = Bootstrap().interval(values_ST[..., None], groups_M=groups_T, most=most)
        estimate, low, high = (100 * float(end or 0) for end in (interval.estimate, interval.low, interval.high))
        return f"{estimate:.1f} [{low:.1f}, {high:.1f}]"

    for way in ways:
        budgets = labels[-1:] if way in (SHARED, MEAN) else labels
        found = [work.cell(way, each, steps) for each in budgets]
        cells = [percent(np.array(cell["accuracies"]), 1.0) for cell in found]
        cells = [*["–"] * (len(labels) - len(cells)), *cells]
        print(f"| {way} | {found[0]['numbers']:,} | {' | '.join(cells)} |", flush=True)
    scratch = OTHERS[0].name
    for way in (each for each in (LEARNED.name, DESCRIBED) if {each, scratch} <= set(ways)):
        pairs = ([np.array(work.cell(name, each, steps)["accuracies"]) for name in (way, scratch)] for each in labels)
        cells = [percent(own_ST - scratch_ST, math.inf) for own_ST, scratch_ST in pairs]
        print(f"| {way} minus {scratch}, paired | | {' | '.join(cells)} |")


def value(text: str) -> Any:
    """A number or truth value, as JSON writes it; else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--dataset", help="in place of the recipe's")
    parser.add_argument("--held-out", type=int, help="percent of the tasks, in place of the recipe's")
    parser.add_argument("--labels", nargs="+", default=["5", "20", "all"])
    parser.add_argument("--ways", nargs="+", default=[*WAYS, SHARED, MEAN], choices=[*WAYS, SHARED, MEAN, DESCRIBED])
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--set", nargs="*", default=[], dest="settings", metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", type=int, help="at most so many test tasks")
    parser.add_argument("--tuned-on", type=int, help="at most so many validation tasks")
    parser.add_argument("--classes", nargs="*", type=int, default=[], help="of the tasks that are held out; all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = find_recipe(arguments.recipe)
    changes = {"dataset": arguments.dataset, "held_out": arguments.held_out}
    recipe = replace(recipe, **{name: value for name, value in changes.items() if value is not None})
    most = {"test": arguments.tasks, "validation": arguments.tuned_on}
    work = Run(recipe, arguments.settings, arguments.seeds, most, arguments.work, arguments.classes)
    labels = [None if each == "all" else int(each) for each in arguments.labels]
    table(work, arguments.ways, labels, arguments.steps)


if __name__ == "__main__":
    main()
