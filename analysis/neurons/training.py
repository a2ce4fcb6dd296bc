"""Statistics of hidden units from snapshot to snapshot, member after member, on training and test examples.

Shape letters: M members, N examples, U units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.neurons.activations import (
    DEAD,
    OF_CHANGES,
    OF_LAYERS,
    OF_UNITS,
    RANK,
    SPARSITY,
    changes,
    effective_rank,
    hidden,
    of_units,
)
from analysis.statistics.groups import chosen_members, orders_differ
from analysis.statistics.intervals import Bootstrap
from analysis.statistics.resampling import ResampledScores
from trainables.readouts.metrics import KENDALL_TAU, KENDALL_TAU_WITHIN
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
        layers: A row a member, epoch, layer and part: the means of these over units, those of ``OF_LAYERS``, the
            generalization gap of the snapshot, how many hidden layers the member has (``depth``), and which members
            were trained in one minibatch order (``group``).
        examples: How many examples of each part.
    """

    units: pd.DataFrame
    layers: pd.DataFrame
    examples: int

    def cumulative(self, metric: str) -> pd.DataFrame:
        """The units' rows with the mean of a metric over all epochs so far in its place."""
        keys = ["member", "layer", "part", "unit"]
        ordered = self.units.sort_values("epoch")
        groups = ordered.groupby(keys)[metric]
        return ordered.assign(**{metric: groups.cumsum() / (groups.cumcount() + 1)})

    def settling(self, metric: str) -> pd.DataFrame:
        """How much units change a metric, and how much its mean over all epochs so far does, on test examples.

        Changes are from one snapshot to the next, absolute, over the standard deviation of the layer's units at the
        last snapshot; the mean over units and layers.

        Returns:
            A row a member and epoch: ``single``, ``cumulative``. Of a unit that goes on changing by independent steps,
            the mean over t epochs changes by 1 / √(3 t) of them: it settles whether the unit does or not.
        """
        keys = ["member", "layer", "unit"]
        found = {}
        for name, frame in (("single", self.units), ("cumulative", self.cumulative(metric))):
            own = frame[frame["part"] == "test"].sort_values("epoch")
            found[name] = own.assign(change=own.groupby(keys)[metric].diff().abs()).set_index([*keys, "epoch"])[
                "change"
            ]
        last = self.units[(self.units["part"] == "test") & (self.units["epoch"] == self.units["epoch"].max())]
        spread = last.groupby(["member", "layer"])[metric].std(ddof=0).rename("spread")
        joined = pd.DataFrame(found).dropna().join(spread, on=["member", "layer"])
        joined = joined[joined["spread"] > 0]
        relative = joined[["single", "cumulative"]].div(joined["spread"], axis=0)
        return relative.groupby(["member", "epoch"]).mean().reset_index()

    def of_members(self, where: str) -> pd.DataFrame:
        """A row a member: each metric on test examples, of its last snapshot; of changes the mean over snapshots.

        Args:
            where: "first" or "last" hidden layer, or "mean" over all.
        """
        own = self.layers[self.layers["part"] == "test"]
        if where != "mean":
            own = own[own["layer"] == (1 if where == "first" else own["depth"])]
        last = own[own["epoch"] == own["epoch"].max()].groupby("member")
        lasting = last[[metric.name for metric in (*OF_UNITS, *OF_LAYERS) if metric not in OF_CHANGES] + [GAP]].mean()
        changing = own.groupby("member")[[metric.name for metric in OF_CHANGES]].mean()
        return lasting.join(changing).join(last[["depth", "group"]].first())

    def with_gap(self, bootstrap: Bootstrap) -> pd.DataFrame:
        """Kendall's τ_b over members between what layers do and the generalization gap, with intervals over members.

        Returns:
            A row a metric and part of a network ("first", "last" hidden layer, "mean" over all), without those that are
            constant: ``tau``, ``low``, ``high`` over all members; ``within``, ``within_low``, ``within_high`` among
            members of one depth, the mean over depths weighted by pairs.
        """
        rows = []
        deep = self.layers["depth"].max() > 1
        for where in ("first", "last", "mean") if deep else ("mean",):
            table = self.of_members(where)
            for metric in (*OF_UNITS, *OF_LAYERS):
                known = table[[metric.name, GAP, "depth", "group"]].dropna()
                if len(known) < 3 or known[metric.name].nunique() < 2 or known[GAP].nunique() < 2:
                    continue
                groups, group_M = np.unique(known["group"], return_inverse=True)
                scores = ResampledScores(
                    known[GAP].to_numpy(), known[metric.name].to_numpy(), group_M, known["depth"].to_numpy()
                )
                bounds = {KENDALL_TAU.name: (-1.0, 1.0), KENDALL_TAU_WITHIN.name: (-1.0, 1.0)}
                found = bootstrap.of_resamples([scores], len(groups), bounds=bounds)
                row: dict[str, Any] = {"where": where, "metric": metric.name}
                for name, title in ((KENDALL_TAU.name, "tau"), (KENDALL_TAU_WITHIN.name, "within")):
                    one = found[name].interval
                    ends = ("low", "high") if title == "tau" else ("within_low", "within_high")
                    row |= {title: one.estimate, ends[0]: one.low, ends[1]: one.high}
                rows.append(row)
        columns = ["where", "metric", "tau", "low", "high", "within", "within_low", "within_high"]
        return pd.DataFrame(rows, columns=columns)


def over_training(zoo: Zoo, *, members: int = 32, examples: int = 500, progress: Progress | None = None) -> Neurons:
    """Applies members at all their snapshots to training and test examples.

    Args:
        zoo: A zoo of networks with classes and hidden units, with two snapshots or more.
        members: At most so many members, of as many minibatch orders as there are and as many of each layout. Nothing
            is fitted, so that they are of all splits.
        examples: At most so many examples of each part.
        progress: Called with members done and members in all.

    Raises:
        ValueError: The task has no classes, no network has hidden units, or there is one epoch alone.
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
    chosen, grouped = _chosen(zoo, members), orders_differ(zoo)
    units, layers = [], []
    for number, member in enumerate(chosen):
        population = next(iter(zoo.populations(members=[member], epochs=epochs)))
        found_units, found_layers = _of_member(population, dataset, examples)
        units.append(found_units.assign(member=member))
        group = population.members[0].order_seed if grouped and population.members else member
        layers.append(found_layers.assign(member=member, group=group))
        if progress is not None:
            progress(number + 1, len(chosen))
    of_units, of_layers = (pd.concat(parts, ignore_index=True) for parts in (units, layers))
    if not len(of_units):
        raise ValueError(f"the networks of zoo {zoo.name} have no hidden units; take one whose networks have some")
    return Neurons(units=of_units, layers=of_layers, examples=examples)


def _chosen(zoo: Zoo, most: int) -> list[int]:
    """Members of all splits, as many of each layout."""
    layouts = {architecture.layout: architecture for architecture in zoo.architectures}
    shares = [most // len(layouts) + (number < most % len(layouts)) for number in range(len(layouts))]
    chosen = [
        chosen_members(zoo, share, architecture, split=None)
        for architecture, share in zip(layouts.values(), shares, strict=True)
        if share
    ]
    return sorted(member for members in chosen for member in members)


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
            changes_E = {
                name: [math.nan, *values.tolist()] for name, values in changes(given_ENU[:-1], given_ENU[1:]).items()
            }
            for row, epoch in enumerate(population.epochs):
                values = {name: values_EU[row].numpy() for name, values_EU in of_each.items()}
                at = {"epoch": epoch, "layer": layer + 1, "part": part}
                units.append(pd.DataFrame({**at, "unit": np.arange(given_ENU.shape[2]), **values}))
                layers.append(
                    {
                        **at,
                        "depth": len(given),
                        **{name: float(np.mean(of_units_U)) for name, of_units_U in values.items()},
                        RANK.name: float(ranks_E[row]),
                        DEAD.name: float((values[SPARSITY.name] == 1).mean()),
                        **{metric.name: changes_E[metric.name][row] for metric in OF_CHANGES},
                        GAP: float(gaps[row]),
                    }
                )
    return pd.concat(units, ignore_index=True) if units else pd.DataFrame(), pd.DataFrame(layers)


def _given(architecture: Architecture, weights_EP: Tensor, x: Tensor) -> list[Tensor]:
    parts = [hidden(architecture, rows, x) for rows in weights_EP.split(AT_ONCE)]
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]
