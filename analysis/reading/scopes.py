"""What readouts are fitted to, and whose test networks they are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.reading.held_out import Choice, HeldOut
from analysis.reading.layout_groups import layout_groups
from analysis.reading.members import Wanted, ZooMembers
from analysis.statistics.intervals import Bootstrap
from trainables.encoders.encoder import MEASURED, differing
from trainables.readouts.columns import is_numeric, known
from zoo.storage.errors import ZooError

LAST = "last snapshots"
SNAPSHOTS: dict[str, Wanted] = {LAST: "last", "all snapshots": None}
EVERY = "all snapshots with untrained networks"
LATER = "later epochs"
# What zoos of several data sets are called that readouts are fitted to together, and the column that these tell.
TOGETHER, DATASET = "all zoos together", "dataset"
# What a reader can do where nothing is told of test networks.
MORE = "Measure more test members, or generate a larger zoo."
# Fewer epochs of training are not divided into earlier and later ones.
FEWEST_EPOCHS = 3
# What is told across layouts of one zoo: what was measured and nobody chose.
ACROSS = tuple(name for name in MEASURED if name != "epoch")


def scopes_of(own: ZooMembers, others: Sequence[ZooMembers], bootstrap: Bootstrap) -> tuple[HeldOut, ...]:
    """All scopes of an analysis.

    The zoo's own networks, last snapshots and, where there are more, all, and with untrained ones where these are read;
    snapshots of later epochs by readouts of earlier ones; other zoos' networks, and where these are of other data sets,
    all zoos' together; and in a zoo of several layouts, one group of layouts by readouts of each, and by those of all
    others.

    Args:
        own: The networks that encoders and readouts are fitted to.
        others: Those of other zoos.
        bootstrap: How intervals are drawn.
    """
    found = []
    kept = SNAPSHOTS if len(own.zoo.recipe.snapshot_epochs) > 1 else {LAST: SNAPSHOTS[LAST]}
    for snapshots, epochs in kept.items():
        fitted = _named(own, epochs)
        tested = [fitted, *(_named(other, epochs) for other in others)]
        found += [HeldOut(fitted=fitted, tested=each, snapshots=snapshots, bootstrap=bootstrap) for each in tested]
    if own.epochs is not None:
        every = _named(own, own.epochs)
        found.append(HeldOut(fitted=every, tested=every, snapshots=EVERY, bootstrap=bootstrap))
    if joined := _joined(own, others):
        found.append(HeldOut(fitted=joined, tested=joined, snapshots=LAST, bootstrap=bootstrap))
    trained = tuple(epoch for epoch in own.zoo.recipe.snapshot_epochs if epoch > 0)
    if len(trained) >= FEWEST_EPOCHS:
        half = len(trained) // 2
        earlier, later = _named(own, trained[:half]), _named(own, trained[half:])
        found.append(HeldOut(fitted=earlier, tested=later, snapshots=LATER, bootstrap=bootstrap))
    groups = {name: replace(_named(own, "last"), name=name, layouts=which) for name, which in _groups(own).items()}
    sources = dict(groups)
    if len(groups) > 2:
        sources |= {f"all but {name}": _all_but(groups, name) for name in groups}
    found += [
        HeldOut(fitted=source, tested=target, snapshots=LAST, bootstrap=bootstrap)
        for name, source in sources.items()
        for target_name, target in groups.items()
        if not name.startswith("all but ") or name == f"all but {target_name}"
    ]
    return tuple(found)


def with_untrained(own: ZooMembers) -> ZooMembers:
    """The same networks, untrained ones among their snapshots.

    Raises:
        ZooError: The zoo has none.
    """
    epochs = own.zoo.recipe.snapshot_epochs
    if 0 not in epochs:
        raise ZooError(
            f"zoo {own.zoo.name} has no untrained networks, its first snapshots are of epoch {min(epochs)}; leave "
            "--untrained out, or generate a zoo whose snapshot_epochs begin at 0"
        )
    return replace(own, epochs=epochs)


def crosswise_scopes(own: ZooMembers, others: Sequence[ZooMembers], bootstrap: Bootstrap) -> tuple[HeldOut, ...]:
    """The scopes of a zoo that is one of several sources: last snapshots of its own networks and of the others'."""
    fitted = _named(own, "last")
    tested = [fitted, *(_named(other, "last") for other in others)]
    return tuple(HeldOut(fitted=fitted, tested=each, snapshots=LAST, bootstrap=bootstrap) for each in tested)


def told_of(held_out: HeldOut) -> dict[str, str]:
    """The columns in which training networks differ, each with why it is not told of the test ones; reads no weights.

    Empty where it is told.
    """
    fitted = held_out.fitted
    if fitted.joined:
        return {DATASET: ""}
    names = differing(fitted.column_known)
    if fitted.layouts is not None:
        names = tuple(name for name in names if name in ACROSS)
    return {name: obstacle(name, held_out) for name in names}


def obstacle(name: str, held_out: HeldOut) -> str:
    """Why a column is not told of test networks, as a sentence; empty where it is. Reads no weights."""
    fitted, tested = held_out.fitted, held_out.tested
    try:
        true_M = tested.column_known(name, "test")
    except KeyError:
        return f"{name} of {tested.name}: it is not known there."
    true_M = true_M[known(true_M)]
    if not len(true_M):
        return f"{name} of {tested.name}: it is not known there."
    if is_numeric(true_M) != is_numeric(fitted.column_known(name)):
        return f"{name} of {tested.name}: it is a number in one zoo and a name in the other."
    if is_numeric(true_M) and np.ptp(true_M) == 0:
        return f"{name} of {tested.name}: it is {true_M[0]:g} for all test networks there."
    return ""


def _named(of: ZooMembers, epochs: Wanted) -> Choice:
    return Choice(of=of, name=of.zoo.name, epochs=epochs)


def _joined(own: ZooMembers, others: Sequence[ZooMembers]) -> Choice | None:
    """The last networks of all zoos that can be told apart by their data sets; ``None`` where there is one data set.

    All are seen as the zoo's own, and encoders take them as they were fitted: an encoder that was given the inputs of
    each network's data set would tell these inputs, not the network.
    """
    joined = [replace(each, seen_as=own, epochs="last") for each in others if _has_parts(each)]
    if not _has_parts(own) or len({each.zoo.recipe.dataset for each in (own, *joined)}) < 2:
        return None
    return Choice(of=own, joined=tuple(joined), name=TOGETHER, epochs="last")


def _has_parts(networks: ZooMembers) -> bool:
    """Whether a zoo says what its data set is, and has training and validation networks."""
    try:
        return bool(networks.zoo.recipe.dataset) and all(
            len(networks.rows(split, "last")) for split in ("train", "validation")
        )
    except ZooError:
        return False


def _groups(own: ZooMembers) -> dict[str, tuple[int, ...]]:
    return layout_groups(own.zoo, own.members)


def _all_but(groups: dict[str, Choice], name: str) -> Choice:
    layouts = [number for other, group in groups.items() if other != name for number in group.layouts or ()]
    return replace(groups[name], name=f"all but {name}", layouts=tuple(sorted(layouts)))
