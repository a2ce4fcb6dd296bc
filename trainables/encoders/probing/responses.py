"""What networks make of inputs: outputs, and what is read of hidden layers whatever the order of their units.

Shape letters: M members, N examples, C outputs, U units of a hidden layer, S positions of a unit (1 in a vector),
F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.views.weight_layers import weight_layers

ROLES = ("first", "last", "mean over all")
"""Of hidden layers: what networks of any depth have, and up to three layers all that there is."""

MOMENTS = ("mean", "log deviation", "log deviation of units' means", "share above zero")

# Added to variances, whose logarithm and root then have a gradient.
TINY = 1e-6


class Responses(NamedTuple):
    """What members of one architecture make of inputs, differentiable by both.

    Attributes:
        outputs_MNC: Their outputs.
        weighed: What each hidden linear layer and convolution gives, in order of application: ``[M, N, U, *S]``.
        activated: What each activation gives.
    """

    outputs_MNC: Tensor
    weighed: list[Tensor]
    activated: list[Tensor]


def responses(architecture: Architecture, weights_MP: Tensor, x: Tensor) -> Responses:
    """Applies members to examples ``[N, *input_shape]`` and keeps what hidden layers give."""
    hidden = {layer.name for layer in weight_layers(architecture) if layer.interchangeable}
    weighed: list[Tensor] = []
    activated: list[Tensor] = []

    def around_weights(name: str, _: Tensor, apply: Callable[[], Tensor]) -> Tensor:
        given = apply()
        if name in hidden:
            weighed.append(given)
        return given

    def after_activation(_: int, given: Tensor) -> Tensor:
        activated.append(given)
        return given

    outputs_MNC = architecture.apply(architecture.tensors(weights_MP), x, after_activation, None, around_weights)
    return Responses(outputs_MNC, weighed, activated)


class Units(NamedTuple):
    """What is kept of each unit of a hidden layer for each example.

    Attributes:
        mean_MNU: Over positions.
        square_MNU: Mean square over positions.
    """

    mean_MNU: Tensor
    square_MNU: Tensor


def units(given: Tensor) -> Units:
    """Of a hidden layer's values ``[M, N, U, *S]``."""
    if given.ndim == 3:
        return Units(given, given.square())
    members, examples, count = given.shape[:3]
    # Convolutions leave channels last, so that this is a view.
    values_NSK = given.flatten(3).permute(1, 3, 0, 2).flatten(2)
    found = OverPositions.apply(values_NSK)
    return Units(*(each_NK.view(examples, members, count).transpose(0, 1) for each_NK in found))


class OverPositions(torch.autograd.Function):
    """Mean and mean square over positions: ``[N, S, K]`` to ``[N, K]`` twice.

    As one function, since gradients of convolutions' outputs are what most of a step's time goes into: the two are
    added in one pass over them.
    """

    @staticmethod
    def forward(context: Any, values_NSK: Tensor) -> tuple[Tensor, Tensor]:
        """The two means."""
        context.save_for_backward(values_NSK)
        return values_NSK.mean(1), values_NSK.square().mean(1)

    @staticmethod
    def backward(context: Any, mean_NK: Tensor, square_NK: Tensor) -> Tensor:
        """The gradient by the values, given those by the two means."""
        (values_NSK,) = context.saved_tensors
        positions = values_NSK.shape[1]
        return torch.addcmul((mean_NK / positions)[:, None], values_NSK, (2 / positions * square_NK)[:, None])


def moments(given: Tensor, of: Units) -> Tensor:
    """``MOMENTS`` over a layer's units and their positions for each example, ``[M, N, 4]``; a share has no gradient.

    Args:
        given: The layer's values ``[M, N, U, *S]``.
        of: :func:`units` of them.
    """
    mean_MN = of.mean_MNU.mean(2)
    squares = (of.square_MNU.mean(2), of.mean_MNU.square().mean(2))
    deviations = [0.5 * torch.log(_variance(square_MN, mean_MN)) for square_MN in squares]
    active_MN = (given.detach() > 0).to(given.dtype).flatten(2).mean(2)
    return torch.stack([compressed(mean_MN), *deviations, active_MN], dim=2)


def profiles(of: Units) -> Tensor:
    """Each unit over all examples: its mean, and its deviation over positions, ``[M, U, 2 N]``."""
    deviation_MNU = _variance(of.square_MNU, of.mean_MNU).sqrt()
    return compressed(torch.cat([of.mean_MNU, deviation_MNU], dim=1).transpose(1, 2))


def compressed(x: Tensor) -> Tensor:
    """The logarithm of 1 + |x| with the sign of x: responses of few networks are very large."""
    return x.sign() * x.abs().log1p()


def by_role(layers: Sequence[Tensor]) -> Tensor:
    """Features of hidden layers ``[M, F]`` each as ``[M, 3 F]``, in the order of ``ROLES``."""
    return torch.cat([layers[0], layers[-1], torch.stack(list(layers)).mean(0)], dim=1)


def _variance(square: Tensor, mean: Tensor) -> Tensor:
    return (square - mean.square()).clamp_min(0) + TINY
