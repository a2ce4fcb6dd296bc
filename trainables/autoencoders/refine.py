"""Refinement of a network's symbols when it is encoded: its own function is the target, not the population's mean.

An encoder is fitted to serve all networks; a few gradient steps on one network's latents, through the decoder that
the receiver has, make up for what that costs (Campos et al., "Content adaptive optimization for neural image
compression", CVPR workshops 2019). The receiver does not change.

The cost is the behavioral loss and the rate; the fit's weight loss is left out. So the function comes closer while
weights may move further away.

Shape letters: M members, P parameters, N examples, Z latent width of a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.adam import Adam
from trainables.autoencoders.bottleneck import laplace_bits
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.receiver import Receiver, Symbols
from trainables.behavior import Behavior
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.evaluation import outputs
from zoo.population import Population

# With 512 images of MNIST symbols were fitted to these, and agreement on others fell from 94.8 to 94.7 %; with 4,096 it
# rose to 95.2 %.
PROBE_EXAMPLES = 4096
STEP_EXAMPLES = 128
# In symbols: Adam moves a latent by about this much at first.
LEARNING_RATE = 0.15
MEMBERS_AT_ONCE = 64
SEED = 0


@dataclass(frozen=True)
class Refiner:
    """What the sender needs beside encoder and receiver.

    Attributes:
        config: Says how many steps, and what a bit is worth beside a nat of KL.
        examples: Training examples on which functions are compared.
        task: The data set's.
    """

    config: AutoencoderConfig
    examples: Examples
    task: Task

    def __call__(self, receiver: Receiver, population: Population, latent_MZ: Tensor, gain_M: Tensor) -> Tensor:
        """Latents whose symbols cost less, all told, than those of ``latent_MZ``; never more.

        Args:
            receiver: Decoder and distributions.
            population: The networks as they were encoded.
            latent_MZ: The encoder's latents.
            gain_M: The networks' gains in quarter octaves.
        """
        if not self.config.refine_steps or not self.config.behavior_loss or receiver.symbols is None:
            return latent_MZ
        parts = [
            _Refinement(self, receiver, receiver.symbols, population.select(rows), gain_M[rows]).run(latent_MZ[rows])
            for rows in torch.arange(len(population)).split(MEMBERS_AT_ONCE)
        ]
        return torch.cat(parts) if parts else latent_MZ


class _Refinement:
    """One refinement of some members at once; members do not touch each other."""

    def __init__(
        self, refiner: Refiner, receiver: Receiver, symbols: Symbols, population: Population, gain_M: Tensor
    ) -> None:
        self.config = refiner.config
        self.receiver = receiver
        self.symbols = symbols
        self.population = population
        self.gain_M = gain_M
        self.location_Z = torch.from_numpy(symbols.prior.location)
        self.scale_Z = torch.from_numpy(symbols.prior.scale * symbols.laplace_factor)
        self.examples = refiner.examples
        self.x = refiner.examples.inputs
        self.behavior = Behavior(
            population,
            refiner.examples,
            outputs(population, refiner.examples),
            softmax=refiner.task.has_classes,
            logit_spread=self.config.logit_spread,
        )

    def run(self, latent_MZ: Tensor) -> Tensor:
        """The better of the refined and the given latents, for each member."""
        start_MZ = latent_MZ / self.symbols.step_Z
        symbols_MZ = start_MZ.clone().requires_grad_()
        optimizer = Adam([symbols_MZ], lr=LEARNING_RATE)
        generator = torch.Generator().manual_seed(SEED)
        for step in range(self.config.refine_steps):
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / self.config.refine_steps))
            chosen = torch.randint(len(self.x), (min(STEP_EXAMPLES, len(self.x)),), generator=generator)
            optimizer.zero_grad(set_to_none=True)
            (gradient,) = torch.autograd.grad(self._cost(symbols_MZ, chosen).sum(), symbols_MZ)
            symbols_MZ.grad = gradient
            optimizer.step()
        with torch.no_grad():
            better_M = self._cost(symbols_MZ) < self._cost(start_MZ)
            return torch.where(better_M[:, None], symbols_MZ, start_MZ) * self.symbols.step_Z

    def _cost(self, symbols_MZ: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Behavioral error and rate ``[M]``, weighted as in the fit; symbols rounded, straight through.

        On the chosen examples; without a choice on all, and then without gradients.
        """
        rounded_MZ = symbols_MZ + (torch.round(symbols_MZ) - symbols_MZ).detach()
        weights_MP = self.receiver.weights(rounded_MZ * self.symbols.step_Z, self.gain_M)
        if chosen is None:
            error_M = self.behavior.distance(outputs(self.population, self.examples, weights_MP))
        else:
            error_M = self.behavior.distance(self.population.logits(self.x[chosen], weights_MP), chosen)
        bits_MZ = laplace_bits((symbols_MZ - self.location_Z).abs(), torch.full((), 0.5), self.scale_Z)
        rate_M = bits_MZ.sum(1) / self.population.parameters
        return self.config.behavior_loss * error_M + self.config.rate_loss * rate_M
