"""How far apart networks are in what they do, as a loss: differentiable, and the same for classes and for values.

Shape letters: M members, N examples, C outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.data.class_tasks import task_labels
from zoo.data.examples import Examples
from zoo.population import Population

# Outputs closer together than this carry no decision that could be preserved.
SMALLEST_SPREAD = 1e-4


class Behavior:
    """What some networks do on some examples, for others to be compared with.

    Outputs that are logits of classes are compared by KL divergence in nats, others by their squared error relative
    to their own variance. Of a network with a class task, examples of other classes do not count.

    Args:
        population: The networks.
        examples: What they are applied to.
        outputs_MNC: What they give there.
        softmax: Whether outputs are logits of classes.
        logit_spread: Scale each network's logits so that, their class mean apart, they have this standard deviation:
            a network that is hardly decided counts as much as one that is. 0 compares them as they are.
    """

    def __init__(
        self, population: Population, examples: Examples, outputs_MNC: Tensor, *, softmax: bool, logit_spread: float
    ) -> None:
        self._softmax = softmax
        with torch.no_grad():
            self._counts_MN = relevance(population, examples)
            self._scale_M11 = self._scale(outputs_MNC, logit_spread)
            scaled_MNC = outputs_MNC * self._scale_M11
            self._wanted_MNC = log_probabilities(scaled_MNC) if softmax else scaled_MNC

    def distance(self, outputs_MNC: Tensor, chosen: Tensor | slice = slice(None)) -> Tensor:
        """Mean distance over examples: ``[M]``.

        Args:
            outputs_MNC: Outputs on the chosen examples.
            chosen: Which examples; all by default.
        """
        scaled_MNC, wanted_MNC = outputs_MNC * self._scale_M11, self._wanted_MNC[:, chosen]
        if self._softmax:
            distance_MN = divergence_from(wanted_MNC, scaled_MNC)
        else:
            distance_MN = (scaled_MNC - wanted_MNC).square().mean(-1)
        if self._counts_MN is None:
            return distance_MN.mean(1)
        counts_MN = self._counts_MN[:, chosen]
        return (distance_MN * counts_MN).sum(1) / counts_MN.sum(1).clamp_min(1)

    def _scale(self, outputs_MNC: Tensor, logit_spread: float) -> Tensor:
        """The factor on each network's outputs ``[M, 1, 1]``."""
        if self._softmax:
            return sharpness(outputs_MNC, logit_spread, self._counts_MN)
        centered_MNC = outputs_MNC - outputs_MNC.mean(1, keepdim=True)
        return 1 / centered_MNC.square().mean((1, 2), keepdim=True).sqrt().clamp_min(SMALLEST_SPREAD)


def relevance(population: Population, examples: Examples) -> Tensor | None:
    """1 for the examples of each network's own classes, else 0: ``[M, N]``; ``None`` where no network has a task."""
    tasks = [member.task for member in population.members]
    if not any(tasks):
        return None
    of_task = {task: (task_labels(task, examples.targets) >= 0).float() for task in dict.fromkeys(tasks)}
    return torch.stack([of_task[task] for task in tasks])


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


def sharpness(logits_MNC: Tensor, spread: float, counts_MN: Tensor | None = None) -> Tensor:
    """The factor ``[M, 1, 1]`` that gives each network's logits, their class mean apart, a standard deviation.

    Args:
        logits_MNC: Logits of the original networks.
        spread: That standard deviation; 0 for a factor of 1.
        counts_MN: Weights of the examples; all the same by default.
    """
    if not spread:
        return torch.ones(len(logits_MNC), 1, 1)
    centered_MNC = logits_MNC - logits_MNC.mean(-1, keepdim=True)
    if counts_MN is None:
        variance_M11 = centered_MNC.square().mean((1, 2), keepdim=True)
    else:
        sums_M1 = (centered_MNC.square().mean(2) * counts_MN).sum(1, keepdim=True)
        variance_M11 = (sums_M1 / counts_MN.sum(1, keepdim=True).clamp_min(1))[..., None]
    return spread / variance_M11.sqrt().clamp_min(SMALLEST_SPREAD)
