"""Networks that are to do what others do: how far they are from it, and which way leads there.

Shape letters: M members, P parameters, N examples, B those of a step, C outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.data.examples import Examples
from zoo.evaluation.applying import outputs
from zoo.population import Population
from zoo.training.lanes import LaneStudents, forward_obstacle

# Outputs that vary less over examples count as if they varied so much.
SMALLEST_SPREAD = 1e-4


class Imitation:
    """Members of one architecture, without batch norms, whose outputs others are to have.

    Where outputs are logits of classes, the distance is the KL divergence from the members' probabilities in nats;
    else the squared error relative to the variance of each member's outputs over examples.

    Args:
        population: The members.
        examples: What they are applied to.
        softmax: Whether outputs are logits of classes.
        batch: Examples of a step, at most.

    Raises:
        ValueError: The members have several architectures.
    """

    def __init__(self, population: Population, examples: Examples, *, softmax: bool, batch: int) -> None:
        if len(set(population.architecture_M.tolist())) > 1:
            raise ValueError("the members have several architectures; imitate those of each on their own")
        ((self._architecture, _),) = population.groups()
        self._population, self._examples, self._softmax = population, examples, softmax
        outputs_MNC = outputs(population, examples)
        self._wanted_MNC = outputs_MNC.log_softmax(dim=2) if softmax else outputs_MNC
        variance_M = (outputs_MNC - outputs_MNC.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))
        self._scale_M11 = 1 / variance_M.sqrt().clamp_min(SMALLEST_SPREAD)[:, None, None]
        self._lanes: LaneStudents | None = None
        if softmax and forward_obstacle(self._architecture, examples) is None:
            self._lanes = LaneStudents(self._architecture, examples, self._wanted_MNC.exp(), batch)

    def distance(self, weights_MP: Tensor) -> Tensor:
        """The mean distance over all examples of networks with these weights: ``[M]``."""
        return self._distance(outputs(self._population, self._examples, weights_MP), self._wanted_MNC)

    def gradients(self, weights_MP: Tensor, chosen_B: Tensor) -> Tensor:
        """Gradients ``[M, P]`` of each member's mean distance on some of the examples (int64)."""
        if self._lanes is not None:
            return self._lanes.gradients(weights_MP, chosen_B)
        own_MP = weights_MP.detach().requires_grad_()
        with torch.enable_grad():
            outputs_MBC = self._architecture.logits(own_MP, self._examples.select(chosen_B).inputs)
            distance = self._distance(outputs_MBC, self._wanted_MNC[:, chosen_B]).sum()
            (gradients_MP,) = torch.autograd.grad(distance, own_MP)
        return gradients_MP

    def _distance(self, outputs_MNC: Tensor, wanted_MNC: Tensor) -> Tensor:
        if self._softmax:
            log_MNC = outputs_MNC.log_softmax(dim=2)
            return (wanted_MNC.exp() * (wanted_MNC - log_MNC)).sum(dim=2).mean(dim=1)
        return ((outputs_MNC - wanted_MNC) * self._scale_M11).square().mean(dim=(1, 2))
