"""Adversarial training: members learn from examples that were moved so that their own loss is large.

One step along the gradient's sign is FGSM (Goodfellow, Shlens and Szegedy, ICLR 2015, arXiv 1412.6572, section 4),
several with a projection onto the ball are PGD (Madry et al., ICLR 2018, arXiv 1706.06083, section 2.1). As there, the
loss is that of the moved examples alone. An attack is on the network as it is in that step: with its dropout masks,
its noise on the weights and the statistics of the moved minibatch.

Shape letters: M members, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.draws import DeviceDraws

# A step of PGD, in shares of the ball's radius divided by the number of steps.
STEP_SHARE = 2.5


class Adversary:
    """Attacks on the minibatches of one group of members, which have as many steps.

    Attributes:
        draws: Where attacks start; ``None`` where that is at the examples.
    """

    def __init__(
        self,
        members: Sequence[Member],
        input_shape: tuple[int, ...],
        batch: int,
        limits: tuple[float, float] | None,
        device: torch.device,
    ) -> None:
        """Prepares what is the same in every step.

        Args:
            members: Whose seeds, radii and steps are used.
            input_shape: Of one example.
            batch: Examples a step.
            limits: The least and the largest value of an input; ``None`` for any.
            device: Where.
        """
        self.steps = members[0].attack_steps
        self.limits = limits
        self.shape = (len(members), batch, *input_shape)
        self.radius = torch.tensor([member.adversarial_epsilon for member in members], device=device)
        self.radius = self.radius.view(-1, *[1] * (len(input_shape) + 1))
        self.step_size = self.radius * (1 if self.steps == 1 else STEP_SHARE / self.steps)
        self.draws: DeviceDraws | None = None
        if self.steps > 1:
            seeds = [member.seed for member in members]
            self.draws = DeviceDraws(Purpose.ATTACK, seeds, batch * math.prod(input_shape), device)

    def attack(self, loss: Callable[[Tensor], Tensor], examples: Tensor, step: Tensor) -> Tensor:
        """The moved examples of every member, ``[M, B, *input]``, without gradient.

        Args:
            loss: From examples ``[M, B, *input]`` to the sum of all losses.
            examples: ``[B, *input]``, or ``[M, B, *input]`` where members have their own.
            step: The step within the epoch, int64 ``[1]`` on the device.
        """
        clean = examples.expand(self.shape)
        moved = clean
        if self.draws is not None:
            moved = self._within_limits(clean + self.radius * self.draws.uniform(step).view(self.shape))
        for _ in range(self.steps):
            moved = moved.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(moved), moved)
            with torch.no_grad():
                offset = moved + self.step_size * gradient.sign() - clean
                moved = self._within_limits(clean + offset.clamp(-self.radius, self.radius))
        return moved

    def _within_limits(self, moved: Tensor) -> Tensor:
        return moved if self.limits is None else moved.clamp(*self.limits)


def pixel_limits(values: Tensor, scale: float) -> tuple[float, float] | None:
    """The least and the largest value of pixels, black and the brightest one; ``None`` for other inputs.

    Not all data sets use a byte's whole range: those of scikit-learn's digits go to 16.

    Args:
        values: All training examples: bytes, or float32 for inputs without limits.
        scale: What one step of a pixel is worth.
    """
    return (0.0, float(values.max()) * scale) if values.dtype == torch.uint8 else None
