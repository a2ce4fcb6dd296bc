"""Optimizers for whole populations: one flat buffer, a learning rate and weight decay per entry.

Each follows the update of its namesake in ``torch.optim`` at that class's default coefficients. All state, the count
of steps too, is in tensors that stay in place, so that a step can be captured (``zoo.training.device``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.config import lookup

MOMENTUM = 0.9
BETA1, BETA2 = 0.9, 0.999
RMS_ALPHA = 0.99
EPSILON = 1e-8


class PopulationOptimizer:
    """Updates a flat buffer of many members' parameters in place.

    Attributes:
        parameters: Flat buffer of any shape.
        learning_rate: Same shape: every entry's step size.
        weight_decay: Same shape, or ``None`` where no member has any.
    """

    def __init__(self, parameters: Tensor, learning_rate: Tensor, weight_decay: Tensor | None) -> None:
        self.parameters = parameters
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def step(self, gradient: Tensor) -> None:
        """Applies one update; ``gradient`` has the shape of the parameters and may be overwritten."""
        if self.weight_decay is not None:
            gradient.addcmul_(self.weight_decay, self.parameters)
        self.update(gradient)

    def update(self, gradient: Tensor) -> None:
        """The optimizer's own rule, weight decay already added to the gradient."""
        raise NotImplementedError


class Sgd(PopulationOptimizer):
    """``torch.optim.SGD``."""

    def update(self, gradient: Tensor) -> None:
        self.parameters.addcmul_(gradient, self.learning_rate, value=-1)


class Momentum(PopulationOptimizer):
    """``torch.optim.SGD`` with momentum 0.9."""

    def __init__(self, parameters: Tensor, learning_rate: Tensor, weight_decay: Tensor | None) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        self.velocity = torch.zeros_like(parameters)

    def update(self, gradient: Tensor) -> None:
        self.velocity.mul_(MOMENTUM).add_(gradient)
        self.parameters.addcmul_(self.velocity, self.learning_rate, value=-1)


class RmsProp(PopulationOptimizer):
    """``torch.optim.RMSprop``."""

    def __init__(self, parameters: Tensor, learning_rate: Tensor, weight_decay: Tensor | None) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        self.square = torch.zeros_like(parameters)
        self.denominator = torch.empty_like(parameters)

    def update(self, gradient: Tensor) -> None:
        self.square.mul_(RMS_ALPHA).addcmul_(gradient, gradient, value=1 - RMS_ALPHA)
        torch.sqrt(self.square, out=self.denominator).add_(EPSILON)
        self.parameters.addcmul_(gradient.div_(self.denominator), self.learning_rate, value=-1)


class Adam(PopulationOptimizer):
    """``torch.optim.Adam`` (Kingma and Ba 2015, Algorithm 1).

    Torch's fused kernel knows one learning rate for all entries. It therefore moves a buffer of zeros with rate 1,
    and the result is scaled by each entry's own rate: one pass over the moments instead of six.
    """

    def __init__(self, parameters: Tensor, learning_rate: Tensor, weight_decay: Tensor | None) -> None:
        super().__init__(parameters, learning_rate, weight_decay)
        self.mean = torch.zeros_like(parameters)
        self.square = torch.zeros_like(parameters)
        self.move = torch.zeros_like(parameters)
        self.steps = torch.zeros((), device=parameters.device)

    def update(self, gradient: Tensor) -> None:
        self.steps.add_(1)
        torch.ops.aten._fused_adam_(
            [self.move],
            [gradient],
            [self.mean],
            [self.square],
            [],
            [self.steps],
            lr=1.0,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
        self.parameters.addcmul_(self.move, self.learning_rate)
        self.move.zero_()


class AdamW(Adam):
    """``torch.optim.AdamW`` (Loshchilov and Hutter 2019, Algorithm 2): decay acts on the weights themselves."""

    def __init__(self, parameters: Tensor, learning_rate: Tensor, weight_decay: Tensor | None) -> None:
        super().__init__(parameters, learning_rate, None)
        self.keep = None if weight_decay is None else 1 - learning_rate * weight_decay

    def update(self, gradient: Tensor) -> None:
        if self.keep is not None:
            self.parameters.mul_(self.keep)
        super().update(gradient)


OPTIMIZERS: dict[str, type[PopulationOptimizer]] = {
    "sgd": Sgd,
    "momentum": Momentum,
    "adam": Adam,
    "adamw": AdamW,
    "rmsprop": RmsProp,
}


def find_optimizer(name: str) -> type[PopulationOptimizer]:
    """The optimizer of a name in ``OPTIMIZERS``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is none, or it is no :class:`PopulationOptimizer`.
    """
    found = lookup(OPTIMIZERS, name, "optimizer")
    if not (isinstance(found, type) and issubclass(found, PopulationOptimizer)):
        raise ValueError(
            f"optimizer {name!r} is {found!r}; it must be a subclass of zoo.population.optimizers.PopulationOptimizer"
        )
    return found
