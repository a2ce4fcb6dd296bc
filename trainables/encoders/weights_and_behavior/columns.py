"""Named features of networks, and how many values become a few of them.

Shape letters: M members, K values to be summarized, D entries of a vector, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.views.weight_layers import WeightLayer, weight_layers

Columns = dict[str, Tensor]
"""Features by their names, ``[M]`` each. Names say depth and kind, so that networks of several layouts share them."""

TINY = 1e-12
# Share of the mean squared singular value below which one counts as zero, so that rounding does not show.
LEAST_SHARE = 1e-4
MEMBERS_AT_ONCE = 256


def by_depth(architecture: Architecture) -> dict[str, WeightLayer]:
    """The weight layers by depth: "0", "1" … "last", so that first and last layers of all networks have one name."""
    layers = weight_layers(architecture)
    return dict(zip([*(str(depth) for depth in range(len(layers) - 1)), "last"], layers, strict=True))


def follows(architecture: Architecture, before: WeightLayer, after: WeightLayer) -> bool:
    """Whether a layer reads the units that another one makes, so that the product of the two means something."""
    axes = ({(axis.tensor, axis.axis) for axis in moving} for moving in architecture.symmetry.values())
    alike = any({(before.weight.name, 0), (after.weight.name, 1)} <= moving for moving in axes)
    return alike and before.outputs == after.units


def in_parts(weights_MP: Tensor, of: Callable[[Tensor], Columns]) -> Columns:
    """The columns that a function gives for some networks at a time, one after the other."""
    parts = [of(part_MP) for part_MP in weights_MP.split(MEMBERS_AT_ONCE)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def quantiles(values_MK: Tensor, shares: Sequence[float]) -> Tensor:
    """Quantiles with linear interpolation: ``[M, shares]``."""
    sorted_MK = values_MK.sort(dim=1).values
    place = torch.tensor(shares, dtype=torch.float64) * (values_MK.shape[1] - 1)
    low = place.floor().long()
    part = (place - low).to(values_MK)
    high = (low + 1).clamp_max(values_MK.shape[1] - 1)
    return torch.lerp(sorted_MK[:, low], sorted_MK[:, high], part)


def summary(name: str, values_MK: Tensor, shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)) -> Columns:
    """Mean, deviation and quantiles of values whose order means nothing."""
    found = {f"{name} mean": values_MK.mean(1), f"{name} deviation": values_MK.std(1, correction=0)}
    return found | {
        f"{name} {100 * share:g} %": values_M
        for share, values_M in zip(shares, quantiles(values_MK, shares).unbind(1), strict=True)
    }


def spectrum(name: str, matrix_MHD: Tensor, points: int = 8) -> Columns:
    """The singular values of matrices of any shape: relative to their root mean square, largest first, and their rank.

    Args:
        name: What the features are called.
        matrix_MHD: The matrices.
        points: At so many places of the sorted spectrum it is read, so that matrices of other shapes are comparable.
    """
    gram = matrix_MHD @ matrix_MHD.mT if matrix_MHD.shape[1] <= matrix_MHD.shape[2] else matrix_MHD.mT @ matrix_MHD
    square_MK = torch.linalg.eigvalsh(gram.double()).clamp_min(0)
    share_MK = square_MK / square_MK.sum(1, keepdim=True).clamp_min(TINY)
    shares = [1 - point / (points - 1) for point in range(points)]
    read = quantiles(share_MK * square_MK.shape[1] + LEAST_SHARE, shares).log()
    entropy_M = -(share_MK * (share_MK + TINY).log()).sum(1)
    found = {f"{name} singular {number}": read[:, number] for number in range(points)}
    return found | {
        f"{name} rank": entropy_M.exp() / square_MK.shape[1],
        f"{name} largest": share_MK[:, -1],
        f"{name} size": (square_MK.sum(1) / matrix_MHD[0].numel() + TINY).log(),
    }


def correlations(name: str, rows_MHD: Tensor) -> Columns:
    """How alike rows are: cosines of each two."""
    count = rows_MHD.shape[1]
    if count < 2:
        return {}
    unit_MHD = rows_MHD / rows_MHD.norm(dim=2, keepdim=True).clamp_min(TINY)
    upper = torch.triu_indices(count, count, 1)
    cosine_MK = (unit_MHD @ unit_MHD.mT)[:, upper[0], upper[1]]
    return {
        f"{name} cosine mean": cosine_MK.mean(1),
        f"{name} cosine size": cosine_MK.square().mean(1).sqrt(),
        f"{name} cosine largest": cosine_MK.amax(1),
        f"{name} cosine least": cosine_MK.amin(1),
    }


def correlation(first_MK: Tensor, second_MK: Tensor) -> Tensor:
    """Pearson's, over K: ``[M]``; 0 where one does not vary."""
    first, second = (values_MK - values_MK.mean(1, keepdim=True) for values_MK in (first_MK, second_MK))
    size_M = first.square().sum(1).sqrt() * second.square().sum(1).sqrt()
    return (first * second).sum(1) / size_M.clamp_min(TINY)


def stacked(columns: Mapping[str, Tensor], names: Sequence[str], members: int) -> np.ndarray:
    """The named features, float32 ``[M, F]``; NaN for those that networks do not have."""
    features_MF = np.full((members, len(names)), np.nan, dtype=np.float32)
    for number, name in enumerate(names):
        if name in columns:
            features_MF[:, number] = columns[name].float().numpy()
    return features_MF


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
