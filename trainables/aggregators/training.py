"""Populations trained by a rule that makes one update of the gradients of a minibatch's examples.

Shape letters: M members, P parameters, B examples of a minibatch, G blocks of members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from trainables.aggregators.corruption import CorruptedSets
from trainables.aggregators.gradients import ExampleGradients, GradientSource, Rule
from zoo.architecture import Architecture
from zoo.data.class_tasks import task_labels
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Member, Population, single_architecture
from zoo.population.initialization import initial_weights
from zoo.population.optimizers import PopulationOptimizer, find_optimizer
from zoo.training.grouping import group_members, minibatches, training_examples

# Members side by side: more do not fit in a cache.
AT_ONCE = 128
# Fields of a member that only ordinary training knows.
ELSEWHERE = ("dropout", "weight_noise", "adversarial_epsilon")


class Observe(Protocol):
    """What is told of each step before it is taken."""

    def __call__(self, step: int, gradients: ExampleGradients, *, places_MB: Tensor) -> None:
        """Number of the step, from 1; gradients; places of the minibatch in the set of each network."""


class RuleTrainer:
    """Some networks of one architecture in training.

    Args:
        rule: Makes the update that the optimizer takes for the gradient.
        architecture: Of the networks.
        task: What they are trained for.
        weights_MP: Where they start.
        optimizer: A name in ``zoo.population.optimizers.OPTIMIZERS``, or the user's own.
        learning_rates: Of each network.
        weight_decays: Of each network.
    """

    def __init__(
        self,
        rule: Rule,
        architecture: Architecture,
        task: Task,
        weights_MP: Tensor,
        *,
        optimizer: str,
        learning_rates: Sequence[float],
        weight_decays: Sequence[float] = (),
    ) -> None:
        self.rule, self.source = rule, GradientSource(architecture, task)
        self.weights_MP = weights_MP.clone()
        rates, decays = (
            torch.tensor(values)[:, None].expand_as(weights_MP).contiguous() if any(values) else None
            for values in (learning_rates, weight_decays)
        )
        rates = torch.zeros_like(self.weights_MP) if rates is None else rates
        self.optimizer: PopulationOptimizer = find_optimizer(optimizer)(self.weights_MP, rates, decays)

    @torch.no_grad()
    def step(
        self, inputs: Tensor, targets_MB: Tensor, observe: Callable[[ExampleGradients], None] | None = None
    ) -> None:
        """A step on each network's minibatch; one that diverges does not touch the others."""
        gradients = self.source(self.weights_MP, inputs, targets_MB)
        if observe is not None:
            observe(gradients)
        self.optimizer.step(self.rule(gradients))


def train_on_sets(
    rule: Rule,
    architecture: Architecture,
    task: Task,
    weights_MP: Tensor,
    sets: CorruptedSets,
    *,
    optimizer: str,
    learning_rates: Sequence[float],
    batch: int,
    steps: int,
    seed: int = 0,
    observe: Observe | None = None,
) -> Tensor:
    """Trains each network on a set of its own.

    Args:
        rule: Makes updates.
        architecture: Of the networks.
        task: What they are trained for.
        weights_MP: Where they start.
        sets: As many; or fewer, which networks go through again and again in this order, on the same minibatches.
        optimizer: See :class:`RuleTrainer`.
        learning_rates: Of each network.
        batch: Examples a step, drawn with replacement.
        steps: How many.
        seed: Of the minibatches.
        observe: See :data:`Observe`.

    Returns:
        Their weights.
    """
    trainer = RuleTrainer(rule, architecture, task, weights_MP, optimizer=optimizer, learning_rates=learning_rates)
    generator, copies = torch.Generator().manual_seed(seed), len(weights_MP) // len(sets)
    for step in range(1, steps + 1):
        drawn = sets.drawn(batch, generator)
        inputs, labels_MB, chosen_MB = (part.repeat(copies, *[1] * (part.ndim - 1)) for part in drawn)
        trainer.step(inputs, labels_MB, None if observe is None else partial(observe, step, places_MB=chosen_MB))
    return trainer.weights_MP


@torch.no_grad()
def accuracies(
    rule: Rule,
    architecture: Architecture,
    task: Task,
    members: Sequence[Member],
    sets: CorruptedSets,
    judged: Examples,
    *,
    rates: Sequence[float],
    optimizer: str,
    batch: int,
    steps: int,
    seed: int = 0,
) -> Tensor:
    """The accuracies that networks come to, at several learning rates side by side.

    Args:
        rule: Makes updates.
        architecture: Of the networks.
        task: What they are trained for.
        members: Whose initializations they start from.
        sets: What each is trained on.
        judged: Examples that they are judged on.
        rates: Learning rates; at each, networks see the same minibatches.
        optimizer: What takes the updates.
        batch: Examples a step.
        steps: How many.
        seed: Of the minibatches.

    Returns:
        ``[rates, members]``; 0 where a network diverged.
    """
    weights_MP = train_on_sets(
        rule,
        architecture,
        task,
        initial_weights(architecture, members).repeat(len(rates), 1),
        sets,
        optimizer=optimizer,
        learning_rates=[rate for rate in rates for _ in members],
        batch=batch,
        steps=steps,
        seed=seed,
    )
    found = []
    for weights_TP in weights_MP.split(len(members)):
        outputs_TNC = architecture.logits(weights_TP, judged.inputs)
        right_T = (outputs_TNC.argmax(2) == judged.targets).float().mean(1)
        found.append(torch.where(torch.isfinite(outputs_TNC).all(2).all(1), right_T, 0.0))
    return torch.stack(found)


def train_with(
    rule: Rule,
    architecture: Architecture,
    members: Sequence[Member],
    data: Examples,
    *,
    task: Task | None = None,
    epochs: int,
) -> Population:
    """Trains members as ``zoo.training.train.train_population`` does, with another update than the mean gradient.

    Initialization, minibatches, optimizers and all else that members say are the same; with the mean as the rule the
    networks are the same up to rounding.

    Args:
        rule: Makes updates: a fitted aggregator, or one of ``trainables.aggregators.rules``.
        architecture: Of all members.
        members: How each is trained.
        data: Training examples.
        task: What they are trained for; by default to tell the classes of their labels apart.
        epochs: How many.

    Returns:
        The trained networks.

    Raises:
        ValueError: There are no members, or some have dropout, noise on weights or adversarial examples.
    """
    if not members:
        raise ValueError("there are no members to train; give at least one")
    usual = {field.name: field.default for field in fields(Member)}
    for name in ELSEWHERE:
        odd = next((member for member in members if getattr(member, name) != usual[name]), None)
        if odd is not None:
            raise ValueError(
                f"member {odd.id} has {name} {getattr(odd, name)}; an aggregator's training has none: leave it out"
            )
    task = Task("softmax", int(data.targets.max()) + 1) if task is None else task
    weights_MP = initial_weights(architecture, members)
    for group in group_members(members, data, lambda _: AT_ONCE):
        chosen = [members[row] for row in group.rows]
        trainer = RuleTrainer(
            rule,
            architecture,
            task,
            weights_MP[list(group.rows)],
            optimizer=chosen[0].optimizer,
            learning_rates=[member.learning_rate for member in chosen],
            weight_decays=[member.weight_decay for member in chosen],
        )
        leaders = chosen[:: group.block]
        seen = [training_examples(leader, data) for leader in leaders]
        targets = [task_labels(leader.task, data.targets) if leader.task else data.targets for leader in leaders]
        for epoch in range(1, epochs + 1):
            orders = [torch.from_numpy(minibatches(*pair, epoch)) for pair in zip(leaders, seen, strict=True)]
            for rows in zip(*orders, strict=True):
                # Blocks of one minibatch each, in the order of the members.
                inputs = torch.stack([data.select(each).inputs for each in rows])
                labels = torch.stack([of[each] for of, each in zip(targets, rows, strict=True)])
                trainer.step(inputs.repeat_interleave(group.block, 0), labels.repeat_interleave(group.block, 0))
        weights_MP[list(group.rows)] = trainer.weights_MP
    return single_architecture(architecture, weights_MP, members, (epochs,) * len(members))
