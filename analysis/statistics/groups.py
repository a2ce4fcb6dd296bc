"""Which members are measured, and which of them tell something of others: members of one minibatch order are alike.

Shape letters: M members.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np

from analysis.statistics.intervals import FEW_GROUPS
from zoo.architecture import Architecture
from zoo.data.class_tasks import parse_task
from zoo.population import Population
from zoo.storage.rows import hash_number
from zoo.storage.zoo import Zoo

# What members of a group have in common.
ORDER, TASK = "minibatch order", "task"


def orders_differ(zoo: Zoo) -> bool:
    """Whether a zoo's members have several minibatch orders, as far as that is known.

    A recipe can give all of them one order, and of imported members it is often not known. Then there are no groups.
    """
    return len(set(zoo.snapshots["order_seed"].to_pylist())) > 1


def orders_known(zoo: Zoo) -> bool:
    """Whether anything is known of the minibatch orders in which members were trained."""
    return set(zoo.snapshots["order_seed"].to_pylist()) != {None}


def group_numbers(order_seeds: Sequence[int], grouped: bool) -> np.ndarray:
    """For each member the number of its group ``[M]``: members of one order are one, unless ``grouped`` is false."""
    if not grouped or not len(order_seeds):
        return np.arange(len(order_seeds))
    numbers: np.ndarray = np.unique(np.asarray(order_seeds), return_inverse=True)[1]
    return numbers


def task_groups(tasks: Sequence[str]) -> np.ndarray:
    """For each task the number of its group ``[M]``: tasks of the same classes are one, whatever their order."""
    classes = ["-".join(map(str, sorted(parse_task(task)))) for task in tasks]
    numbers: np.ndarray = np.unique(classes, return_inverse=True)[1]
    return numbers


def groups_with_twins(group_M: np.ndarray, zoo_M: np.ndarray, trained_M: np.ndarray) -> np.ndarray:
    """Groups of several zoos' networks, made one where they hold twins: ``[M]``.

    Zoos of one recipe on several data sets have networks of the same hyper-parameters and seeds, which are good and bad
    together. What several networks of one zoo were trained by, as where seeds are not known, makes no twins.

    Args:
        group_M: Numbers of groups; of two zoos no networks share one.
        zoo_M: Numbers of zoos.
        trained_M: How each network was trained, equal for twins.
    """
    # Codecs and predictors need not wait for these imports.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    way_M, ways = np.unique(trained_M, return_inverse=True)[1], len(set(trained_M.tolist()))
    networks = np.bincount(zoo_M * ways + way_M, minlength=(int(zoo_M.max()) + 1) * ways).reshape(-1, ways)
    single_M = (networks.max(0) == 1)[way_M]
    nodes = int(group_M.max()) + 1 + ways
    edges = (group_M[single_M], nodes - ways + way_M[single_M])
    joined = connected_components(coo_array((np.ones(len(edges[0])), edges), shape=(nodes, nodes)), directed=False)[1]
    numbers: np.ndarray = np.unique(joined[group_M], return_inverse=True)[1]
    return numbers


def independent_groups(population: Population, grouped: bool) -> np.ndarray:
    """:func:`group_numbers` of a population's members; of networks of unknown training each is its own group."""
    return group_numbers([member.order_seed for member in population.members] or range(len(population)), grouped)


def chosen_members(
    zoo: Zoo, most: int | None, architecture: Architecture | None = None, split: str | None = "test"
) -> tuple[int, ...]:
    """Members to measure: by turns one of each group, in an order fixed by a hash, so of as many as there are.

    Fewer members are always among more.

    Args:
        zoo: The zoo.
        most: At most so many; all where ``None``.
        architecture: Only members of its parameter layout.
        split: Only members of it; of all splits where ``None``.

    Returns:
        Their numbers, increasing.

    Raises:
        ZooError: There are none.
    """
    table = zoo.snapshots.take(zoo.rows(split, epochs="one", architecture=architecture))
    ids = table["member"].to_pylist()
    if most is None or len(ids) <= most:
        return tuple(ids)
    groups = dict(
        zip(ids, group_numbers(table["order_seed"].fill_null(0).to_pylist(), orders_differ(zoo)), strict=True)
    )
    turns: collections.Counter[int] = collections.Counter()
    places = {}
    for member in sorted(ids, key=lambda member: hash_number("analyzed member", member)):
        group = int(groups[member])
        places[member] = (turns[group], hash_number("analyzed group", group))
        turns[group] += 1
    return tuple(sorted(sorted(ids, key=places.__getitem__)[:most]))


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers from 0 to below ``count``, the first and the last among them, increasing."""
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()
    return chosen


def words(members: int, groups: int, fits: int, grouped: bool, known: bool = True, shared: str = ORDER) -> str:
    """What a reader must know of the intervals of an analysis: one or two sentences.

    Args:
        members: Members measured.
        groups: Groups that they are of; 0 where nothing was measured of them.
        fits: Largest number of fits that differ in their seed; 0 where nothing was fitted.
        grouped: Whether members are grouped.
        known: Whether their minibatch orders are.
        shared: What members of a group have in common: ``ORDER`` or ``TASK``.
    """
    if not groups:
        return "There are no intervals: nothing was told of these networks."
    if not grouped:
        why = (
            "all networks of this zoo were trained in one minibatch order, and nothing is said of other orders."
            if known
            else "which of them were trained in the same minibatch order is not known."
        )
        said = f"95 % intervals take the {members:,} networks measured as independent: {why}"
    elif groups == 1:
        return (
            f"There are no intervals: the {members:,} networks measured share one {shared}, and tell nothing of"
            f" networks {'trained in' if shared == ORDER else 'of'} another. Measure more of them, or generate a larger"
            " zoo."
        )
    else:
        said = (
            f"95 % intervals are by groups of members that share a {shared}: {members:,} networks measured, of"
            f" {groups:,} groups."
        )
        if groups < FEW_GROUPS:
            said += " So few groups tell little of others, for which intervals are wide (Student's t)."
    seeds = f"of {fits} fits with other seeds" if fits > 1 else "of no other seeds: each was fitted once"
    return f"{said} They cover the choice of networks and examples{f', and {seeds}' if fits else ''}."
