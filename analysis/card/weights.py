"""Where the weights of sampled members lie: by tensor, over epochs, and apart from one another.

Shape letters: M members, P parameters, R rows (snapshots), S entries of one tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from analysis.card.describe import Findings, Row, even_edges, evenly_spaced
from zoo.architecture import Activate
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
# Layouts that are described one by one: those with the most members.
SECTIONS = 8
# Weights of one layout held at once; of more, fewer members are read.
WEIGHT_BYTES = 512_000_000
DISTANCE_BINS = 40
# Entries of one tensor that quantiles are taken of; of more, as many are drawn at random. (Even steps would meet the
# same places of the tensor in every member.)
MOST_ENTRIES = 4_000_000
# Members compared by distance, and how many of them all others are aligned to.
DISTANCE_MEMBERS, REFERENCES = 64, 16
# Bounds the assignment problems of alignment, which take time by the cube of a layer's width: about 20 s.
MOST_ALIGNMENT_WORK = 10_000_000_000


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The layouts of a zoo, and what was read of them.

    Attributes:
        layouts: A row for each layout, that with the most members first.
        tensors: A row for each tensor of the first ``SECTIONS`` of them.
        last: The sample's last snapshots, a population for each layout that has any.
        one: One snapshot of each member, likewise; empty where these are the last ones.
    """

    layouts: list[Row] = field(default_factory=list)
    tensors: list[Row] = field(default_factory=list)
    last: list[Population] = field(default_factory=list)
    one: list[Population] = field(default_factory=list)


def sampled_layouts(zoo: Zoo, sample: np.ndarray, findings: Findings) -> Sampled:
    """Reads the sample, layout by layout, and describes each.

    Args:
        zoo: The zoo.
        sample: Increasing numbers of members.
        findings: Where entries, norms and distances are added.
    """
    table = zoo.snapshots.select(["member", "epoch", "diverged", "split"]).to_pandas()
    trained = table["member"][table["split"] == "train"].unique()
    last_R = ~table["member"].duplicated(keep="last").to_numpy()
    of_member = np.repeat(zoo.architecture_of_shard, [entry.end - entry.first for entry in zoo.manifest.shards])
    every = [[i for i, each in enumerate(zoo.architectures) if each.layout == layout] for layout in zoo.layouts]
    epochs, found, differ = zoo.recipe.snapshot_epochs, Sampled(), False
    order = sorted(every, key=lambda indices: -int(np.isin(of_member, indices).sum()))
    for layout, indices in enumerate(order):
        architecture, members = zoo.architectures[indices[0]], np.flatnonzero(np.isin(of_member, indices))
        drawn = sample[np.isin(sample, members)]
        drawn = drawn[evenly_spaced(len(drawn), max(2, WEIGHT_BYTES // (4 * architecture.parameters * len(epochs))))]
        placed = [place.layer for index in indices for place in zoo.architectures[index].activations]
        activations = dict.fromkeys(layer.function for layer in placed if isinstance(layer, Activate))
        row: Row = {"layout": layout, "label": architecture.summary, "parameters": architecture.parameters}
        row |= {"activations": ", ".join(activations) or "none", "members": len(members)}
        row |= {"training": int(np.isin(members, trained).sum())}
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
            found.tensors.extend(describe_tensors(population, last_R[kept], findings, layout))
            row |= _describe_distances(last, findings, layout)
    if not differ:
        found.one.clear()
    return found


def describe_tensors(population: Population, last_R: np.ndarray, findings: Findings, layout: int) -> Iterator[Row]:
    """Adds each tensor's entries in last snapshots, and its norm at each epoch; no row has diverged."""
    epoch_R, generator = np.asarray(population.epochs), np.random.default_rng(0)
    for spec in population.architecture.layout:
        keys: Row = {"layout": layout, "tensor": spec.name}
        yield {**keys, "shape": "×".join(map(str, spec.shape)), "trainable": spec.trainable}
        entries_RS = population.weights_MP[:, spec.span].numpy()
        values = entries_RS[last_R].ravel()
        if len(values) > MOST_ENTRIES:
            values = generator.choice(values, MOST_ENTRIES)
        findings.add(values, ENTRY.name, **keys)
        norm_R = np.linalg.norm(entries_RS.astype(np.float64), axis=1)
        for epoch in np.unique(epoch_R).tolist():
            findings.add(norm_R[epoch_R == epoch], NORM.name, by="epoch", value=epoch, **keys)


def _describe_distances(last: Population, findings: Findings, layout: int) -> Row:
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
    apart: dict[str, list[np.ndarray]] = {"as stored": [], **({"aligned": []} if architecture.symmetry else {})}
    for number, reference in enumerate(references):
        # Each pair once: a reference is not compared with the references before it.
        others = [row for row in range(len(rows)) if row != reference and row not in references[:number]]
        for value, parts in apart.items() if others else ():
            reference_P, others_MP = weights_MP[reference], weights_MP[others]
            if value == "aligned":
                others_MP = align(others_MP, architecture, reference_P).weights_MP
            parts.append(_distances(others_MP[:, trained_P], reference_P[trained_P]))
    edges = even_edges(np.concatenate([part for parts in apart.values() for part in parts]), DISTANCE_BINS)
    for value, parts in apart.items():
        findings.add(np.concatenate(parts), DISTANCE.name, edges=edges, layout=layout, by="alignment", value=value)
    unaligned = "" if architecture.symmetry else "there are no hidden units to permute"
    return {"compared": len(rows), "unaligned": unaligned}


def _distances(others_MP: Tensor, reference_P: Tensor) -> np.ndarray:
    """Relative distances of several weight vectors from one."""
    others_MP, reference_P = others_MP.double(), reference_P.double()
    scale_M = ((others_MP.square().sum(1) + reference_P.square().sum()) / 2).sqrt()
    return ((others_MP - reference_P).norm(dim=1) / scale_M.clamp_min(1e-300)).numpy()
