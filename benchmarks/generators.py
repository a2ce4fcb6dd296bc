"""Networks that generators make for a zoo, beside trained ones and controls: accuracy against novelty.

    python benchmarks/generators.py ZOO --work FOLDER [--noises 0.1 0.2] [--only-fits] \
        --fits flow flow/with-task flow/with-task/noise=0.2,epochs=20 …

A fit is the name of a generator, a preset and settings, divided by slashes; the last two may be left out. What is
measured is what ``zooscale analyze`` measures of a study of generators, of chosen rows. A fit and a row that lie in the
folder are not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch

from analysis.generation.audit import (
    ACCURACY,
    BEST_ACCURACY,
    CRITERIA,
    DISTANCE,
    DIVERSITY,
    ENSEMBLE_ACCURACY,
    LOSS,
    OUTSIDE,
    OVERLAP,
    SPREAD,
    TUNED_ACCURACIES,
    Audit,
    passed,
)
from benchmarks.supernet import value
from trainables.fit_data import fit_data
from trainables.generators.generator import NetworkGenerator
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.config import digest
from zoo.population import Population
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs

MADE = 64
COLUMNS = {
    ACCURACY: "accuracy", BEST_ACCURACY: "best", LOSS: "cross-entropy", DISTANCE: "distance", SPREAD: "to each other",
    OUTSIDE: "outside", OVERLAP: "overlap", DIVERSITY: "differ", ENSEMBLE_ACCURACY: "ensemble",
    TUNED_ACCURACIES[-1]: "+ 100",
}  # fmt: skip


class Run:
    """Rows of one zoo, kept in a folder.

    Args:
        zoo: The zoo, of one layout and one task.
        work: The folder.
        judged: Whether networks are measured on test examples, not just fitted and measured on validation examples.
    """

    def __init__(self, zoo: Zoo, work: Path, judged: bool) -> None:
        self.zoo, self.work, self.judged = zoo, work / zoo.content_sha256[:12], judged
        self.data: FitData = fit_data(zoo, validation_members=1)
        self.audit = Audit(self.last("train"), zoo.dataset(), "")
        self.usual: dict[str, float] = {}

    def last(self, split: str, most: int | None = None) -> Population:
        """The last snapshots of a split."""
        population = next(iter(self.zoo.populations(split, epochs="last", limit=most)))
        return without_dead_inputs(population, self.zoo.dataset().train)

    def fitted(self, name: str, preset: str, changes: dict[str, Any]) -> Callable[[], Population]:
        """What makes networks by a fit that is made, if it is not there."""

        def made() -> Population:
            trainable = find_trainable(name)
            config = trainable.configuration({**trainable.presets.get(preset, {}), **changes})
            folder = self.work / digest([name, config])[:12]
            if not folder.exists():
                cpu = time.process_time()
                fit = run(trainable.fit(config, self.data))
                found = fit.validate()
                folder.mkdir(parents=True)
                for file, content in fit.artifact().to_files().items():
                    (folder / file).write_bytes(content)
                said = ", ".join(f"{metric} {found[metric]:.3f}" for metric in found)
                print(f"{name}/{preset} {changes}: {time.process_time() - cpu:.0f} s of CPU; {said}", flush=True)
            artifact = trainable.from_files({file.name: file.read_bytes() for file in folder.iterdir()})
            generator = cast(NetworkGenerator, artifact)
            return generator.generate(MADE)

        return made

    def row(self, name: str, made: Callable[[], Population]) -> None:
        """Prints a row of the table."""
        file = self.work / f"{digest([name, MADE])[:12]}.json"
        if not file.exists():
            population = made()
            if not self.judged:
                return
            means = {metric: float(values_M.mean()) for metric, values_M in self.audit.of_each(population).items()}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(means | self.audit.of_all(population)))
        found = json.loads(file.read_text())
        self.usual = self.usual or found
        cells = [
            f"{100 * found[metric.name]:.1f}" if metric.unit == "share" else f"{found[metric.name]:.3g}"
            for metric in COLUMNS
        ]
        verdicts = passed(found, self.usual)
        failed = ", ".join(each for each in CRITERIA if not verdicts[each])
        print(f"| {name} | {' | '.join(cells)} | {failed or 'passed'} |", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("zoo")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--noises", nargs="*", type=float, default=[0.1, 0.2, 0.5])
    parser.add_argument("--fits", nargs="*", default=[])
    parser.add_argument("--only-fits", action="store_true", help="print metrics on validation examples alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    work = Run(Zoo.open(arguments.zoo), arguments.work, not arguments.only_fits)
    print(f"{len(work.audit.training)} training networks of {work.audit.training.parameters:,} weights")
    print(f"| made by | {' | '.join(COLUMNS.values())} | not met |\n|---|{'---:|' * len(COLUMNS)}---|")
    if work.judged:
        work.row("held-out networks of the zoo", lambda: work.last("test", MADE))
    controls = [("noisy-copies", f"noise={noise}") for noise in arguments.noises]
    controls += [("means", "networks=3")] * bool(controls)
    controls += [("task-alone", f"noise={noise}") for noise in arguments.noises]
    for fit in [f"{name}//{setting}" for name, setting in controls] + arguments.fits:
        name, preset, settings = [*fit.split("/"), "", ""][:3]
        changes = dict(each.split("=", 1) for each in settings.split(",") if each)
        work.row(fit, work.fitted(name, preset, {each: value(text) for each, text in changes.items()}))


if __name__ == "__main__":
    main()
