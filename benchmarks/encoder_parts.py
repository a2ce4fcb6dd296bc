"""What each part of the encoder by weights and behavior brings: fits without it, on test members.

    python benchmarks/encoder_parts.py ZOO [--store ./store] [--seeds 3] [--training-members N] [--members N]

Each variant is fitted with several seeds to training members; linear readouts of embeddings, fitted on training and
chosen on validation members, tell columns of test members. A row gives R² of numbers and accuracy of categories, in
percent, and their mean with its interval over fits and members; members of one minibatch order are resampled together.
What a part brings is by how much the mean of everything is ahead, on the same members, seed by seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import torch

from analysis.statistics.groups import group_numbers, orders_differ
from analysis.statistics.intervals import Bootstrap, Interval
from trainables.encoders.encoder import Encoder, differing
from trainables.fit_data import fit_data
from trainables.readouts.columns import is_numeric, known, targets_of
from trainables.readouts.readout import Readouts
from trainables.readouts.scores import kendall_tau, r2
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.population import Population
from zoo.storage.zoo import Zoo
from zoo.views import without_dead_inputs

Members = tuple[Population, ...]
Told = Mapping[str, np.ndarray]
SCOPES: dict[str, Literal["last"] | None] = {"last snapshots": "last", "all snapshots": None}
OURS = "weights-and-behavior"
PARTS = ("statistics", "behavior", "consensus", "head")
EVERYTHING = "everything"
VARIANTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    EVERYTHING: (OURS, {}),
    **{f"without {part}": (OURS, {part: False}) for part in PARTS},
    "without graphs": (OURS, {"graph_passes": 0}),
    "activation not known": (OURS, {"activation_known": False}),
    "labels of stored inputs": (OURS, {"labels": True}),
    "weight-statistics": ("weight-statistics", {}),
    "weights": ("weights", {}),
}
"""For each row a trainable and what differs from its default settings."""


def main() -> None:
    """Prints a table for the last snapshots and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoo")
    parser.add_argument("--store", default="./store")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--training-members", type=int)
    parser.add_argument("--members", type=int, help="test members; all by default")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    zoo = Zoo.open(given.zoo, store=given.store)
    data = fit_data(zoo, training_members=given.training_members)
    scopes = {}
    for scope, epochs in SCOPES.items():
        limits = {"train": given.training_members, "validation": None, "test": given.members}
        scopes[scope] = {split: members(zoo, split, epochs, limit) for split, limit in limits.items()}
        columns = differing(partial(targets_of, scopes[scope]["train"]))
        counts = ", ".join(f"{sum(map(len, each))} {split}" for split, each in scopes[scope].items())
        head = f"variant | width | mean | everything is ahead by | {' | '.join(columns)} | tau_b of test accuracy"
        print(f"{zoo.name}, {scope}: {counts}\n{head}")
    of_everything: dict[str, list[Told]] = {}
    for variant in given.only:
        encoders = fitted(variant, data, given.seeds)
        for scope, split in scopes.items():
            told = predicted(encoders, split)
            if variant == EVERYTHING:
                of_everything[scope] = told
            true = {column: targets_of(split["test"], column) for column in told[0]}
            groups = targets_of(split["test"], "order_seed" if orders_differ(zoo) else "id")
            groups_M = group_numbers(groups.tolist(), True)
            cells = [f"{variant}, {scope}", str(encoders[0].embed(split["test"][0]).shape[1])]
            cells += row(true, told, of_everything.get(scope), groups_M)
            print(" | ".join(cells), flush=True)


def members(zoo: Zoo, split: str, epochs: Literal["last"] | None, limit: int | None) -> Members:
    """Snapshots of members as fits see them."""
    train = zoo.dataset().train
    return tuple(without_dead_inputs(each, train) for each in zoo.populations(split, epochs=epochs, limit=limit))


def fitted(variant: str, data: FitData, seeds: int) -> list[Encoder]:
    """A variant with several seeds, or once where nothing is drawn."""
    name, changes = VARIANTS[variant]
    trainable = find_trainable(name)
    seeded = [{"seed": seed} for seed in range(seeds)] if "seed" in trainable.fields else [{}]
    configs = [trainable.configuration({**changes, **seed}) for seed in seeded]
    return [cast(Encoder, run(trainable.fit(config, data)).artifact()) for config in configs]


def predicted(encoders: Sequence[Encoder], split: Mapping[str, Members]) -> list[Told]:
    """For each fit what linear readouts say of the columns of test members."""
    columns, found = differing(partial(targets_of, split["train"])), list[Told]()
    for encoder in encoders:
        training, validation, test = (
            np.concatenate([encoder.embed(population) for population in split[name]]).astype(np.float64)
            for name in ("train", "validation", "test")
        )
        readouts, told = Readouts(training, validation), {}
        for column in columns:
            training_M, validation_M = (targets_of(split[name], column) for name in ("train", "validation"))
            told[column] = readouts.fit(column, training_M, validation_M).predict(test)
        found.append(told)
    return found


def row(true: Told, told: Sequence[Told], of_everything: Sequence[Told] | None, groups_M: np.ndarray) -> list[str]:
    """The cells of a variant: mean, by how much everything is ahead, columns, tau_b."""
    found = measured(true, told, groups_M)
    compared = of_everything is not None and of_everything is not told
    cells = [in_words(found["mean"]), in_words(lead(true, of_everything or (), told, groups_M)) if compared else ""]
    return [*cells, *(f"{found[column].estimate:.1f}" for column in true), f"{found['tau'].estimate:.3f}"]


def in_words(interval: Interval) -> str:
    """An estimate with its interval."""
    return f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def measured(true: Told, told: Sequence[Told], groups_M: np.ndarray) -> dict[str, Interval]:
    """Of each column R² or accuracy in percent, their mean (R² at least 0) as "mean", and "tau" of test accuracy."""

    def statistics(fit: int, rows_M: np.ndarray) -> dict[str, float]:
        found = scores(true, told[fit], rows_M)
        tau = kendall_tau(true["test_accuracy"][rows_M], told[fit]["test_accuracy"][rows_M])
        return {**found, "mean": mean_of(found), "tau": tau}

    return Bootstrap().of_statistics(statistics, len(groups_M), fits=len(told), groups_M=groups_M)


def lead(true: Told, of_everything: Sequence[Told], told: Sequence[Told], groups_M: np.ndarray) -> Interval:
    """By how much the mean of everything is larger on the same members, fits of one seed compared."""

    def statistics(fit: int, rows_M: np.ndarray) -> dict[str, float]:
        first, second = (mean_of(scores(true, of[fit % len(of)], rows_M)) for of in (of_everything, told))
        return {"lead": first - second}

    fits = len(of_everything)
    return Bootstrap().of_statistics(statistics, len(groups_M), fits=fits, groups_M=groups_M)["lead"]


def scores(true: Told, told: Told, rows_M: np.ndarray) -> dict[str, float]:
    """Of each column R² or accuracy in percent, over chosen rows."""
    found = {}
    for column, true_M in true.items():
        kept = rows_M[known(true_M)[rows_M]]
        told_M, wanted_M = told[column][kept], true_M[kept]
        found[column] = 100 * (r2(wanted_M, told_M) if is_numeric(true_M) else float((told_M == wanted_M).mean()))
    return found


def mean_of(found: Mapping[str, float]) -> float:
    """The mean over the columns, R² at least 0."""
    return float(np.mean([max(0.0, value) for value in found.values()]))


if __name__ == "__main__":
    main()
