"""Rounding by distillation: a network whose weights are symbols is trained to do what the original does.

Rounding one weight after the other, however well errors are fed back, knows of a network what a quadratic model says.
Here the rounded network itself is trained, on examples without labels: gradients at the rounded symbols move continuous
ones behind them (straight through the rounding), and the price of bits pulls these to where symbols are cheap. A few
hundred numbers say what a small network does; its other degrees of freedom are spent on symbols that cost little. What
receivers do is not touched.

Shape letters: M members, P parameters, Q symbols of a network, B examples of a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from trainables.adam import Adam
from zoo.data.examples import Examples
from zoo.evaluation import Imitation
from zoo.population import Population

# Examples of a step.
BATCH = 32
# In symbols: Adam moves one by about this much at first.
LEARNING_RATE = 0.05
SEED = 0


def distilled(
    population: Population,
    examples: Examples,
    symbols_MQ: Tensor,
    weights_of: Callable[[Tensor], Tensor],
    bits_of: Callable[[Tensor], Tensor],
    *,
    softmax: bool,
    steps: int,
    bit: float,
) -> Tensor:
    """Symbols of networks that do what others do, at fewer bits or more faithfully than those given.

    Args:
        population: The originals, of one architecture without batch norms.
        examples: What they are imitated on; labels are not read.
        symbols_MQ: Where to begin: integers, as floats.
        weights_of: From symbols to ``weights_MP``, differentiable.
        bits_of: From symbols, integers as floats, to what each costs: ``[M, Q]``.
        softmax: Whether outputs are logits of classes.
        steps: Steps of Adam.
        bit: What a bit is worth, in units of the distance. The same for all networks, so that none gives bits for less
            than another would pay for them.

    Returns:
        Integers ``[M, Q]``, as floats; of a member for which distance plus price of the bits did not fall, those given.
    """
    batch = min(BATCH, len(examples))
    imitation = Imitation(population, examples, softmax=softmax, batch=batch)
    distance_M = imitation.distance(weights_of(symbols_MQ))
    moved_MQ = symbols_MQ.clone().requires_grad_()
    optimizer = Adam([moved_MQ])
    generator = torch.Generator().manual_seed(SEED)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(examples), generator=generator)
        chosen_B, order = order[:batch], order[batch:]
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        rounded_MQ = moved_MQ.detach().round().requires_grad_()
        weights_MP = weights_of(rounded_MQ)
        (gradient_MQ,) = torch.autograd.grad(weights_MP, rounded_MQ, imitation.gradients(weights_MP.detach(), chosen_B))
        # A network that overflows is left where it is, and in the end gets what it had.
        gradient_MQ = torch.where(torch.isfinite(gradient_MQ).all(dim=1, keepdim=True), gradient_MQ, 0.0)
        below_MQ = moved_MQ.detach().floor()
        moved_MQ.grad = gradient_MQ + bit * (bits_of(below_MQ + 1) - bits_of(below_MQ))
        optimizer.step()
    found_MQ = moved_MQ.detach().round()
    saved_M = (bits_of(symbols_MQ) - bits_of(found_MQ)).sum(dim=1)
    better_M = imitation.distance(weights_of(found_MQ)) - bit * saved_M < distance_M
    return torch.where(better_M[:, None], found_MQ, symbols_MQ)
