"""Embeddings in two dimensions: where networks lie, and the way that training takes them.

Shape letters: M snapshots of members, E width of an embedding.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analysis.reading.held_out import RefusalError
from analysis.reading.members import Members
from analysis.record import LatentMap, LatentMaps
from analysis.statistics.groups import evenly_spaced
from trainables.readouts.columns import is_numeric
from trainables.readouts.ridge import RidgeBasis

# Snapshots that are drawn, and members whose way is.
MOST_SNAPSHOTS, MOST_PATHS = 1500, 12


def latent_maps(
    encoders: Mapping[str, Callable[[Members], np.ndarray]], members: Members, targets: Sequence[str]
) -> LatentMaps | None:
    """Maps of what encoders make of some members.

    Args:
        encoders: By name, what embeds members as ``[M, E]``, or raises :class:`RefusalError`: then it has no map.
        members: The members; snapshots with very large weights, beside which all others are one point, are left out.
        targets: Columns of theirs by which maps can be colored.

    Returns:
        The maps, or ``None`` where no encoder can embed the members.
    """
    ordinary, maps = members.without_large(), list[LatentMap]()
    large, members = len(members) - len(ordinary), some_of(ordinary)
    for name, embed in encoders.items():
        try:
            embedded_ME = embed(members)
        except RefusalError:
            continue
        maps += maps_of(name, embedded_ME.astype(np.float64))
    if not maps:
        return None
    columns = {name: members.target(name) for name in dict.fromkeys([*targets, "epoch"])}
    return LatentMaps(maps=tuple(maps), columns=columns, paths=paths_of(members), large=large)


def principal_components(embedded_ME: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two components of standardized features ``[M, 2]``, and their shares of the variance ``[2]``."""
    basis = RidgeBasis(embedded_ME)
    scores_MR = basis.centered_MF @ basis.components(2)
    # There is one where all features follow from one.
    scores_M2 = np.pad(scores_MR, ((0, 0), (0, 2 - scores_MR.shape[1])))
    largest = np.sort(basis.squares)[:-3:-1]
    shares_2 = np.zeros(2)
    shares_2[: len(largest)] = largest / max(float(basis.squares.sum()), 1e-300)
    return scores_M2, shares_2


def maps_of(name: str, embedded_ME: np.ndarray) -> list[LatentMap]:
    """Maps of embeddings by one encoder: by principal components, and with ``umap`` installed by that."""
    places_M2, shares_2 = principal_components(embedded_ME)
    axes = tuple(f"principal component {number} ({share:.0%})" for number, share in enumerate(shares_2, 1))
    found = [LatentMap(name=name, places_M2=places_M2, axes=(axes[0], axes[1]))]
    if importlib.util.find_spec("umap") is not None:
        standardized_ME = RidgeBasis(embedded_ME).centered_MF
        places_M2 = importlib.import_module("umap").UMAP(random_state=0, n_jobs=1).fit_transform(standardized_ME)
        found.append(LatentMap(name=f"{name}, UMAP", places_M2=np.asarray(places_M2), axes=("UMAP 1", "UMAP 2")))
    return found


def some_of(members: Members) -> Members:
    """All snapshots of so many members that they are not too many."""
    ids, counts = np.unique(members.column("id"), return_counts=True)
    most = max(1, int(np.searchsorted(np.cumsum(counts), MOST_SNAPSHOTS, side="right")))
    return members.chosen(np.isin(members.column("id"), ids[:most]))


def paths_of(members: Members) -> tuple[np.ndarray, ...]:
    """Of some members, evenly apart by their last test accuracy where that is known, their snapshots by epoch."""
    ids, epochs = members.column("id"), members.column("epoch")
    of_member = [np.flatnonzero(ids == each)[np.argsort(epochs[ids == each])] for each in np.unique(ids)]
    paths = [rows for rows in of_member if len(rows) > 1]
    if not paths:
        return ()
    accuracy_M = members.target("test_accuracy") if _has_accuracy(members) else ids
    paths.sort(key=lambda rows: float(accuracy_M[rows[-1]]))
    return tuple(paths[place] for place in evenly_spaced(len(paths), MOST_PATHS))


def _has_accuracy(members: Members) -> bool:
    try:
        return is_numeric(members.target("test_accuracy"))
    except ValueError:
        return False
