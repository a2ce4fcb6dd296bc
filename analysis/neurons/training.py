"""Statistics of hidden units from snapshot to snapshot, member after member, on training and test examples.

Shape letters: M members, N examples, U units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.groups import chosen_members
from analysis.intervals import Bootstrap
from analysis.neurons.activations import (
    DEAD,
    MOVED,
    OF_LAYERS,
    OF_UNITS,
    RANK,
    SPARSITY,
    effective_rank,
    hidden,
    moved,
    of_units,
)
from trainables.readouts.scores import kendall_tau
from zoo.architecture import Architecture
from zoo.data.class_tasks import select
from zoo.data.examples import Dataset, Examples
from zoo.population import Population
from zoo.storage.zoo import Zoo

PARTS = ("train", "test")
GAP = "generalization_gap"
# Members that are applied at once.
AT_ONCE = 8
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Neurons:
    """What hidden units did over training.

    Attributes:
        units: A row a member, epoch, layer, part of the examples and unit, with the metrics of ``OF_UNITS``.
        layers: A row a member, epoch, layer and part: the means of these over units, those of ``OF_LAYERS``, and the
            generalization gap of the snapshot.
        examples: How many examples of each part.
    """

    units: pd.DataFrame
    layers: pd.DataFrame
    examples: int

    def cumulative(self, metric: str) -> pd.DataFrame:
        """The units' rows with the mean of a metric over all epochs so far in its place."""
        keys = ["member", "layer", "part", "unit"]
        ordered = self.units.sort_values("epoch")
        return ordered.assign(
            **{metric: ordered.groupby(keys)[metric].transform(lambda values: values.expanding().mean())}
        )

    def with_gap(self, bootstrap: Bootstrap) -> pd.DataFrame:
        """Kendall's τ_b over members between what a layer did last and the generalization gap.

        Returns:
            A row a layer and metric (on test examples): ``tau``, ``low``, ``high``; without those that are constant.
        """
        last = self.layers[(self.layers["epoch"] == self.layers["epoch"].max()) & (self.layers["part"] == "test")]
        rows = []
        for layer, own in last.groupby("layer"):
            for metric in (*OF_UNITS, *OF_LAYERS):
                known = own[[metric.name, GAP]].dropna().to_numpy()
                if len(known) < 3 or np.ptp(known[:, 0]) == 0 or np.ptp(known[:, 1]) == 0:
                    continue

                def tau(_fit: int, rows_M: np.ndarray, known: np.ndarray = known) -> dict[str, float]:
                    return {"tau": kendall_tau(known[rows_M, 1], known[rows_M, 0])}

                found = bootstrap.of_statistics(tau, len(known), bounds={"tau": (-1.0, 1.0)})["tau"]
                rows.append(
                    {"layer": layer, "metric": metric.name, "tau": found.estimate, "low": found.low, "high": found.high}
                )
        return pd.DataFrame(rows, columns=["layer", "metric", "tau", "low", "high"])


def over_training(zoo: Zoo, *, members: int = 32, examples: int = 500, progress: Progress | None = None) -> Neurons:
    """Applies members at all their snapshots to training and test examples.

    Args:
        zoo: A zoo of networks with classes and hidden units, with two snapshots or more.
        members: At most so many test members, of as many minibatch orders as there are.
        examples: At most so many examples of each part.
        progress: Called with members done and members in all.

    Raises:
        ValueError: The task has no classes, no network has hidden units, or there is one epoch alone.
        ZooError: The zoo has no test members.
    """
    dataset = zoo.dataset()
    if not dataset.task.has_classes:
        raise ValueError(
            f"zoo {zoo.name} is of a task without classes (loss {dataset.task.loss!r}); neurons are looked at by the "
            "classes that excite them: take a zoo of classifiers"
        )
    epochs = zoo.recipe.snapshot_epochs
    if len(epochs) < 2:
        raise ValueError(
            f"zoo {zoo.name} has snapshots of epoch {epochs[0]} alone; neurons over training need two or more"
        )
    chosen = chosen_members(zoo, members)
    units, layers = [], []
    for number, member in enumerate(chosen):
        population = next(iter(zoo.populations("test", members=[member], epochs=epochs)))
        found_units, found_layers = _of_member(population, dataset, examples)
        units.append(found_units.assign(member=member))
        layers.append(found_layers.assign(member=member))
        if progress is not None:
            progress(number + 1, len(chosen))
    of_units, of_layers = (pd.concat(parts, ignore_index=True) for parts in (units, layers))
    if not len(of_units):
        raise ValueError(f"the networks of zoo {zoo.name} have no hidden units; take one whose networks have some")
    return Neurons(units=of_units, layers=of_layers, examples=examples)


def _of_member(population: Population, dataset: Dataset, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One member's snapshots, first to last."""
    order = np.argsort(population.epochs)
    population = population.select(order.tolist())
    task = population.members[0].task if population.members else ""
    architecture = population.architectures[int(population.architecture_M[0])]
    gaps = population.columns.get(GAP, np.full(len(population), np.nan))
    units, layers = [], []
    for part in PARTS:
        examples: Examples = select(task, getattr(dataset, part)).first(count)
        given = _given(architecture, population.weights_MP, examples.inputs)
        for layer, given_ENU in enumerate(given):
            of_each = of_units(given_ENU, examples.targets, architecture.activation)
            ranks_E = effective_rank(given_ENU)
            shifts_E = [float("nan"), *moved(given_ENU[:-1], given_ENU[1:]).tolist()]
            for row, epoch in enumerate(population.epochs):
                values = {name: values_EU[row].numpy() for name, values_EU in of_each.items()}
                at = {"epoch": epoch, "layer": layer + 1, "part": part}
                units.append(pd.DataFrame({**at, "unit": np.arange(given_ENU.shape[2]), **values}))
                layers.append(
                    {
                        **at,
                        **{name: float(np.mean(of_units_U)) for name, of_units_U in values.items()},
                        RANK.name: float(ranks_E[row]),
                        DEAD.name: float((values[SPARSITY.name] == 1).mean()),
                        MOVED.name: shifts_E[row],
                        GAP: float(gaps[row]),
                    }
                )
    return pd.concat(units, ignore_index=True) if units else pd.DataFrame(), pd.DataFrame(layers)


def _given(architecture: Architecture, weights_EP: Tensor, x: Tensor) -> list[Tensor]:
    parts = [hidden(architecture, rows, x) for rows in weights_EP.split(AT_ONCE)]
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]
