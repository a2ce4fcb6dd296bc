"""Inner networks in training, through whose steps an aggregator is differentiated.

Gradients of examples count as constants; what the aggregator makes of them does not, through SGD or Adam and all later
steps of the unroll (as in Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NeurIPS
2016, section 2.1). Inner networks go on from one unroll to the next, and each starts anew at a time of its own, so that
early and late steps of training are seen side by side.

Shape letters: T inner networks, P parameters, B examples of a minibatch, Q queries, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.aggregators.config import RATES, AggregatorConfig
from trainables.aggregators.corruption import CorruptedSets, Corruption, corrupted_sets
from trainables.aggregators.gradients import ExampleGradients, GradientSource
from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import BETA1, BETA2, EPSILON

# Query losses below this are as good as none.
LEAST_LOSS = 0.05

DifferentiableRule = Callable[[ExampleGradients], Tensor]


@dataclass
class OptimizerState:
    """Moments of Adam, and how many steps each network has had."""

    mean_TP: Tensor
    square_TP: Tensor
    steps_T: Tensor

    @classmethod
    def of(cls, weights_TP: Tensor) -> OptimizerState:
        """None yet."""
        return cls(torch.zeros_like(weights_TP), torch.zeros_like(weights_TP), torch.zeros(len(weights_TP)))

    def detached(self) -> OptimizerState:
        """The same as constants."""
        return OptimizerState(self.mean_TP.detach(), self.square_TP.detach(), self.steps_T)

    def replaced(self, which_T: Tensor, by: OptimizerState) -> OptimizerState:
        """The same with that of some networks replaced."""
        parts = []
        for old, new in zip(vars(self).values(), vars(by).values(), strict=True):
            part = old.clone()
            part[which_T] = new
            parts.append(part)
        return OptimizerState(*parts)


def moved(optimizer: str, weights_TP: Tensor, update_TP: Tensor, rate_T: Tensor, state: OptimizerState) -> Tensor:
    """Weights after a step by "sgd" or "adam", differentiable in the update; moments are put into the state."""
    state.steps_T = state.steps_T + 1
    rate_T1, steps_T1 = rate_T.unsqueeze(1), state.steps_T.unsqueeze(1)
    if optimizer == "sgd":
        return weights_TP - rate_T1 * update_TP
    state.mean_TP = BETA1 * state.mean_TP + (1 - BETA1) * update_TP
    state.square_TP = BETA2 * state.square_TP + (1 - BETA2) * update_TP.square()
    mean_TP = state.mean_TP / (1 - BETA1**steps_T1)
    square_TP = state.square_TP / (1 - BETA2**steps_T1)
    # The root of 0 has no derivative.
    return weights_TP - rate_T1 * mean_TP / ((square_TP + EPSILON**2).sqrt() + EPSILON)


class InnerNetworks:
    """Inner networks of one architecture, optimizer and batch size, each on a set of its own.

    Args:
        config: Of the aggregator.
        architecture: Of the networks.
        members: Whose initializations they start from.
        examples: That sets are drawn from.
        queries: That networks are judged on.
        task: What they are trained for.
        optimizer: "sgd" or "adam".
        batch: Examples a step.
        generator: For all that is drawn.
    """

    def __init__(
        self,
        config: AggregatorConfig,
        architecture: Architecture,
        members: Sequence[Member],
        examples: Examples,
        queries: Examples,
        task: Task,
        *,
        optimizer: str,
        batch: int,
        generator: torch.Generator,
    ) -> None:
        self.config, self.architecture, self.members = config, architecture, members
        self.examples, self.queries, self.task = examples, queries, task
        self.optimizer, self.batch = optimizer, batch
        self.source = GradientSource(architecture, task)
        self.weights_TP, self.sets, self.rate_T = self._drawn(config.task_batch, generator)
        self.state = OptimizerState.of(self.weights_TP)
        # Only the first ends are drawn at random, so that later ones lie apart too.
        self.left_T = torch.randint(config.unroll, config.horizon + 1, (config.task_batch,), generator=generator)

    def unroll(self, rule: DifferentiableRule, generator: torch.Generator) -> Tensor:
        """The mean logarithm of the networks' losses on queries, along the next steps; differentiable in the rule."""
        self._start_anew(generator)
        losses = []
        for _ in range(self.config.unroll):
            inputs, labels_TB, _ = self.sets.drawn(self.batch, generator)
            gradients = self.source(self.weights_TP, inputs, labels_TB)
            self.weights_TP = moved(self.optimizer, self.weights_TP, rule(gradients), self.rate_T, self.state)
            losses.append((self._query_losses(generator) + LEAST_LOSS).log())
        self.left_T = self.left_T - self.config.unroll
        self.weights_TP = self.weights_TP.detach()
        self.state = self.state.detached()
        return torch.stack(losses).mean()

    def _query_losses(self, generator: torch.Generator) -> Tensor:
        """Of each network on examples with right labels: ``[T]``."""
        rows_TQ = torch.randint(len(self.queries), (len(self.weights_TP), self.config.queries), generator=generator)
        chosen = self.queries.select(rows_TQ.flatten())
        outputs_TQC = self.architecture.logits(self.weights_TP, chosen.inputs.unflatten(0, rows_TQ.shape))
        return self.task.losses()(outputs_TQC.flatten(0, 1), chosen.targets).unflatten(0, rows_TQ.shape).mean(1)

    def _drawn(self, count: int, generator: torch.Generator) -> tuple[Tensor, CorruptedSets, Tensor]:
        """Weights, sets and learning rates of networks that start now."""
        config = self.config

        def one_of(values: Sequence[float]) -> list[float]:
            return [values[int(number)] for number in torch.randint(len(values), (count,), generator=generator)]

        chosen = torch.randint(len(self.members), (count,), generator=generator).tolist()
        corruptions = [
            Corruption(label_noise=noise, outliers=outliers)
            for noise, outliers in zip(one_of(config.label_noise), one_of(config.outliers), strict=True)
        ]
        sets = corrupted_sets(self.examples, self.task.outputs, corruptions, config.set_size, generator)
        low, high = (math.log(rate) for rate in RATES[self.optimizer])
        rate_T = (low + (high - low) * torch.rand(count, generator=generator)).exp()
        return initial_weights(self.architecture, [self.members[number] for number in chosen]), sets, rate_T

    def _start_anew(self, generator: torch.Generator) -> None:
        """Replaces networks whose steps are done, and those that diverged."""
        over_T = (self.left_T < self.config.unroll) | ~torch.isfinite(self.weights_TP).all(1)
        if not over_T.any():
            return
        weights_TP, sets, rate_T = self._drawn(int(over_T.sum()), generator)
        self.weights_TP, self.rate_T = self.weights_TP.clone(), self.rate_T.clone()
        self.weights_TP[over_T], self.rate_T[over_T] = weights_TP, rate_T
        self.sets = self.sets.replaced(over_T, sets)
        self.state = self.state.replaced(over_T, OptimizerState.of(weights_TP))
        self.left_T = self.left_T.masked_fill(over_T, self.config.horizon)
