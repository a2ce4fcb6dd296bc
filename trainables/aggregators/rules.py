"""Rules in closed form that make one update of the gradients of a minibatch's examples: what learned ones have to beat.

Shape letters: M members, B examples, P parameters.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from trainables.aggregators.gradients import ExampleGradients, Rule

TRIMMED_SHARE = 0.2
KEPT_SHARE = 0.8
# q of the generalized cross-entropy, as its authors set it.
ROBUST_EXPONENT = 0.7


def mean(gradients: ExampleGradients) -> Tensor:
    """The gradient of the mean loss: ordinary training."""
    return gradients.mean()


def median(gradients: ExampleGradients) -> Tensor:
    """The median over examples of each coordinate (Yin et al., ICML 2018, definition 1)."""
    sorted_MPB = _sorted(gradients)
    examples = sorted_MPB.shape[2]
    return (sorted_MPB[..., (examples - 1) // 2] + sorted_MPB[..., examples // 2]) / 2


def trimmed_mean(gradients: ExampleGradients) -> Tensor:
    """Of each coordinate the mean without the fifth at either end (Yin et al., ICML 2018, definition 2)."""
    sorted_MPB = _sorted(gradients)
    cut = int(TRIMMED_SHARE * sorted_MPB.shape[2])
    return sorted_MPB[..., cut : sorted_MPB.shape[2] - cut].mean(2)


def sign_vote(gradients: ExampleGradients) -> Tensor:
    """The sign that most examples have, of each coordinate (Bernstein et al., ICLR 2019, algorithm 1)."""
    return gradients.rows().sign().sum(1).sign()


def clipped_mean(gradients: ExampleGradients) -> Tensor:
    """The mean of gradients that are no longer than the median one."""
    norm_MB = torch.stack([of.squares().sum(1) for of in gradients.layers]).sum(0).sqrt()
    limit_M1 = norm_MB.median(1, keepdim=True).values
    factor_MB = torch.where(norm_MB > limit_M1, limit_M1 / norm_MB, 1.0)
    return _of_examples(gradients, factor_MB / gradients.examples)


def small_losses(gradients: ExampleGradients) -> Tensor:
    """The mean over the four fifths of the examples with the smallest losses (Shen and Sanghavi, ICML 2019)."""
    kept = math.ceil(KEPT_SHARE * gradients.examples)
    chosen_MB = gradients.loss_MB.topk(kept, dim=1, largest=False).indices
    return _of_examples(gradients, torch.zeros_like(gradients.loss_MB).scatter_(1, chosen_MB, 1 / kept))


def robust_loss(gradients: ExampleGradients) -> Tensor:
    """The gradient of the mean of (1 - p^q) / q, p the label's probability (Zhang and Sabuncu, NeurIPS 2018, eq. 6)."""
    return _of_examples(gradients, (-ROBUST_EXPONENT * gradients.loss_MB).exp() / gradients.examples)


RULES: dict[str, Rule] = {
    "mean": mean,
    "median": median,
    "trimmed mean": trimmed_mean,
    "sign vote": sign_vote,
    "clipped mean": clipped_mean,
    "small losses": small_losses,
    "robust loss": robust_loss,
}


def _of_examples(gradients: ExampleGradients, weights_MB: Tensor) -> Tensor:
    """Sums weighted alike for all neurons: ``[M, P]``."""
    return gradients.weighted([weights_MB.unsqueeze(1)] * len(gradients.layers))


def _sorted(gradients: ExampleGradients) -> Tensor:
    """Every coordinate's values by increasing size: ``[M, P, B]``; NumPy sorts short rows by SIMD."""
    return torch.from_numpy(np.sort(gradients.rows().mT.contiguous().numpy(), axis=-1))
