"""A network from ridge regression of a set's labels, in its dual form: its first layer's units are sums of set inputs.

It needs inner products of examples alone, so that it is as good for inputs of another kind, or in another order, as for
those that were trained on. Whether what was learned is better for a set, leaving out one example after the other tells.

Shape letters: T sets, B examples of each, C classes, H units, X numbers of an input, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.hypernetworks.last_layer import FIRST_LOGIT, before_last_layer, with_rows
from zoo.architecture import Architecture

# Strength of a regression, relative to the mean square of what it reads, and those that a last layer chooses from.
STRENGTH = 1.0
STRENGTHS = tuple(10 ** (half / 2) for half in range(-3, 4))
# The mean of units that are directions of the regression, whose deviation over a set is 1, so that they are above zero
# for most of it. Units that are examples have mean 0: they are there for what is not linear.
MEAN = 1.0


def regressed_where_better(
    architecture: Architecture, weights_TP: Tensor, inputs: Tensor, one_hot_TBC: Tensor
) -> Tensor:
    """Networks, of which some are made by regression on their sets alone.

    Those whose hidden values tell the label of an example that is left out worse than inputs do. Units of their first
    layer are the principal directions of ridge regression, both ways, and as far as there are more, the examples whose
    labels it tells worst when they are left out. Their last layer is ridge regression on hidden values.

    Args:
        architecture: Whose first and last layers are linear ones.
        weights_TP: The networks.
        inputs: Their sets ``[T, B, *X]``.
        one_hot_TBC: Labels.
    """
    mean_T1X = inputs.flatten(2).mean(1, keepdim=True)
    centered_TBX = inputs.flatten(2) - mean_T1X
    gram_TBB = centered_TBX @ centered_TBX.mT
    dual_TBC, error_TB = dual_regression(gram_TBB, one_hot_TBC)
    hidden_TBH = before_last_layer(architecture, weights_TP, inputs)
    hidden_TBH = hidden_TBH - hidden_TBH.mean(1, keepdim=True)
    _, own_error_TB = dual_regression(hidden_TBH @ hidden_TBH.mT, one_hot_TBC)
    weight, bias = architecture.layout[:2]
    directions_TBH = principal_directions(dual_TBC, gram_TBB, weight.shape[0])
    mean_H = torch.full((directions_TBH.shape[2],), MEAN)
    if (others := weight.shape[0] - len(mean_H)) > 0:
        directions_TBH = torch.cat([directions_TBH, worst_examples(error_TB, gram_TBB, others)], dim=2)
        mean_H = torch.cat([mean_H, torch.zeros(others)])
    rows_THX = directions_TBH.mT @ centered_TBX
    changed_TP = weights_TP.clone()
    changed_TP[:, weight.span] = rows_THX.flatten(1)
    changed_TP[:, bias.span] = mean_H - (rows_THX * mean_T1X).sum(2)
    changed_TP = with_regression(architecture, changed_TP, inputs, one_hot_TBC)
    return torch.where((error_TB.mean(1) < own_error_TB.mean(1))[:, None], changed_TP, weights_TP)


def with_regression(architecture: Architecture, weights_TP: Tensor, inputs: Tensor, one_hot_TBC: Tensor) -> Tensor:
    """The networks with ridge regression on hidden values of their sets as last layer, of the best strength."""
    hidden_TBH = before_last_layer(architecture, weights_TP, inputs)
    mean_T1H = hidden_TBH.mean(1, keepdim=True)
    centered_TBH = hidden_TBH - mean_T1H
    dual_TBC, _ = dual_regression(centered_TBH @ centered_TBH.mT, one_hot_TBC, STRENGTHS)
    rows_TCH = dual_TBC.mT @ centered_TBH
    bias_TC = one_hot_TBC.mean(1) - (rows_TCH * mean_T1H).sum(2)
    return with_rows(architecture, weights_TP, FIRST_LOGIT * rows_TCH, FIRST_LOGIT * bias_TC)


def dual_regression(
    gram_TBB: Tensor, one_hot_TBC: Tensor, strengths: Sequence[float] = (STRENGTH,)
) -> tuple[Tensor, Tensor]:
    """Ridge regression of labels, less their mean over the set, at the strength that is best for examples left out.

    Args:
        gram_TBB: Inner products of the examples, less their mean.
        one_hot_TBC: Labels.
        strengths: To choose from for each set, relative to the mean square of examples.

    Returns:
        (``dual_TBC``, so that predictions are ``gram_TBB @ dual_TBC``; the squared error of each example where it is
        left out of the regression and of the means ``[T, B]``).
    """
    examples = gram_TBB.shape[1]
    size_T11 = gram_TBB.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)[:, None, None]
    centered_TBC = one_hot_TBC - one_hot_TBC.mean(1, keepdim=True)
    found = []
    for strength in strengths:
        inverse_TBB = torch.linalg.inv(gram_TBB / size_T11 + strength * torch.eye(examples))
        dual_TBC = inverse_TBB @ centered_TBC
        # 1 - h of the hat matrix is strength times this, the mean's 1 / B taken off.
        left_TB = inverse_TBB.diagonal(dim1=1, dim2=2) - 1 / (strength * examples)
        found.append((dual_TBC / size_T11, (dual_TBC / left_TB.unsqueeze(2)).square().sum(2)))
    dual_STBC, error_STB = (torch.stack(parts) for parts in zip(*found, strict=True))
    best_T, sets_T = error_STB.mean(2).argmin(0), torch.arange(len(gram_TBB))
    return dual_STBC[best_T, sets_T], error_STB[best_T, sets_T]


def principal_directions(dual_TBC: Tensor, gram_TBB: Tensor, most: int) -> Tensor:
    """Weights of the examples in sums that are the principal directions of a regression: ``[T, B, H]``.

    Those in which its predictions vary most come first, then their opposites. Each has deviation 1 over the set and a
    skewness above zero, so that neither the order nor the names of labels matter.

    Args:
        dual_TBC: The regression.
        gram_TBB: Inner products of the examples.
        most: At most so many.
    """
    covariance_TCC = dual_TBC.mT @ gram_TBB @ dual_TBC
    turn_TCK = torch.linalg.eigh(covariance_TCC).eigenvectors.flip(2)[:, :, : min(most, dual_TBC.shape[2] - 1)]
    dual_TBK = dual_TBC @ turn_TCK
    sign_T1K = (gram_TBB @ dual_TBK).pow(3).sum(1, keepdim=True).sign()
    one_way_TBK = _of_deviation_1(dual_TBK * sign_T1K, gram_TBB)
    return torch.cat([one_way_TBK, -one_way_TBK], dim=2)[:, :, :most]


def worst_examples(error_TB: Tensor, gram_TBB: Tensor, count: int) -> Tensor:
    """Directions of the examples of the largest errors, the largest first and again after the last: ``[T, B, H]``."""
    order_TB = error_TB.argsort(1, descending=True).repeat(1, math.ceil(count / error_TB.shape[1]))
    return _of_deviation_1(torch.eye(error_TB.shape[1]).to(gram_TBB)[order_TB[:, :count]].mT, gram_TBB)


def _of_deviation_1(dual_TBH: Tensor, gram_TBB: Tensor) -> Tensor:
    return dual_TBH / (gram_TBB @ dual_TBH).square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
