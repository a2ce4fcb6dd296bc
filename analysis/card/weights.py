"""Where the weights of sampled members lie: by tensor, over epochs, and apart from one another.

Shape letters: M members, P parameters, H units of a hidden layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.card.distributions import (
    Distribution,
    Histogram,
    core_edges,
    distribution,
    even_edges,
    evenly_spaced,
    histogram,
)
from zoo.architecture import Architecture
from zoo.population import Population
from zoo.views.align import align
from zoo.views.canonical import widths

# Between layers in words.
ARROW = " → "
WEIGHT_BINS, DISTANCE_BINS = 60, 40
# Entries of one tensor that quantiles are taken of; of more, as many are drawn at random. (Even steps would meet the
# same places of the tensor in every member.)
MOST_ENTRIES = 4_000_000
# Members compared by distance, and how many of them all others are aligned to.
DISTANCE_MEMBERS, REFERENCES = 64, 16
# Bounds the assignment problems of alignment, which take time by the cube of a layer's width: about 20 s.
MOST_ALIGNMENT_WORK = 10_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class NormFacts:
    """Euclidean norm of one tensor at one epoch, over members."""

    epoch: int
    norm: Distribution


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorFacts:
    """The entries of one tensor.

    Attributes:
        name: Its name in the ``state_dict``.
        shape: Its shape.
        trainable: Whether it is trained; if not, it is a buffer such as a running mean.
        values: Its entries in all members' last snapshots, or ``MOST_ENTRIES`` of them drawn at random.
        histogram: The same.
        norms: Its norm at each epoch.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool
    values: Distribution
    histogram: Histogram
    norms: tuple[NormFacts, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceFacts:
    """How far last snapshots of two members lie apart: ‖a − b‖ / √((‖a‖² + ‖b‖²) / 2), trained tensors only.

    0 for equal weights, √2 for weights that have nothing in common.

    Attributes:
        members: Members compared.
        pairs: Pairs of them.
        raw: As they are stored.
        raw_histogram: The same.
        aligned: With the hidden units of one in the order that fits the other's best; ``None`` where there are no
            units to permute.
        aligned_histogram: The same.
        unaligned: Why there is no ``aligned``.
    """

    members: int
    pairs: int
    raw: Distribution
    raw_histogram: Histogram
    aligned: Distribution | None
    aligned_histogram: Histogram | None
    unaligned: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutFacts:
    """Members of one parameter layout.

    Attributes:
        label: Its layers in words.
        architectures: The architectures that have it, as JSON.
        parameters: Length of the weight vector.
        members: How many members have it.
        measured: How many of the sample are measured here.
        tensors: By tensor; none where nothing was measured.
        distances: ``None`` where fewer than two members are measured.
    """

    label: str
    architectures: tuple[Mapping[str, Any], ...]
    parameters: int
    members: int
    measured: int
    tensors: tuple[TensorFacts, ...]
    distances: DistanceFacts | None


def tensor_facts(population: Population, last_M: np.ndarray) -> tuple[TensorFacts, ...]:
    """Describes each tensor.

    Args:
        population: All snapshots of the members, none of them diverged.
        last_M: Which rows are last snapshots.
    """
    epoch_M = np.asarray(population.epochs)
    generator = np.random.default_rng(0)
    facts = []
    for spec in population.architecture.layout:
        entries_MS = population.weights_MP[:, spec.span].numpy()
        values = entries_MS[last_M].ravel()
        if len(values) > MOST_ENTRIES:
            values = generator.choice(values, MOST_ENTRIES)
        norm_M = np.linalg.norm(entries_MS.astype(np.float64), axis=1)
        facts.append(
            TensorFacts(
                name=spec.name,
                shape=spec.shape,
                trainable=spec.trainable,
                values=distribution(values),
                histogram=histogram(values, core_edges(values, WEIGHT_BINS)),
                norms=tuple(
                    NormFacts(epoch=int(epoch), norm=distribution(norm_M[epoch_M == epoch]))
                    for epoch in np.unique(epoch_M)
                ),
            )
        )
    return tuple(facts)


def distance_facts(last: Population) -> DistanceFacts | None:
    """Compares members with each other, at most ``DISTANCE_MEMBERS`` evenly spaced ones; fewer where layers are wide.

    Args:
        last: Last snapshots, none of them diverged.
    """
    if len(last) < 2:
        return None
    architecture = last.architecture
    assignment = max(1, sum(width**3 for width in widths(architecture).values()))
    rows = evenly_spaced(len(last), max(2, min(DISTANCE_MEMBERS, MOST_ALIGNMENT_WORK // (2 * assignment))))
    weights_MP, trained_P = last.weights_MP[torch.from_numpy(rows)], architecture.trainable
    references = evenly_spaced(len(rows), REFERENCES).tolist()
    references = references[: max(2, MOST_ALIGNMENT_WORK // (len(rows) * assignment))]
    raw, aligned = [], []
    unaligned = "" if architecture.symmetry else "there are no hidden units to permute"
    for number, reference in enumerate(references):
        # Each pair once: a reference is not compared with the references before it.
        others = [row for row in range(len(rows)) if row != reference and row not in references[:number]]
        if not others:
            continue
        reference_P, others_MP = weights_MP[reference], weights_MP[others]
        raw.append(_distances(others_MP[:, trained_P], reference_P[trained_P]))
        if not unaligned:
            moved_MP = align(others_MP, architecture, reference_P).weights_MP
            aligned.append(_distances(moved_MP[:, trained_P], reference_P[trained_P]))
    raw_values = np.concatenate(raw)
    aligned_values = np.concatenate(aligned) if aligned else np.empty(0)
    edges = even_edges(np.concatenate([raw_values, aligned_values]), DISTANCE_BINS)
    return DistanceFacts(
        members=len(rows),
        pairs=len(raw_values),
        raw=distribution(raw_values),
        raw_histogram=histogram(raw_values, edges),
        aligned=distribution(aligned_values) if aligned else None,
        aligned_histogram=histogram(aligned_values, edges) if aligned else None,
        unaligned=unaligned,
    )


def in_words(architecture: Architecture) -> str:
    """The layers of an architecture that have a choice in them, without activations: ``1×8×8 → 16 → 10``."""
    value = architecture.to_json()
    return ARROW.join(["×".join(map(str, value["input_shape"])), *_layers_in_words(value["layers"])])


def _layers_in_words(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    words = []
    for layer in layers:
        kind = layer["kind"]
        if kind == "linear":
            words.append(f"{layer['features']}{'' if layer['bias'] else ' (no bias)'}")
        elif kind == "conv":
            stride = f"/{layer['stride']}" if layer["stride"] != 1 else ""
            words.append(f"conv {layer['channels']} {layer['kernel']}×{layer['kernel']}{stride}")
        elif kind == "residual":
            words.append(f"residual ({ARROW.join(_layers_in_words(layer['body']))})")
        elif kind not in ("flatten", "activate"):
            size = f" {layer['size']}" if "size" in layer else ""
            words.append(f"{kind.replace('_', ' ').replace('-', ' ')}{size}")
    return words


def _distances(others_MP: Tensor, reference_P: Tensor) -> np.ndarray:
    """Relative distances of several weight vectors from one."""
    others_MP, reference_P = others_MP.double(), reference_P.double()
    scale_M = ((others_MP.square().sum(1) + reference_P.square().sum()) / 2).sqrt()
    return ((others_MP - reference_P).norm(dim=1) / scale_M.clamp_min(1e-300)).numpy()
