"""Embeddings in two dimensions: where networks lie, and the way that training takes them.

Shape letters: M snapshots of members, E width of an embedding.
"""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np

from analysis.held_out import RefusalError
from analysis.members import Members
from analysis.probing import Embedded, ProbePlan
from analysis.record import LatentMap, LatentMaps
from trainables.readouts.columns import is_numeric
from trainables.readouts.ridge import RidgeBasis

# Snapshots that are drawn, and members whose way is.
MOST_SNAPSHOTS, MOST_PATHS = 1500, 12


def latent_maps(plan: ProbePlan) -> LatentMaps | None:
    """Maps of the zoo's own test members by the best trial of each encoder; ``None`` where none can embed them."""
    members = _some(plan.held_out.tested.of.test)
    maps: list[LatentMap] = []
    for trial in _best_of_each(plan):
        name = plan.study.trainable(trial).name
        try:
            embedded_ME = Embedded(plan.artifacts[trial][0]).of(members)
        except RefusalError:
            continue
        maps += _maps(name, embedded_ME.astype(np.float64))
    if not maps:
        return None
    names = dict.fromkeys([*plan.targets, "epoch"])
    columns = {name: members.target(name) for name in names}
    return LatentMaps(maps=tuple(maps), columns=columns, paths=_paths(members))


def principal_components(embedded_ME: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two components of standardized features ``[M, 2]``, and their shares of the variance ``[2]``."""
    basis = RidgeBasis(embedded_ME)
    largest = np.argsort(-basis.squares)[:2]
    scores_M2 = (
        basis.centered_MF @ basis.vectors[:, largest]
        if basis.tall
        else basis.vectors[:, largest] * np.sqrt(basis.squares[largest])
    )
    if scores_M2.shape[1] < 2:  # one feature alone
        scores_M2 = np.hstack([scores_M2, np.zeros((len(scores_M2), 1))])
    shares_2 = np.zeros(2)
    shares_2[: len(largest)] = basis.squares[largest] / max(float(basis.squares.sum()), 1e-300)
    return scores_M2, shares_2


def _maps(name: str, embedded_ME: np.ndarray) -> list[LatentMap]:
    places_M2, shares_2 = principal_components(embedded_ME)
    axes = tuple(f"principal component {number} ({share:.0%})" for number, share in enumerate(shares_2, 1))
    found = [LatentMap(name=name, places_M2=places_M2, axes=(axes[0], axes[1]))]
    if importlib.util.find_spec("umap") is not None:
        standardized_ME = RidgeBasis(embedded_ME).centered_MF
        places_M2 = importlib.import_module("umap").UMAP(random_state=0, n_jobs=1).fit_transform(standardized_ME)
        found.append(LatentMap(name=f"{name}, UMAP", places_M2=np.asarray(places_M2), axes=("UMAP 1", "UMAP 2")))
    return found


def _best_of_each(plan: ProbePlan) -> list[int]:
    """Of each trainable the trial that comes first: the best."""
    found: dict[str, int] = {}
    for trial in plan.trials:
        found.setdefault(plan.study.trainable(trial).name, trial)
    return list(found.values())


def _some(members: Members) -> Members:
    """All snapshots of so many members that they are not too many."""
    ids, counts = np.unique(members.column("id"), return_counts=True)
    most = max(1, int(np.searchsorted(np.cumsum(counts), MOST_SNAPSHOTS, side="right")))
    return members.chosen(np.isin(members.column("id"), ids[:most]))


def _paths(members: Members) -> tuple[np.ndarray, ...]:
    """Of some members, evenly apart by their last test accuracy where that is known, their snapshots by epoch."""
    ids, epochs = members.column("id"), members.column("epoch")
    of_member = [np.flatnonzero(ids == each)[np.argsort(epochs[ids == each])] for each in np.unique(ids)]
    paths = [rows for rows in of_member if len(rows) > 1]
    if not paths:
        return ()
    accuracy_M = members.target("test_accuracy") if _has_accuracy(members) else ids
    paths.sort(key=lambda rows: float(accuracy_M[rows[-1]]))
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(MOST_PATHS, len(paths))).round().astype(int))
    return tuple(paths[place] for place in chosen)


def _has_accuracy(members: Members) -> bool:
    try:
        return is_numeric(members.target("test_accuracy"))
    except ValueError:
        return False
