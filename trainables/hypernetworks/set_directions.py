"""A first layer from ridge regression of a set's labels, in its dual form: weighted sums of the set's inputs.

It needs inner products of examples alone, so that it is as good for inputs of another kind, or in another order, as for
those that were trained on. Whether what was learned is better for a set, leaving out one example after the other tells.

Shape letters: T sets, B examples of each, C classes, H units, X numbers of an input, P parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.architecture import Architecture

# Strength of a regression, relative to the mean square of what it reads; and the mean of units, whose deviation over a
# set is 1, so that they are above zero for most of it.
STRENGTH, MEAN = 1.0, 1.0


def regressed_where_better(
    architecture: Architecture, weights_TP: Tensor, inputs_TBX: Tensor, hidden_TBH: Tensor, one_hot_TBC: Tensor
) -> Tensor:
    """Networks, of which some have the principal directions of ridge regression on their sets as first layer.

    Those whose hidden values tell the label of an example that is left out worse than inputs do.

    Args:
        architecture: Whose first layer is a linear one.
        weights_TP: The networks.
        inputs_TBX: Their sets.
        hidden_TBH: What the last layer reads of these.
        one_hot_TBC: Labels.
    """
    mean_T1X = inputs_TBX.mean(1, keepdim=True)
    centered_TBX = inputs_TBX - mean_T1X
    gram_TBB = centered_TBX @ centered_TBX.mT
    dual_TBC, error_T = dual_regression(gram_TBB, one_hot_TBC)
    hidden_TBH = hidden_TBH - hidden_TBH.mean(1, keepdim=True)
    _, own_error_T = dual_regression(hidden_TBH @ hidden_TBH.mT, one_hot_TBC)
    weight, bias = architecture.layout[:2]
    rows_THX = principal_directions(dual_TBC, gram_TBB, weight.shape[0]).mT @ centered_TBX
    changed_TP = weights_TP.clone()
    changed_TP[:, weight.span] = rows_THX.flatten(1)
    changed_TP[:, bias.span] = MEAN - (rows_THX * mean_T1X).sum(2)
    return torch.where((error_T < own_error_T)[:, None], changed_TP, weights_TP)


def dual_regression(gram_TBB: Tensor, one_hot_TBC: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression of labels, less their mean over the set.

    Args:
        gram_TBB: Inner products of the examples.
        one_hot_TBC: Labels.

    Returns:
        (``dual_TBC``, so that predictions are ``gram_TBB @ dual_TBC``; the squared error of an example that is left
        out, the mean over the set ``[T]``).
    """
    size_T11 = gram_TBB.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)[:, None, None]
    inverse_TBB = torch.linalg.inv(gram_TBB / size_T11 + STRENGTH * torch.eye(gram_TBB.shape[1]))
    dual_TBC = inverse_TBB @ (one_hot_TBC - one_hot_TBC.mean(1, keepdim=True))
    left_out_TBC = dual_TBC / inverse_TBB.diagonal(dim1=1, dim2=2).unsqueeze(2)
    return dual_TBC / size_T11, left_out_TBC.square().sum(2).mean(1)


def principal_directions(dual_TBC: Tensor, gram_TBB: Tensor, units: int) -> Tensor:
    """Weights of the examples in sums that are the principal directions of a regression: ``[T, B, H]``.

    Those in which its predictions vary most come first, then their opposites, then both again. Each has deviation 1
    over the set and a skewness above zero, so that neither the order nor the names of labels matter.

    Args:
        dual_TBC: The regression.
        gram_TBB: Inner products of the examples.
        units: H.
    """
    covariance_TCC = dual_TBC.mT @ gram_TBB @ dual_TBC
    turn_TCK = torch.linalg.eigh(covariance_TCC).eigenvectors.flip(2)[:, :, : min(units, dual_TBC.shape[2] - 1)]
    dual_TBK = dual_TBC @ turn_TCK
    values_TBK = gram_TBB @ dual_TBK
    sign_T1K = values_TBK.pow(3).sum(1, keepdim=True).sign()
    one_way_TBK = dual_TBK * sign_T1K / values_TBK.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    both_ways = torch.cat([one_way_TBK, -one_way_TBK], dim=2)
    return both_ways.repeat(1, 1, math.ceil(units / both_ways.shape[2]))[:, :, :units]
