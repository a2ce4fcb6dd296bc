"""Alignment of hidden units by weight matching.

Ainsworth, Hayase and Srinivasa, "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
section 3.2: coordinate descent over hidden layers, each step a linear assignment problem.

Shape letters: M members, P parameters, H units of a hidden layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from zoo.architecture import Architecture, Axis
from zoo.views.canonical import Permutations, by_unit, inverted, permute, permute_axis, widths

MOST_SWEEPS = 100
Tensors = dict[str, Tensor]
# A smaller relative gain may be rounding.
LEAST_GAIN = 1e-9


@dataclass(frozen=True)
class Alignment:
    """Members with their units in the reference's order, and how they got there.

    Attributes:
        architecture: The members' architecture.
        weights_MP: Aligned members; each computes the function it computed before.
        permutations: What was applied.
    """

    architecture: Architecture
    weights_MP: Tensor
    permutations: Permutations

    def undo(self) -> Tensor:
        """The weights as they were before, bit for bit."""
        return permute(self.weights_MP, self.architecture, inverted(self.permutations))


def align(weights_MP: Tensor, architecture: Architecture, reference_P: Tensor) -> Alignment:
    """Permutes every member's hidden units so that its weights' inner product with the reference is largest.

    Layers are visited in random order until no member gains (a local optimum; with one hidden layer the best
    there is). Buffers move with their units but are not compared.

    Args:
        weights_MP: Members, all finite.
        architecture: Gives the layout and which axes move together.
        reference_P: The member to align to.

    Raises:
        ValueError: Weights are NaN or infinite.
    """
    if not bool(torch.isfinite(weights_MP).all() and torch.isfinite(reference_P).all()):
        raise ValueError("weights are NaN or infinite; align only members that did not diverge")
    reference, moved = architecture.tensors(reference_P[None].double()), architecture.tensors(weights_MP.double())
    compared = {spec.name for spec in architecture.layout if spec.trainable}
    units = widths(architecture)
    permutations = {name: torch.arange(width).repeat(len(weights_MP), 1) for name, width in units.items()}
    generator = np.random.default_rng(0)
    for _ in range(MOST_SWEEPS):
        changed = False
        for name in generator.permutation(list(architecture.symmetry)).tolist():
            axes = [axis for axis in architecture.symmetry[name] if axis.tensor in compared]
            order_MH = _best_order(moved, reference, axes, units[name])
            if bool((order_MH == torch.arange(units[name])).all()):
                continue
            changed = True
            permutations[name] = permutations[name].gather(1, order_MH)
            for axis in axes:
                moved[axis.tensor] = permute_axis(moved[axis.tensor], axis, order_MH)
        if not changed:
            break
    return Alignment(architecture, permute(weights_MP, architecture, permutations), permutations)


def _best_order(moved: Tensors, reference: Tensors, axes: Sequence[Axis], width: int) -> Tensor:
    """For one hidden layer, the order of units ``[M, H]`` that gains most; the present one where none gains."""
    members = len(next(iter(moved.values())))
    similarity_MHH = torch.zeros(members, width, width, dtype=torch.float64)
    for axis in axes:
        reference_HD = by_unit(reference[axis.tensor], axis)[0]
        similarity_MHH += reference_HD @ by_unit(moved[axis.tensor], axis).transpose(1, 2)
    order_MH = np.tile(np.arange(width), (members, 1))
    for member, similarity_HH in enumerate(similarity_MHH.numpy()):
        rows, columns = linear_sum_assignment(similarity_HH, maximize=True)
        gain = similarity_HH[rows, columns].sum() - np.trace(similarity_HH)
        if gain > LEAST_GAIN * np.abs(similarity_HH).max():
            order_MH[member] = columns
    found_MH = torch.from_numpy(order_MH)
    if len({axis.tensor for axis in axes}) == len(axes):
        return found_MH
    # A weight from these units to themselves moves along both axes; what was summed is its gain to first order only.
    after = dict(moved)
    for axis in axes:
        after[axis.tensor] = permute_axis(after[axis.tensor], axis, found_MH)
    better_M = _gains(dict.fromkeys(axis.tensor for axis in axes), after, moved, reference)
    return torch.where(better_M.unsqueeze(1), found_MH, torch.arange(width))


def _gains(names: Iterable[str], after: Tensors, before: Tensors, reference: Tensors) -> Tensor:
    """Which members' inner product with the reference is larger after than before, bool ``[M]``."""
    gain_M, size_M = torch.zeros(2, len(next(iter(before.values()))), dtype=torch.float64)
    for name in names:
        before_MD = (before[name] * reference[name]).flatten(1)
        gain_M += (after[name] * reference[name]).flatten(1).sum(dim=1) - before_MD.sum(dim=1)
        size_M += before_MD.abs().sum(dim=1)
    return gain_M > LEAST_GAIN * size_M
