"""Where the weights of sampled members lie: by tensor, over epochs, and apart from one another.

Shape letters: M members, P parameters, R rows (snapshots), S entries of one tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.card.describe import Row, bins, describe, even_edges, evenly_spaced
from zoo.architecture import Activate, Architecture
from zoo.metric import Metric
from zoo.population import Population
from zoo.storage.zoo import Zoo
from zoo.views.align import align
from zoo.views.canonical import widths

ENTRY = Metric(name="entry", label="value of an entry", description="An entry of a tensor of last snapshots.")
NORM = Metric(name="norm", label="norm of the tensor", description="Euclidean norm of a tensor of one network.")
DISTANCE = Metric(
    name="distance",
    label="relative distance of two members",
    description="‖a − b‖ / √((‖a‖² + ‖b‖²) / 2) of two networks' trained weights: 0 where they are equal, √2 where "
    "they have nothing in common.",
)
# Between layers in words.
ARROW = " → "
# Layouts that are described one by one: those with the most members.
SECTIONS = 8
# Weights of one layout held at once; of more, fewer members are read.
WEIGHT_BYTES = 512_000_000
# A histogram of entries leaves out so many on either side.
OUTSIDE = 0.001
WEIGHT_BINS, DISTANCE_BINS = 60, 40
# Entries of one tensor that quantiles are taken of; of more, as many are drawn at random. (Even steps would meet the
# same places of the tensor in every member.)
MOST_ENTRIES = 4_000_000
# Members compared by distance, and how many of them all others are aligned to.
DISTANCE_MEMBERS, REFERENCES = 64, 16
# Bounds the assignment problems of alignment, which take time by the cube of a layer's width: about 20 s.
MOST_ALIGNMENT_WORK = 10_000_000_000


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The layouts of a zoo, what was read of them, and rows of tables about their weights.

    Attributes:
        layouts: A row for each layout, that with the most members first.
        tensors: A row for each tensor of the first ``SECTIONS`` of them.
        last: The sample's last snapshots, a population for each layout that has any.
        one: One snapshot of each member, likewise; empty where these are the last ones.
        distributions: Of entries, norms and distances.
        histograms: Likewise.
    """

    layouts: list[Row] = field(default_factory=list)
    tensors: list[Row] = field(default_factory=list)
    last: list[Population] = field(default_factory=list)
    one: list[Population] = field(default_factory=list)
    distributions: list[Row] = field(default_factory=list)
    histograms: list[Row] = field(default_factory=list)


def sampled_layouts(zoo: Zoo, sample: np.ndarray) -> Sampled:
    """Reads the sample, layout by layout, and describes each.

    Args:
        zoo: The zoo.
        sample: Increasing numbers of members.
    """
    table = zoo.snapshots.select(["member", "epoch", "diverged"]).to_pandas()
    last_R = ~table["member"].duplicated(keep="last").to_numpy()
    of_member = np.repeat(zoo.architecture_of_shard, [entry.end - entry.first for entry in zoo.manifest.shards])
    by_layout: dict[Any, list[int]] = {}
    for index, architecture in enumerate(zoo.architectures):
        by_layout.setdefault(architecture.layout, []).append(index)
    epochs, found, differ = zoo.recipe.snapshot_epochs, Sampled(), False
    order = sorted(by_layout.values(), key=lambda indices: -int(np.isin(of_member, indices).sum()))
    for layout, indices in enumerate(order):
        architecture, members = zoo.architectures[indices[0]], np.flatnonzero(np.isin(of_member, indices))
        drawn = sample[np.isin(sample, members)]
        drawn = drawn[evenly_spaced(len(drawn), max(2, WEIGHT_BYTES // (4 * architecture.parameters * len(epochs))))]
        placed = [place.layer for index in indices for place in zoo.architectures[index].activations]
        activations = dict.fromkeys(layer.function for layer in placed if isinstance(layer, Activate))
        row: Row = {"layout": layout, "label": in_words(architecture), "parameters": architecture.parameters}
        row |= {"activations": ", ".join(activations) or "none", "members": len(members)}
        row |= {"read": len(drawn), "measured": 0, "compared": 0, "unaligned": ""}
        found.layouts.append(row)
        read = table["member"].isin(drawn.tolist()).to_numpy()
        kept = read & ~table["diverged"].to_numpy()
        if not kept.any():
            continue
        # Diverged ones are read as well and then left out, as each time they are left out in reading is logged.
        population = zoo.population(members=drawn.tolist(), epochs=epochs, include_diverged=True)
        population = population.select(np.flatnonzero(kept[read]).tolist())
        last = population.select(np.flatnonzero(last_R[kept]).tolist())
        rows = zoo.rows(members=drawn.tolist(), epochs="one", include_diverged=True)
        one = population.select(np.flatnonzero(np.isin(np.flatnonzero(kept), rows)).tolist())
        differ = differ or list(one.epochs) != list(last.epochs)
        found.last.extend([last] if len(last) else [])
        found.one.extend([one] if len(one) else [])
        if layout < SECTIONS and len(last):
            row["measured"] = len(last)
            describe_tensors(found, layout, population, last_R[kept])
            row |= _describe_distances(found, layout, last)
    if not differ:
        found.one.clear()
    return found


def describe_tensors(found: Sampled, layout: int, population: Population, last_R: np.ndarray) -> None:
    """Adds each tensor: its entries in last snapshots, and its norm at each epoch; no row has diverged."""
    epoch_R = np.asarray(population.epochs)
    generator = np.random.default_rng(0)
    for spec in population.architecture.layout:
        keys: Row = {"layout": layout, "tensor": spec.name}
        shape = "×".join(map(str, spec.shape))
        found.tensors.append({**keys, "shape": shape, "trainable": spec.trainable})
        entries_RS = population.weights_MP[:, spec.span].numpy()
        values = entries_RS[last_R].ravel()
        if len(values) > MOST_ENTRIES:
            values = generator.choice(values, MOST_ENTRIES)
        found.distributions.append(describe(values, metric=ENTRY.name, **keys))
        found.histograms.extend(bins(values, even_edges(values, WEIGHT_BINS, OUTSIDE), metric=ENTRY.name, **keys))
        norm_R = np.linalg.norm(entries_RS.astype(np.float64), axis=1)
        found.distributions.extend(
            describe(norm_R[epoch_R == epoch], metric=NORM.name, by="epoch", value=epoch, **keys)
            for epoch in np.unique(epoch_R).tolist()
        )


def _describe_distances(found: Sampled, layout: int, last: Population) -> Row:
    """Compares members with each other, at most ``DISTANCE_MEMBERS`` evenly spaced ones; fewer where layers are wide.

    Returns:
        How many members were ``compared``, and why they are ``unaligned`` if so.
    """
    if len(last) < 2:
        return {}
    architecture = last.architecture
    assignment = max(1, sum(width**3 for width in widths(architecture).values()))
    rows = evenly_spaced(len(last), max(2, min(DISTANCE_MEMBERS, MOST_ALIGNMENT_WORK // (2 * assignment))))
    weights_MP, trained_P = last.weights_MP[torch.from_numpy(rows)], architecture.trainable
    references = evenly_spaced(len(rows), REFERENCES).tolist()
    references = references[: max(2, MOST_ALIGNMENT_WORK // (len(rows) * assignment))]
    apart: dict[str, list[np.ndarray]] = {"as stored": []}
    if architecture.symmetry:
        apart["aligned"] = []
    for number, reference in enumerate(references):
        # Each pair once: a reference is not compared with the references before it.
        others = [row for row in range(len(rows)) if row != reference and row not in references[:number]]
        if others:
            reference_P, others_MP = weights_MP[reference], weights_MP[others]
            apart["as stored"].append(_distances(others_MP[:, trained_P], reference_P[trained_P]))
            if architecture.symmetry:
                others_MP = align(others_MP, architecture, reference_P).weights_MP
                apart["aligned"].append(_distances(others_MP[:, trained_P], reference_P[trained_P]))
    edges = even_edges(np.concatenate([part for parts in apart.values() for part in parts]), DISTANCE_BINS)
    for value, parts in apart.items():
        keys: Row = {"metric": DISTANCE.name, "layout": layout, "by": "alignment", "value": value}
        found.distributions.append(describe(np.concatenate(parts), **keys))
        found.histograms.extend(bins(np.concatenate(parts), edges, **keys))
    unaligned = "" if architecture.symmetry else "there are no hidden units to permute"
    return {"compared": len(rows), "unaligned": unaligned}


def in_words(architecture: Architecture) -> str:
    """The layers of an architecture that have a choice in them, without activations: ``1×8×8 → 16 → 10``."""
    value = architecture.to_json()
    return ARROW.join(["×".join(map(str, value["input_shape"])), *_layers_in_words(value["layers"])])


def _layers_in_words(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for layer in layers:
        kind = layer["kind"]
        if kind == "linear":
            yield f"{layer['features']}{'' if layer['bias'] else ' (no bias)'}"
        elif kind == "conv":
            stride = f"/{layer['stride']}" if layer["stride"] != 1 else ""
            yield f"conv {layer['channels']} {layer['kernel']}×{layer['kernel']}{stride}"
        elif kind == "residual":
            yield f"residual ({ARROW.join(_layers_in_words(layer['body']))})"
        elif kind not in ("flatten", "activate"):
            size = f" {layer['size']}" if "size" in layer else ""
            yield f"{kind.replace('_', ' ').replace('-', ' ')}{size}"


def _distances(others_MP: Tensor, reference_P: Tensor) -> np.ndarray:
    """Relative distances of several weight vectors from one."""
    others_MP, reference_P = others_MP.double(), reference_P.double()
    scale_M = ((others_MP.square().sum(1) + reference_P.square().sum()) / 2).sqrt()
    return ((others_MP - reference_P).norm(dim=1) / scale_M.clamp_min(1e-300)).numpy()
