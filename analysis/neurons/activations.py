"""What hidden units of networks give on examples, and numbers that describe it.

Class selectivity: Morcos et al., "On the importance of single directions for generalization" (ICLR 2018, arXiv
1803.06959, section 2.2). Effective rank: Roy and Vetterli, "The effective rank" (EUSIPCO 2007).

Shape letters: M networks, N examples, U units of a layer, C classes.
"""

from __future__ import annotations

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from zoo.architecture import Architecture
from zoo.metric import Metric

# What activations lie between; a unit within this share of an end counts as saturated there.
BOUNDS = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
NEAR_END = 0.05
# An activation whose size is below this share of its layer's root mean square counts as none.
NEGLIGIBLE = 1e-3

MEAN = Metric(name="mean", label="mean activation", description="Of a unit over the examples.")
VARIANCE = Metric(name="variance", label="variance", description="Of a unit's activation over the examples.")
SPARSITY = Metric(
    name="sparsity",
    label="sparsity",
    unit="share",
    description="Share of examples on which a unit gives nothing: less than a thousandth of its layer's root mean"
    " square.",
)
SATURATION = Metric(
    name="saturation",
    label="saturation",
    unit="share",
    description="Share of examples on which a unit is within 5 % of an end of its activation's range; of tanh and"
    " sigmoid.",
)
SELECTIVITY = Metric(
    name="selectivity",
    label="class selectivity",
    unit="share",
    description="(a - b) / (a + b), where a is a unit's mean activation on the class that excites it most and b that on"
    " the others, both above the unit's least activation. 0: all classes alike, 1: one class alone.",
)
RANK = Metric(
    name="effective_rank",
    label="effective rank",
    description="The exponential of the entropy of a layer's normalized singular values, of activations less their"
    " mean: in how many directions its units vary.",
)
DEAD = Metric(
    name="dead", label="dead units", unit="share", description="Share of units that give nothing on any example."
)
DIED = Metric(
    name="died", label="units that died", unit="share", description="Share of units that are dead, and were not before."
)
REVIVED = Metric(
    name="revived",
    label="units that revived",
    unit="share",
    description="Share of units that are not dead, and were before.",
)
MOVED = Metric(
    name="moved",
    label="units with another's role",
    unit="share",
    description="Share of units that are matched, by the correlation of their activations on the same examples, with"
    " another unit of the snapshot before.",
)
SPLIT = Metric(
    name="split",
    label="units that split",
    unit="share",
    description="Share of units whose role two units or more have taken on: now they correlate most with what it gave"
    " in the snapshot before, at .5 or more, and but for itself they did not then.",
)
KEPT = Metric(
    name="kept",
    label="role kept",
    description="The mean correlation of a unit's activation with its own of the snapshot before.",
)
OF_UNITS = (MEAN, VARIANCE, SPARSITY, SATURATION, SELECTIVITY)
OF_CHANGES = (KEPT, MOVED, SPLIT, DIED, REVIVED)
OF_LAYERS = (RANK, DEAD, *OF_CHANGES)
# What correlates less has no role in common.
ALIKE = 0.5


@torch.no_grad()
def hidden(architecture: Architecture, weights_MP: Tensor, x: Tensor) -> list[Tensor]:
    """What the units of every hidden activation give, ``[M, N, U]`` each; of channels the mean over positions."""
    found: list[Tensor] = []

    def note(_number: int, given: Tensor) -> Tensor:
        found.append(given.flatten(3).mean(3) if given.ndim > 3 else given)
        return given

    architecture.logits(weights_MP, x, after_activation=note)
    return found


def of_units(given_MNU: Tensor, labels_N: Tensor, activation: str) -> dict[str, Tensor]:
    """The metrics of ``OF_UNITS`` for each unit, ``[M, U]``; saturation is NaN of activations without ends."""
    saturation_MU = torch.full(given_MNU.shape[::2], math.nan)
    if activation in BOUNDS:
        low, high = BOUNDS[activation]
        margin = NEAR_END * (high - low)
        saturation_MU = ((given_MNU < low + margin) | (given_MNU > high - margin)).float().mean(1)
    return {
        MEAN.name: given_MNU.mean(1),
        VARIANCE.name: given_MNU.var(1, correction=0),
        SPARSITY.name: silent(given_MNU).float().mean(1),
        SATURATION.name: saturation_MU,
        SELECTIVITY.name: selectivity(given_MNU, labels_N),
    }


def silent(given_MNU: Tensor) -> Tensor:
    """Where units give nothing, bool ``[M, N, U]``."""
    return given_MNU.abs() <= NEGLIGIBLE * given_MNU.square().mean((1, 2), keepdim=True).sqrt()


def selectivity(given_MNU: Tensor, labels_N: Tensor) -> Tensor:
    """Class selectivity of each unit, ``[M, U]``; 0 for units that give the same to all classes."""
    above_MNU = given_MNU - given_MNU.min(1, keepdim=True).values
    classes = labels_N.unique()
    means_MCU = torch.stack([above_MNU[:, labels_N == label].mean(1) for label in classes], dim=1)
    best_MU = means_MCU.max(1).values
    others_MU = (means_MCU.sum(1) - best_MU) / max(len(classes) - 1, 1)
    return (best_MU - others_MU) / (best_MU + others_MU).clamp_min(1e-12)


def effective_rank(given_MNU: Tensor) -> Tensor:
    """In how many directions the units of a layer vary, ``[M]``; 0 where none does."""
    values_MU = torch.linalg.svdvals((given_MNU - given_MNU.mean(1, keepdim=True)).double())
    total_M1 = values_MU.sum(1, keepdim=True)
    shares_MU = values_MU / total_M1.clamp_min(1e-300)
    entropy_M = -(shares_MU * shares_MU.clamp_min(1e-300).log()).sum(1)
    return torch.where(total_M1[:, 0] > 1e-9, entropy_M.exp(), 0.0)


def changes(before_MNU: Tensor, after_MNU: Tensor) -> dict[str, Tensor]:
    """The metrics of ``OF_CHANGES``, from what units gave in one snapshot and give in the next on the same examples.

    Args:
        before_MNU: In networks of one snapshot.
        after_MNU: In the same networks later.

    Returns:
        ``[M]`` each.
    """
    one_MNU, other_MNU = (_standardized(given) for given in (before_MNU, after_MNU))
    examples = one_MNU.shape[1]
    similar_MUU = other_MNU.mT @ one_MNU / examples
    moved = []
    for similar_UU in similar_MUU:
        rows, columns = linear_sum_assignment(similar_UU.numpy(), maximize=True)
        moved.append(float((rows != columns).mean()))
    likeness_MU, origin_MU = similar_MUU.max(2)
    before_MUU = one_MNU.mT @ one_MNU / examples
    was_alike_MU = before_MUU.gather(2, origin_MU.unsqueeze(2)).squeeze(2) >= ALIKE
    itself_MU = origin_MU == torch.arange(origin_MU.shape[1])
    heir_MU = (likeness_MU >= ALIKE) & (itself_MU | ~was_alike_MU)
    heirs_MU = torch.zeros(origin_MU.shape, dtype=torch.int64).scatter_add_(1, origin_MU, heir_MU.long())
    dead_before_MU, dead_MU = (silent(given).all(1) for given in (before_MNU, after_MNU))
    return {
        KEPT.name: similar_MUU.diagonal(dim1=1, dim2=2).mean(1),
        MOVED.name: torch.tensor(moved),
        SPLIT.name: (heirs_MU >= 2).double().mean(1),
        DIED.name: (dead_MU & ~dead_before_MU).double().mean(1),
        REVIVED.name: (dead_before_MU & ~dead_MU).double().mean(1),
    }


def _standardized(given_MNU: Tensor) -> Tensor:
    centered = given_MNU.double() - given_MNU.double().mean(1, keepdim=True)
    return centered / centered.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
