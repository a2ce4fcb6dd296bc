"""Maps of what a study's encoders make of a zoo's test networks."""

from __future__ import annotations

import numpy as np

from analysis.held_out import RefusalError
from analysis.maps import maps_of, paths_of, some_of
from analysis.probing import Embedded, ProbePlan
from analysis.record import LatentMap, LatentMaps


def latent_maps(plan: ProbePlan) -> LatentMaps | None:
    """Maps of the zoo's own test members by the best trial of each encoder; ``None`` where none can embed them."""
    own = plan.held_out.tested.of
    members = some_of(own.test)
    maps: list[LatentMap] = []
    for trial in _best_of_each(plan):
        name = plan.study.trainable(trial).name
        try:
            embedded_ME = Embedded(plan.artifacts[trial][0], own).of(own, members)
        except RefusalError:
            continue
        maps += maps_of(name, embedded_ME.astype(np.float64))
    if not maps:
        return None
    names = dict.fromkeys([*plan.targets, "epoch"])
    columns = {name: members.target(name) for name in names}
    return LatentMaps(maps=tuple(maps), columns=columns, paths=paths_of(members))


def _best_of_each(plan: ProbePlan) -> list[int]:
    """Of each trainable the trial that comes first: the best."""
    found: dict[str, int] = {}
    for trial in plan.trials:
        found.setdefault(plan.study.trainable(trial).name, trial)
    return list(found.values())
