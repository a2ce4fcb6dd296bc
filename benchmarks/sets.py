"""A data set becomes a network: how good, on sets of one data set and of others, against what is fitted to each set.

    python benchmarks/sets.py mnist --others fashion_mnist --work FOLDER [--hidden 8] [--seeds 3] [--sets 16]
        [--set regressed=true scrambled=0.5 …]

A hypernetwork for MLPs of one hidden layer is fitted to sets of training examples of the first data set, once a seed,
and judged on sets of test examples. No zoo is needed: weights are learned through the networks that it makes. A fit
that lies in the folder is not made again.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from analysis.held_out_tasks.made_for_sets import FITTED, QUERIES, fitted_model, judged
from analysis.statistics.intervals import Bootstrap
from benchmarks.supernet import value
from trainables.hypernetworks.labeled_sets import LabeledSets, drawn_sets, load_alike
from trainables.hypernetworks.set_config import DatasetHypernetworkConfig
from trainables.hypernetworks.set_hypernetwork import DatasetHypernetwork, DatasetHypernetworkFit
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.config import digest
from zoo.data import Dataset, load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture

MADE = "made in one pass"


def hypernetwork(config: DatasetHypernetworkConfig, dataset: Dataset, hidden: int, work: Path) -> DatasetHypernetwork:
    """A fit, kept in a folder."""
    folder = work / digest([config, dataset.name, hidden])[:12]
    if not folder.exists():
        architecture = mlp(dataset.input_shape, (hidden,), dataset.classes)
        blank = torch.zeros(2, architecture.parameters)
        members = [Member(id=number, seed=number) for number in range(2)]
        networks = single_architecture(architecture, blank, members)
        cpu = time.process_time()
        data = FitData(training=(networks,), validation=(networks,), dataset=dataset)
        made = run(DatasetHypernetworkFit(config, data)).artifact()
        folder.mkdir(parents=True)
        for name, content in made.to_files().items():
            (folder / name).write_bytes(content)
        print(f"fitted seed {config.seed}: {time.process_time() - cpu:.0f} s of CPU", flush=True)
    return DatasetHypernetwork.from_files({file.name: file.read_bytes() for file in folder.iterdir()})


def accuracies(way: str, fits: Sequence[DatasetHypernetwork], sets: LabeledSets) -> tuple[np.ndarray, np.ndarray]:
    """Of each fit and set the accuracy on the set, and on other examples: ``[S, T]`` each."""
    if way == MADE:
        found = [judged(made, made.weights(sets), sets) for made in fits]
        return np.stack([own_T for own_T, _ in found]), np.stack([unseen_T for _, unseen_T in found])
    scores = []
    for inputs, labels_B, queries, query_labels_Q in zip(
        sets.inputs.flatten(2), sets.labels_TB, sets.queries.flatten(2), sets.query_labels_TQ, strict=True
    ):
        model = fitted_model(way).fit(inputs.numpy(), labels_B.numpy())
        scores.append([model.score(inputs, labels_B), model.score(queries, query_labels_Q)])
    own_T, unseen_T = np.array(scores).T
    return own_T.repeat(len(fits)).reshape(-1, len(fits)).T, unseen_T.repeat(len(fits)).reshape(-1, len(fits)).T


def table(fits: Sequence[DatasetHypernetwork], datasets: Mapping[str, Dataset], count: int) -> None:
    """Prints accuracies in percent, with 95 % intervals over sets and fits."""
    config = fits[0].module.config

    def percent(values_ST: np.ndarray, most: float = 1.0) -> str:
        interval = Bootstrap().interval(values_ST[..., None], groups_M=np.arange(count), most=most)
        estimate, low, high = (100 * float(end or 0) for end in (interval.estimate, interval.low, interval.high))
        return f"{estimate:.1f} [{low:.1f}, {high:.1f}]"

    print("| sets of | way | other examples | minus, paired | the set |\n|---|---|---:|---:|---:|")
    for name, dataset in datasets.items():
        queries = min(QUERIES, len(dataset.test) - config.set_size)
        sets = drawn_sets(
            dataset.test, dataset.classes, count=count, size=config.set_size, queries=queries,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        made_ST = accuracies(MADE, fits, sets)[1]
        for way in (MADE, *FITTED):
            own_ST, unseen_ST = accuracies(way, fits, sets)
            behind = "" if way == MADE else percent(made_ST - unseen_ST, math.inf)
            print(f"| {name} | {way} | {percent(unseen_ST)} | {behind} | {percent(own_ST)} |", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--others", nargs="*", default=[])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--hidden", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sets", type=int, default=16)
    parser.add_argument("--set", nargs="*", default=[], dest="settings", metavar="NAME=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    changes = dict(each.split("=", 1) for each in arguments.settings)
    config = find_trainable("dataset-hypernetwork").configuration({name: value(text) for name, text in changes.items()})
    dataset = load_dataset(arguments.dataset)
    fits = [
        hypernetwork(replace(config, seed=seed), dataset, arguments.hidden, arguments.work)
        for seed in range(arguments.seeds)
    ]
    others = {name: load_alike(name, dataset) for name in arguments.others}
    table(fits, {arguments.dataset: dataset, **others}, arguments.sets)


if __name__ == "__main__":
    main()
