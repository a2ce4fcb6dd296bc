"""Permutation symmetry: which axes of which tensors move together.

The entries of a hidden value (the channels of an image, the components of a vector) are permuted by permuting the
outputs of the layers that make it and the inputs of the layers that read it. Flattening an image makes each channel
a block of entries; adding two values ties their entries together; inputs and logits have names and do not move.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Axis(NamedTuple):
    """An axis that moves with the units of a hidden layer.

    Attributes:
        tensor: The tensor's name in the layout.
        axis: The axis, not counting the members'.
        block: Unit u owns the entries ``u * block`` to ``(u + 1) * block`` of the axis.
    """

    tensor: str
    axis: int
    block: int = 1


Groups = dict[str, tuple[Axis, ...]]


@dataclass(eq=False)
class Units:
    """Units that can be permuted, and what moves with them; once tied to others, only a pointer to those.

    Attributes:
        name: The layer that first makes them.
        axes: What moves with them.
        fixed: Whether they have names, so that they do not move.
        into: The units that these are tied to.
        factor: How many of these make one of ``into``.
    """

    name: str
    axes: list[Axis] = field(default_factory=list)
    fixed: bool = False
    into: Units | None = None
    factor: int = 1

    def root(self) -> tuple[Units, int]:
        """(the units these are tied to in the end, how many of these make one of those)."""
        if self.into is None:
            return self, 1
        units, factor = self.into.root()
        return units, factor * self.factor


class Entries(NamedTuple):
    """The entries of a value along its first axis: each unit is ``block`` of them."""

    units: Units
    block: int = 1


class Symmetry:
    """Collects groups while a network is walked from its inputs to its logits."""

    def __init__(self) -> None:
        self._units: list[Units] = []

    def inputs(self) -> Entries:
        """Entries that have names."""
        return Entries(Units("inputs", fixed=True))

    def outputs(self, name: str) -> Entries:
        """New entries, made by the layer ``name``."""
        self._units.append(Units(name))
        return Entries(self._units[-1])

    def add(self, entries: Entries, tensor: str, axis: int) -> None:
        """An axis of a tensor is indexed by these entries."""
        units, factor = entries.units.root()
        units.axes.append(Axis(tensor, axis, entries.block * factor))

    def tie(self, one: Entries, other: Entries) -> Entries:
        """Two values are added: their entries move together."""
        (first, factor), (second, second_factor) = one.units.root(), other.units.root()
        block, second_block = one.block * factor, other.block * second_factor
        if first is second and block == second_block:
            return one
        if first is second or (block % second_block and second_block % block):
            # What moves in blocks of both sizes is rarely more than nothing.
            first.fixed = second.fixed = True
            return one
        if second_block > block:
            first, second, block, second_block = second, first, second_block, block
        ratio = block // second_block
        first.axes += [axis._replace(block=axis.block * ratio) for axis in second.axes]
        first.fixed |= second.fixed
        second.into, second.factor, second.axes = first, ratio, []
        return Entries(first, block)

    def fix(self, entries: Entries) -> None:
        """These entries have names: they do not move."""
        entries.units.root()[0].fixed = True

    def groups(self) -> Groups:
        """For each set of units that can be permuted, the axes that move with them, in the order of the layers."""
        groups: Groups = {}
        for units in self._units:
            root, _ = units.root()
            if not root.fixed and root.axes:
                groups.setdefault(units.name, tuple(root.axes))
                root.axes = []
        return groups
