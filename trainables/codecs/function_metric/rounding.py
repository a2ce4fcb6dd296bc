"""Rounding with error feedback and by rate and distortion: the function-metric codec's quantizer.

Shape letters: M members, T tokens, K entries of a token, N entries rounded together, S symbols of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.codecs.entropy import TableColumns
from trainables.codecs.function_metric.config import FunctionMetricConfig

# Symbols beyond this cost what this one costs and some more; they hardly ever compete with a neighbor.
LARGEST_COSTED = 64
BITS_BEYOND = 2.0
# Symbols are int32 in the payload.
LARGEST_SYMBOL = 2.0**30


def bit_costs(table: TableColumns) -> Tensor:
    """What each symbol from -64 to 64 costs in each column of a table: ``[K, S]`` bits."""
    symbols = np.arange(-LARGEST_COSTED, LARGEST_COSTED + 1)
    costs = []
    for low, lengths in zip(table.low, table.code_lengths, strict=True):
        inside = np.clip(symbols - low, 0, len(lengths) - 1)
        costs.append(lengths[inside] / 8 + BITS_BEYOND * np.abs(symbols - low - inside))
    return torch.from_numpy(np.array(costs, dtype=np.float32))


def bits_of(symbols_MK: Tensor, costs_KS: Tensor) -> Tensor:
    """What symbols cost, by :func:`bit_costs`: a row for each of K columns, or one for all."""
    columns = torch.arange(len(costs_KS)).expand(symbols_MK.shape)
    inside_MK = symbols_MK.clamp(-LARGEST_COSTED, LARGEST_COSTED)
    return costs_KS[columns, (inside_MK + LARGEST_COSTED).long()] + BITS_BEYOND * (symbols_MK - inside_MK).abs()


def rounded(target_MK: Tensor, weight_MK: Tensor, costs_KS: Tensor | None, price: float) -> Tensor:
    """Symbols that minimize ``weight · (target - symbol)² + price · bits``; the nearest where there are no costs.

    The candidates are the nearest integer, its neighbor towards zero, and zero.
    """
    best_MK = target_MK.round().clamp(-LARGEST_SYMBOL, LARGEST_SYMBOL)
    if costs_KS is None or not price:
        return best_MK

    def loss(symbols_MK: Tensor) -> Tensor:
        return weight_MK * (target_MK - symbols_MK).square() + price * bits_of(symbols_MK, costs_KS)

    least_MK = loss(best_MK)
    for candidate_MK in (best_MK - best_MK.sign(), torch.zeros_like(best_MK)):
        loss_MK = loss(candidate_MK)
        best_MK = torch.where(loss_MK < least_MK, candidate_MK, best_MK)
        least_MK = torch.minimum(loss_MK, least_MK)
    return best_MK


def round_with_feedback(
    targets_MTK: Tensor,
    tokens_MTT: Tensor,
    entries_MKK: Tensor | None,
    costs: Sequence[Tensor | None],
    config: FunctionMetricConfig,
) -> Tensor:
    """Rounds tokens one after the other; those still to come take up each one's error where they can.

    Minimizes Σ δ_tk·A_ts·B_kl·δ_sl over the errors δ greedily, as GPTQ (Frantar et al., ICLR 2023) does for the inputs
    of a layer, plus the price of the bits. The Cholesky factor of A ⊗ B is that of A times that of B.

    Args:
        targets_MTK: In units of the step.
        tokens_MTT: A, how errors of two tokens add up.
        entries_MKK: B, how errors of two entries of a token add up; ``None`` where they do not.
        costs: For each token ``[K, S]`` as from :func:`bit_costs`, ``[1, S]`` where entries cost the same (with B they
            must), or ``None``: round to the nearest.
        config: The damping of A and B, and the price of a bit in units of a squared step times their mean diagonals.

    Returns:
        Integers ``[M, T, K]``, as floats.
    """
    factor_MTT = inverse_factor(tokens_MTT, config.damping).to(targets_MTK.dtype)
    if entries_MKK is not None:
        within_MKK = inverse_factor(entries_MKK, config.damping).to(targets_MTK.dtype)
        return _round_by_diagonals(targets_MTK, factor_MTT, within_MKK, costs, config.bit_price)
    remaining_MTK = targets_MTK.clone()
    symbols_MTK = torch.zeros_like(targets_MTK)
    for token, cost in enumerate(costs):
        pivot_M1, target_MK = factor_MTT[:, token, token, None], remaining_MTK[:, token]
        symbols_MTK[:, token] = rounded(target_MK, pivot_M1**-2, cost, config.bit_price)
        error_MK = (target_MK - symbols_MTK[:, token]) / pivot_M1
        remaining_MTK[:, token + 1 :] -= factor_MTT[:, token, token + 1 :, None] * error_MK[:, None]
    return symbols_MTK


def _round_by_diagonals(
    targets_MTK: Tensor, factor_MTT: Tensor, within_MKK: Tensor, costs: Sequence[Tensor | None], price: float
) -> Tensor:
    """Rounding where errors of a token's entries add up too, given the factors of both Gram matrices.

    Entry k of token t takes up the errors of entries up to k of tokens up to t. So those of equal t + k are rounded
    together: T + K - 1 steps where one after the other would be T · K.
    """
    tokens, entries = targets_MTK.shape[1:]
    known = [cost for cost in costs if cost is not None]
    costs_TS = torch.cat(known) if known else None
    pivots_MTK = factor_MTT.diagonal(dim1=1, dim2=2).unsqueeze(2) * within_MKK.diagonal(dim1=1, dim2=2).unsqueeze(1)
    symbols_MTK, errors_MTK = torch.zeros_like(targets_MTK), torch.zeros_like(targets_MTK)
    for diagonal in range(tokens + entries - 1):
        first, end = max(0, diagonal - entries + 1), min(tokens, diagonal + 1)
        token_N = torch.arange(first, end)
        entry_N = diagonal - token_N
        moves_MN = (factor_MTT[:, :end, first:end] * errors_MTK[:, :end, entry_N]).sum(dim=1)
        target_MN, pivot_MN = targets_MTK[:, token_N, entry_N] - moves_MN, pivots_MTK[:, token_N, entry_N]
        own_NS = None if costs_TS is None else costs_TS[first:end]
        symbols_MN = rounded(target_MN, pivot_MN**-2, own_NS, price)
        symbols_MTK[:, token_N, entry_N] = symbols_MN
        errors_MTK[:, first:end] += within_MKK[:, entry_N] * ((target_MN - symbols_MN) / pivot_MN).unsqueeze(2)
    return symbols_MTK


def inverse_factor(gram_MTT: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor of a damped Gram matrix's inverse, of mean diagonal 1.

    Its row t says how a unit error of token t moves the optimum of later ones.
    """
    diagonal_M11 = gram_MTT.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(1e-30).double()[:, None, None]
    damped_MTT = gram_MTT.double() / diagonal_M11 + damping * torch.eye(gram_MTT.shape[1], dtype=torch.float64)
    return torch.linalg.cholesky(torch.linalg.inv(damped_MTT), upper=True)
