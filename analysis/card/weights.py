"""Where the weights of sampled members lie: by tensor, over epochs, and apart from one another.

Shape letters: M members, P parameters, R rows (snapshots), S entries of one tensor.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import Tensor

from analysis.card.record import Findings, Row
from analysis.pages.distributions import even_edges
from analysis.statistics.groups import evenly_spaced
from zoo.architecture import Activate
from zoo.metric import Metric
from zoo.population import Population
from zoo.storage.selection import Epochs
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


def sampled_layouts(zoo: Zoo, sample: np.ndarray, findings: Findings) -> tuple[list[Population], list[Population]]:
    """Reads the sample, layout by layout, that with the most members first, and describes each.

    Adds rows of layouts, and of the first ``SECTIONS`` of them entries, norms and distances; to ``findings.sample`` how
    many members were ``read``.

    Args:
        zoo: The zoo.
        sample: Increasing numbers of members.
        findings: What is added to.

    Returns:
        The sample's last snapshots, a population for each layout that has any; and one snapshot of each member,
        likewise, empty where these are the last ones.
    """
    table, epochs = zoo.snapshots.select(["member", "split", "diverged"]).to_pandas(), zoo.recipe.snapshot_epochs
    training, diverged_R = table["member"][table["split"] == "train"], table["diverged"].to_numpy()
    of_member = np.repeat(zoo.architecture_of_shard, [entry.end - entry.first for entry in zoo.manifest.shards])
    alike = [[i for i, each in enumerate(zoo.architectures) if each.layout == layout] for layout in zoo.layouts]
    layouts = sorted(
        ((np.flatnonzero(np.isin(of_member, each)), each) for each in alike), key=lambda found: -len(found[0])
    )
    every_last, every_one = list[Population](), list[Population]()
    for layout, (members, indices) in enumerate(layouts):
        architecture = zoo.architectures[indices[0]]
        drawn = np.intersect1d(sample, members)
        drawn = drawn[evenly_spaced(len(drawn), max(2, WEIGHT_BYTES // (4 * architecture.parameters * len(epochs))))]
        placed = [place.layer for index in indices for place in zoo.architectures[index].activations]
        activations = dict.fromkeys(layer.function for layer in placed if isinstance(layer, Activate))
        row: Row = {"layout": layout, "label": architecture.summary, "parameters": architecture.parameters}
        row |= {"activations": ", ".join(activations) or "none", "members": len(members)}
        row |= {"training": np.isin(members, training).sum(), "read": len(drawn)}
        row |= {"measured": 0, "compared": 0, "unaligned": ""}
        findings.rows["layouts"].append(row)
        if not len(drawn):
            continue
        # Diverged ones are read as well and then left out, as each time they are left out in reading is logged.
        ids = drawn.tolist()
        choices: tuple[Epochs, ...] = (epochs, "last", "one")
        rows, lasts, ones = (zoo.rows(members=ids, epochs=each, include_diverged=True) for each in choices)
        kept_R = ~diverged_R[rows]
        population = zoo.population(members=ids, epochs=epochs, include_diverged=True)
        population = population.select(np.flatnonzero(kept_R).tolist())
        last_R, one_R = (np.isin(rows[kept_R], chosen) for chosen in (lasts, ones))
        last, one = (population.select(np.flatnonzero(chosen_R).tolist()) for chosen_R in (last_R, one_R))
        every_last += [last] * bool(len(last))
        every_one += [one] * bool(len(one))
        if layout < SECTIONS and len(last):
            row["measured"] = len(last)
            describe_tensors(population, last_R, findings, layout)
            row |= _describe_distances(last, findings, layout)
    findings.sample["read"] = sum(row["read"] for row in findings.rows["layouts"])
    differ = [one.epochs for one in every_one] != [last.epochs for last in every_last]
    return every_last, every_one if differ else []


def describe_tensors(population: Population, last_R: np.ndarray, findings: Findings, layout: int) -> None:
    """Adds each tensor's entries in last snapshots, and its norm at each epoch; no row has diverged."""
    generator = np.random.default_rng(0)
    for spec in population.architecture.layout:
        keys: Row = {"layout": layout, "tensor": spec.name}
        row = {**keys, "shape": "×".join(map(str, spec.shape)), "trainable": spec.trainable}
        findings.rows["tensors"].append(row)
        entries_RS = population.weights_MP[:, spec.span].numpy()
        values = entries_RS[last_R].ravel()
        if len(values) > MOST_ENTRIES:
            values = generator.choice(values, MOST_ENTRIES)
        findings.add(values, ENTRY.name, **keys)
        norm_R = np.linalg.norm(entries_RS.astype(np.float64), axis=1)
        findings.add_groups(pd.Series(norm_R), NORM.name, "epoch", np.asarray(population.epochs), **keys)


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
    weights_MP, trained_P = last.weights_MP[rows], architecture.trainable
    references = evenly_spaced(len(rows), REFERENCES)
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
    found = {value: np.concatenate(parts) for value, parts in apart.items()}
    edges = even_edges(np.concatenate([*found.values()]), DISTANCE_BINS)
    for value, distances in found.items():
        findings.add(distances, DISTANCE.name, edges=edges, layout=layout, by="alignment", value=value)
    unaligned = "" if architecture.symmetry else "there are no hidden units to permute"
    return {"compared": len(rows), "unaligned": unaligned}


def _distances(others_MP: Tensor, reference_P: Tensor) -> np.ndarray:
    """Relative distances of several weight vectors from one."""
    others_MP, reference_P = others_MP.double(), reference_P.double()
    scale_M = ((others_MP.square().sum(1) + reference_P.square().sum()) / 2).sqrt()
    return ((others_MP - reference_P).norm(dim=1) / scale_M.clamp_min(1e-300)).numpy()
