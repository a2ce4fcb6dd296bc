"""SuperNet on held-out tasks: a table of ways of coming to a network by labeled examples.

    python benchmarks/supernet.py digits-tasks-reversed --work FOLDER [--held-out 52] [--dataset MODULE:ATTRIBUTE]
        [--labels 5 20 all] [--ways "vector alone" …] [--preset one-hot] [--set z=32 epochs=20] [--seeds 3] [--tasks 28]
        [--tuned-on 10] [--classes 0 1 …] [--leave-out 5 [--together 1]]

Tasks, their split and the architecture are a recipe's; its networks are not needed, since those that are compared are
trained here, all tasks at once. What is measured is what ``zooscale analyze`` measures of a study of hypernetworks,
with the same choice of learning rates on validation tasks, at chosen budgets. A fit and a cell of the table that lie
in the folder are not made again, and a fit that was ended continues after its last whole epoch.

With ``--leave-out N`` there are N fits, each to all tasks but one (in reversed zoos, but one pair of classes), which is
its test task; learning rates and priors are chosen by validation images of the other fits' test tasks. With
``--together K`` each leaves out K of these N, so that there are K times fewer fits.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.held_out_tasks.ways import DESCRIBED, LEARNED, OTHERS, SMALL_LEARNING_RATES, Way, adapted_weights
from analysis.statistics.intervals import Bootstrap
from benchmarks.supernet_folds import AllAsOne, Fold, left_out_folds, split_folds
from trainables.hypernetworks.adaptation import AdaptedShared, adapt, task_accuracies
from trainables.hypernetworks.generator import tensor_scales
from trainables.hypernetworks.hypernetwork import Hypernetwork, HypernetworkFit
from trainables.hypernetworks.presets import SUPERNET
from trainables.registry import find_trainable
from trainables.tasks.task_examples import TaskExamples
from trainables.trainable import DivergedError, FitData
from zoo.config import digest
from zoo.data import Dataset, Examples, load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture
from zoo.recipes import Recipe, find_recipe

SHARED, MEAN = "one network for all tasks", "mean vector, not adapted"
WAYS: dict[str, Way] = {way.name: way for way in (LEARNED, *OTHERS)}


class Run:
    """A recipe's tasks, and hypernetworks that are fitted to them once.

    Args:
        recipe: Whose tasks.
        settings: Of the hypernetworks.
        folds: A fit each; its number is its seed.
        work: Where results are kept.
    """

    def __init__(self, recipe: Recipe, settings: Mapping[str, Any], folds: Sequence[Fold], work: Path) -> None:
        self.dataset: Dataset = load_dataset(recipe.dataset)
        self.architecture = recipe.member_architecture(0, self.dataset)
        self.task = self.dataset.task.of_classes(range(self.architecture.classes))
        self.config = find_trainable("supernet").configuration(dict(settings))
        self.folds = folds
        self.work = work / digest([recipe.identity(), self.config, [fold.training for fold in folds]])[:12]
        self.work.mkdir(parents=True, exist_ok=True)

    @cached_property
    def hypernetworks(self) -> list[Hypernetwork]:
        """One for each fold."""
        return [self._hypernetwork(number) for number in range(len(self.folds))]

    def _hypernetwork(self, number: int) -> Hypernetwork:
        folder, progress = self.work / f"fit-{number}", self.work / f"fit-{number}-begun"
        if not folder.exists():
            cpu, tasks = time.process_time(), self.folds[number].training
            members = [Member(id=index, seed=index, task=task) for index, task in enumerate(tasks)]
            nothing_TP = torch.zeros(len(tasks), self.architecture.parameters)
            training = single_architecture(self.architecture, nothing_TP, members)
            data = FitData(training=(training,), validation=(), dataset=self.dataset)
            fit = HypernetworkFit(replace(self.config, seed=number), data)
            if progress.exists():
                fit.load_state(read_files(progress))
            while fit.epoch < fit.epochs:
                fit.train_epoch()
                write_files(progress, fit.state())
            write_files(folder, fit.artifact().to_files())
            shutil.rmtree(progress)
            print(f"fitted seed {number} to {len(tasks)} tasks: {time.process_time() - cpu:.0f} s of CPU", flush=True)
        return Hypernetwork.from_files(read_files(folder))

    def cell(self, way: str, labels: int | None, steps: int) -> dict[str, Any]:
        """Accuracies ``[S, T]`` of a way with so many labels, kept in the folder."""
        file = self.work / f"{digest([way, labels, steps, self.folds])[:12]}.json"
        if not file.exists():
            cpu = time.process_time()
            file.write_text(json.dumps(self._measured(way, labels, steps) | {"cpu_s": time.process_time() - cpu}))
        return dict(json.loads(file.read_text()))

    def _measured(self, name: str, labels: int | None, steps: int) -> dict[str, Any]:
        if name in (SHARED, MEAN, DESCRIBED):
            found = [self._unadapted(name, number, labels) for number in range(len(self.folds))]
            accuracies = [self._judged(fold, weights_TP) for fold, weights_TP in zip(self.folds, found, strict=True)]
            return {"accuracies": accuracies, "numbers": 0}
        way = WAYS[name]
        begins = (way.begin, *way.variants)

        @cache
        def on_validation(number: int, variant: int, rate: float) -> float:
            tasks, made = self.folds[number].validation, self.hypernetworks[number]
            try:
                weights_TP = adapted_weights(begins[variant], made, self._labeled(tasks, labels, 0), steps, rate, 0)
            except DivergedError:
                return 0.0
            return fmean(self._accuracies(tasks, weights_TP, self.dataset.validation))

        chosen, accuracies, trainable = [], [], 0
        for number, (fold, made) in enumerate(zip(self.folds, self.hypernetworks, strict=True)):

            def score(variant: int, rate: float, by: Sequence[int] = fold.tuned_by) -> float:
                return fmean(on_validation(each, variant, rate) for each in by)

            rate = max(way.learning_rates, key=partial(score, 0))
            variant = max(range(len(begins)), key=lambda each, rate=rate, score=score: score(each, rate))  # type: ignore[misc]
            labeled = self._labeled(fold.test, labels, fold.draw)
            trainable = begins[variant](made, labeled, 0).trainable
            weights_TP = adapted_weights(begins[variant], made, labeled, steps, rate, number)
            accuracies.append(self._judged(fold, weights_TP))
            chosen.append([variant, rate])
        return {"accuracies": accuracies, "numbers": trainable, "chosen": chosen}

    def _labeled(self, tasks: Sequence[str], labels: int | None, draw: int) -> TaskExamples:
        return TaskExamples(tasks, self.dataset.train, labels, self.dataset.objects, draw)

    def _accuracies(self, tasks: Sequence[str], weights_TP: Tensor, examples: Examples) -> list[float]:
        return list(task_accuracies(self.architecture, self.task, weights_TP, TaskExamples(tasks, examples)).tolist())

    def _judged(self, fold: Fold, weights_TP: Tensor) -> list[float]:
        return self._accuracies(fold.test, weights_TP, self.dataset.test)

    def _unadapted(self, name: str, number: int, labels: int | None) -> Tensor:
        """Weights to which no step on the task has led; a shared network is trained as long as the generator."""
        fold, made = self.folds[number], self.hypernetworks[number]
        if name == DESCRIBED:
            return made.make(made.described(self._labeled(fold.test, labels, fold.draw))).weights_MP
        if name == MEAN:
            return made.make(made.trained_vectors.mean(0).expand(len(fold.test), -1)).weights_MP
        generator = torch.Generator().manual_seed(number)
        start_P = torch.randn(self.architecture.parameters, generator=generator) * tensor_scales(self.architecture)
        shared = AdaptedShared(start_P, 1)
        config, examples = (
            self.config,
            AllAsOne(TaskExamples(fold.training, self.dataset.train).shifted(self.config.shift)),
        )
        adapt(
            shared, self.architecture, made.task, examples, steps=config.steps * config.epochs,
            learning_rate=SMALL_LEARNING_RATES[1], batch=config.task_batch * config.examples, seed=number,
        )  # fmt: skip
        return shared.numbers[0].detach().expand(len(fold.test), -1)


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts files into a folder in place of what was there, all or none of them."""
    fresh = folder.with_name(f"{folder.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name, content in files.items():
        (fresh / name).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def table(work: Run, ways: Sequence[str], labels: Sequence[int | None], steps: int) -> None:
    """Prints accuracies in percent, with 95 % intervals over pairs of classes and fits."""
    folds = work.folds
    print(f"{len(folds)} fits to {len(folds[0].training)} tasks; learning rates by {len(folds[0].validation)} tasks")
    heads = ["all labels" if each is None else f"{each} labels a class" for each in labels]
    print(f"| way | numbers a task | {' | '.join(heads)} |\n|---|---:|{'---:|' * len(heads)}")
    apart = folds[0].test != folds[-1].test
    tests = [task for fold in folds for task in fold.test] if apart else folds[0].test
    groups_T = np.unique(["-".join(sorted(task.split("-"))) for task in tests], return_inverse=True)[1]

    def values(cell: Mapping[str, Any]) -> np.ndarray:
        found_ST = np.array(cell["accuracies"])
        return found_ST.reshape(1, -1) if apart else found_ST

    def percent(values_ST: np.ndarray, most: float) -> str:
        interval = Bootstrap().interval(values_ST[..., None], groups_M=groups_T, most=most)
        estimate, low, high = (100 * float(end or 0) for end in (interval.estimate, interval.low, interval.high))
        return f"{estimate:.1f} [{low:.1f}, {high:.1f}]"

    for way in ways:
        budgets = labels[-1:] if way in (SHARED, MEAN) else labels
        found = [work.cell(way, each, steps) for each in budgets]
        cells = [*["–"] * (len(labels) - len(found)), *(percent(values(cell), 1.0) for cell in found)]
        print(f"| {way} | {found[0]['numbers']:,} | {' | '.join(cells)} |", flush=True)
    scratch = OTHERS[0].name
    for way in (each for each in (LEARNED.name, DESCRIBED) if {each, scratch} <= set(ways)):
        pairs = ([values(work.cell(name, each, steps)) for name in (way, scratch)] for each in labels)
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
    parser.add_argument("--labels", nargs="+", default=["5", "20", "100", "all"])
    parser.add_argument("--ways", nargs="+", default=[*WAYS, SHARED, MEAN], choices=[*WAYS, SHARED, MEAN, DESCRIBED])
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--preset", default="", help="of the hypernetworks; --set goes before")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", type=int, help="at most so many test tasks")
    parser.add_argument("--tuned-on", type=int, help="at most so many validation tasks, or folds with --leave-out")
    parser.add_argument("--classes", nargs="*", type=int, default=[], help="of the tasks that are held out; all")
    parser.add_argument(
        "--leave-out", type=int, help="so many fits, to all pairs of classes but one, in place of --seeds"
    )
    parser.add_argument("--together", type=int, default=1, help="how many of them a fit leaves out")
    arguments = parser.parse_args()
    if arguments.leave_out and (arguments.together < 1 or arguments.leave_out % arguments.together):
        parser.error(f"--together is {arguments.together}; allowed: divisors of {arguments.leave_out}, of --leave-out")
    torch.set_num_threads(1)
    recipe = find_recipe(arguments.recipe)
    changes = {"dataset": arguments.dataset, "held_out": arguments.held_out}
    recipe = replace(recipe, **{name: value for name, value in changes.items() if value is not None})
    named = (each.split("=", 1) for each in arguments.settings)
    settings = {**SUPERNET.get(arguments.preset, {}), **{name: value(text) for name, text in named}}
    if arguments.leave_out:
        folds = left_out_folds(recipe, arguments.leave_out, arguments.tuned_on, arguments.together)
    else:
        most = {"test": arguments.tasks, "validation": arguments.tuned_on}
        folds = split_folds(recipe, arguments.seeds, most, arguments.classes)
    labels = [None if each == "all" else int(each) for each in arguments.labels]
    table(Run(recipe, settings, folds, arguments.work), arguments.ways, labels, arguments.steps)


if __name__ == "__main__":
    main()
