"""How much of what networks do survives in their reconstructions.

Shape letters: M members, N examples, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data.examples import Examples
from zoo.evaluation import examples_at_once
from zoo.population import Population

# Logits closer together than this carry no decision that could be preserved.
SMALLEST_SPREAD = 1e-4


def divergence(original_MNC: Tensor, reconstructed_MNC: Tensor) -> Tensor:
    """KL(original ‖ reconstruction) of the predicted distributions, in nats: ``[M, N]``."""
    return divergence_from(log_probabilities(original_MNC), reconstructed_MNC)


def divergence_from(log_original_MNC: Tensor, reconstructed_MNC: Tensor) -> Tensor:
    """The same from the original's log-probabilities, where those are used again and again."""
    return (log_original_MNC.exp() * (log_original_MNC - log_probabilities(reconstructed_MNC))).sum(-1)


def log_probabilities(logits_MNC: Tensor) -> Tensor:
    """Logarithm of the softmax; over few classes several times faster than torch's own on a CPU."""
    shifted_MNC = logits_MNC - logits_MNC.detach().amax(-1, keepdim=True)
    return shifted_MNC - shifted_MNC.exp().sum(-1, keepdim=True).log()


def sharpness(logits_MNC: Tensor, spread: float) -> Tensor:
    """The factor ``[M, 1, 1]`` that gives each network's logits, their class mean apart, a standard deviation.

    Args:
        logits_MNC: Logits of the original networks.
        spread: That standard deviation; 0 for a factor of 1.
    """
    if not spread:
        return torch.ones(len(logits_MNC), 1, 1)
    centered_MNC = logits_MNC - logits_MNC.mean(-1, keepdim=True)
    return spread / centered_MNC.square().mean((1, 2), keepdim=True).sqrt().clamp_min(SMALLEST_SPREAD)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Paired measurements of networks and their reconstructions; float64, one entry a member.

    Attributes:
        accuracy_original_M: Share of images that the original classifies correctly.
        accuracy_reconstructed_M: The same for the reconstruction.
        agreement_M: Share of images for which both predict the same class.
        kl_M: Mean KL(original ‖ reconstruction) in nats.
    """

    accuracy_original_M: Tensor
    accuracy_reconstructed_M: Tensor
    agreement_M: Tensor
    kl_M: Tensor

    def summary(self) -> dict[str, float]:
        """Means over the members, under the names of the tables."""
        difference_M = 100 * (self.accuracy_original_M - self.accuracy_reconstructed_M)
        return {
            "agreement": float(self.agreement_M.mean()),
            "accuracy_drop_pp": float(difference_M.mean()),
            "accuracy_shift_pp": float(difference_M.abs().mean()),
            "kl": float(self.kl_M.mean()),
        }


@torch.no_grad()
def measure(original: Population, reconstructed_MP: Tensor, images: Examples) -> Fidelity:
    """Compares networks with their reconstructions on all images, in pieces of bounded memory."""
    reconstructed = original.with_weights(reconstructed_MP)
    sums = torch.zeros(4, len(original), dtype=torch.float64)
    for x, labels in images.batches(examples_at_once(original)):
        before_MNC, after_MNC = original.logits(x), reconstructed.logits(x)
        before_MN, after_MN = before_MNC.argmax(-1), after_MNC.argmax(-1)
        parts = (before_MN == labels, after_MN == labels, before_MN == after_MN, divergence(before_MNC, after_MNC))
        sums += torch.stack([part.double().sum(1) for part in parts])
    return Fidelity(*(sums / len(images)))
