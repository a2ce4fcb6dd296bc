"""Groups of the layouts of a zoo: networks of one kind and depth, or of alike size."""

from __future__ import annotations

import numpy as np

from analysis.reading.members import layout_of_members
from zoo.architecture import Architecture
from zoo.storage.zoo import Zoo
from zoo.words import counted

# Groups with fewer networks are too few to fit a readout to, or to measure one on.
FEWEST_TRAINING, FEWEST_TEST = 20, 5


def layout_groups(zoo: Zoo, members: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Groups of a zoo's layouts by kind and number of layers; by size where these are all alike.

    Args:
        zoo: The zoo.
        members: Numbers of its test members that are measured.

    Returns:
        For each group's name the numbers of its layouts; empty where fewer than two groups have enough members.
    """
    layouts = zoo.layouts
    if len(layouts) < 2:
        return {}
    first = [next(each for each in zoo.architectures if each.layout == layout) for layout in layouts]
    kinds = [kind_of(architecture) for architecture in first]
    if len(set(kinds)) == 1:
        sizes = np.array([architecture.parameters for architecture in first])
        middle = int(np.sort(sizes)[(len(sizes) - 1) // 2])
        kinds = [f"up to {middle:,} parameters" if size <= middle else f"over {middle:,} parameters" for size in sizes]
    counts = {
        split: _counts(zoo, split, chosen)
        for split, chosen in (("train", None), ("validation", None), ("test", members))
    }
    found = {}
    for kind in dict.fromkeys(kinds):
        which = [number for number, each in enumerate(kinds) if each == kind]
        of_split = {split: int(count[which].sum()) for split, count in counts.items()}
        if of_split["train"] >= FEWEST_TRAINING and of_split["validation"] and of_split["test"] >= FEWEST_TEST:
            found[kind] = tuple(which)
    return dict(sorted(found.items())) if len(found) > 1 else {}


def kind_of(architecture: Architecture) -> str:
    """What a network is called by its weight tensors: "3 dense layers", "3 convolutions and 1 dense layer"."""
    weights = [len(spec.shape) for spec in architecture.layout if len(spec.shape) > 1]
    convolutions = sum(axes > 2 for axes in weights)
    dense = counted(len(weights) - convolutions, "dense layer")
    return f"{counted(convolutions, 'convolution')} and {dense}" if convolutions else dense


def _counts(zoo: Zoo, split: str, members: tuple[int, ...] | None) -> np.ndarray:
    """How many members each layout has among the last snapshots of a split."""
    ids = zoo.snapshots["member"].to_numpy()[zoo.rows(split, members=members, epochs="last")]
    return np.bincount(layout_of_members(zoo)[ids], minlength=len(zoo.layouts))
