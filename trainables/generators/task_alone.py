"""A control of generators: one network that is trained on the task alone, given out again and again with noise.

What it makes is good, far from the zoo's networks, outside their affine hull and has errors of its own, though nothing
was learned from these networks: accuracy and novelty are not enough to judge a generator by.

Shape letters: M networks, P parameters, N examples, C outputs.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from trainables.adam import Adam
from trainables.generators.closed_form import ClosedFormGenerator, coordinate_scale, noise_deviation
from trainables.generators.config import TaskAloneConfig
from trainables.generators.generator import coordinates_of, fitted_networks, task_of
from trainables.trainable import DivergedError, FitData
from zoo.data.class_tasks import select
from zoo.population import Member, single_architecture
from zoo.population.initialization import initial_weights


class TaskAlone(ClosedFormGenerator):
    """The network with noise in units of each coordinate's deviation over training networks, all it knows of these."""

    config: TaskAloneConfig
    config_type = TaskAloneConfig

    @classmethod
    def summary(cls, config: Any, coordinates_KP: Tensor) -> dict[str, Tensor]:
        """The noise of each coordinate."""
        return {"deviation": noise_deviation(config, coordinates_KP)}

    @classmethod
    def fit(cls, config: Any, data: FitData) -> Self:
        """Trains the network, with noise, so that the loss of what is given out is made small.

        Raises:
            DivergedError: The loss is not finite.
        """
        training = fitted_networks(config, data)
        coordinates = coordinates_of(config, training, data)
        coordinates_KP, _ = coordinates.forward(training)
        fitted = cls.summary(config, coordinates_KP)
        architecture = coordinates.architecture
        untrained = single_architecture(architecture, initial_weights(architecture, [Member(id=0, seed=config.seed)]))
        scale_P, start_P = coordinate_scale(coordinates_KP), coordinates.forward(untrained)[0][0]
        moved_P = torch.zeros_like(start_P).requires_grad_()
        name, task = task_of(training, data)
        examples = select(name, data.dataset.train)
        optimizer = Adam([moved_P], lr=config.learning_rate)
        generator = torch.Generator().manual_seed(config.seed)
        for step in range(config.steps):
            noise_MP = fitted["deviation"] * torch.randn(config.networks, len(start_P), generator=generator)
            drawn = examples.select(torch.randint(len(examples), (config.task_examples,), generator=generator))
            outputs_MNC = architecture.logits(coordinates.weights(start_P + scale_P * moved_P + noise_MP), drawn.inputs)
            targets = torch.cat([drawn.targets] * config.networks)
            loss = task.losses()(outputs_MNC.flatten(0, 1), targets).mean()
            if not torch.isfinite(loss):
                raise DivergedError(f"the loss is not finite in step {step + 1}; lower learning_rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return cls(config, coordinates, {**fitted, "center": start_P + scale_P * moved_P.detach()})

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """See :class:`ClosedFormGenerator`."""
        center_P = self.fitted["center"]
        return center_P + torch.randn(count, len(center_P), generator=generator) * self.fitted["deviation"]
