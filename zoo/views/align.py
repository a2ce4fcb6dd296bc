"""Alignment of hidden units by weight matching.

Ainsworth, Hayase and Srinivasa, "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
section 3.2: coordinate descent over hidden layers, each step a linear assignment problem.

Shape letters: M members, P parameters, H units of a hidden layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from zoo.architecture import Architecture
from zoo.views.canonical import Permutations, inverted, permute, permute_axis

MOST_SWEEPS = 100


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


def align(weights_MP: Tensor, architecture: Architecture, reference_P: Tensor, *, seed: int = 0) -> Alignment:
    """Permutes every member's hidden units so that its weights' inner product with the reference is largest.

    Layers are visited in random order until no member gains (a local optimum; with one hidden layer the best
    there is).

    Args:
        weights_MP: Members, all finite.
        architecture: Gives the layout and which axes move together.
        reference_P: The member to align to.
        seed: Of the order of layers.

    Raises:
        ValueError: Weights are NaN or infinite.
    """
    if not bool(torch.isfinite(weights_MP).all() and torch.isfinite(reference_P).all()):
        raise ValueError("weights are NaN or infinite; align only members that did not diverge")
    reference = architecture.tensors(reference_P[None].double())
    moved = architecture.tensors(weights_MP.double())
    widths = {name: moved[axes[0][0]].shape[axes[0][1] + 1] for name, axes in architecture.symmetry.items()}
    permutations = {name: torch.arange(width).repeat(len(weights_MP), 1) for name, width in widths.items()}
    generator = np.random.default_rng(seed)
    for _ in range(MOST_SWEEPS):
        changed = False
        for name in generator.permutation(list(architecture.symmetry)).tolist():
            order_MH = _best_order(moved, reference, architecture.symmetry[name], widths[name])
            if bool((order_MH == torch.arange(widths[name])).all()):
                continue
            changed = True
            permutations[name] = permutations[name].gather(1, order_MH)
            for tensor, axis in architecture.symmetry[name]:
                moved[tensor] = permute_axis(moved[tensor], axis, order_MH)
        if not changed:
            break
    return Alignment(architecture, permute(weights_MP, architecture, permutations), permutations)


def _best_order(
    moved: dict[str, Tensor], reference: dict[str, Tensor], axes: tuple[tuple[str, int], ...], width: int
) -> Tensor:
    """For one hidden layer, the order of units ``[M, H]`` that gains most; the present one where none gains."""
    members = len(next(iter(moved.values())))
    similarity_MHH = torch.zeros(members, width, width, dtype=torch.float64)
    for tensor, axis in axes:
        reference_HD = reference[tensor][0].movedim(axis, 0).reshape(width, -1)
        moved_MHD = moved[tensor].movedim(axis + 1, 1).reshape(members, width, -1)
        similarity_MHH += reference_HD @ moved_MHD.transpose(1, 2)
    order_MH = np.tile(np.arange(width), (members, 1))
    for member, similarity_HH in enumerate(similarity_MHH.numpy()):
        rows, columns = linear_sum_assignment(similarity_HH, maximize=True)
        gain = similarity_HH[rows, columns].sum() - np.trace(similarity_HH)
        if gain > 1e-9 * np.abs(similarity_HH).max():
            order_MH[member] = columns
    return torch.from_numpy(order_MH)
