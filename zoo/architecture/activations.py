"""Activation functions: the forward, the module, and the gradient in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation function.

    Attributes:
        forward: Elementwise function.
        module: The same as a ``torch.nn`` module.
        backward_: ``(gradient, pre, post) -> None``: multiplies ``gradient`` by the derivative, in place,
            given the values before and after the activation.
        needs_post: Whether ``backward_`` reads ``post`` (else it reads ``pre``).
        homogeneous: Whether f(a·x) = a·f(x) for every a > 0, which makes neuron scales a symmetry.
    """

    forward: Callable[[Tensor], Tensor]
    module: Callable[[], nn.Module]
    backward_: Callable[[Tensor, Tensor, Tensor], object]
    needs_post: bool = False
    homogeneous: bool = False


LEAKY_SLOPE = 0.01

ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(
        torch.relu,
        nn.ReLU,
        lambda gradient, pre, _post: aten.threshold_backward.grad_input(gradient, pre, 0, grad_input=gradient),
        homogeneous=True,
    ),
    "leaky_relu": Activation(
        lambda x: F.leaky_relu(x, LEAKY_SLOPE),
        lambda: nn.LeakyReLU(LEAKY_SLOPE),
        lambda gradient, pre, _post: aten.leaky_relu_backward.grad_input(
            gradient, pre, LEAKY_SLOPE, False, grad_input=gradient
        ),
        homogeneous=True,
    ),
    "tanh": Activation(
        torch.tanh,
        nn.Tanh,
        lambda gradient, _pre, post: aten.tanh_backward.grad_input(gradient, post, grad_input=gradient),
        needs_post=True,
    ),
    "sigmoid": Activation(
        torch.sigmoid,
        nn.Sigmoid,
        lambda gradient, _pre, post: aten.sigmoid_backward.grad_input(gradient, post, grad_input=gradient),
        needs_post=True,
    ),
    "gelu": Activation(
        F.gelu,
        nn.GELU,
        lambda gradient, pre, _post: aten.gelu_backward.grad_input(gradient, pre, grad_input=gradient),
    ),
    "silu": Activation(
        F.silu,
        nn.SiLU,
        lambda gradient, pre, _post: aten.silu_backward.grad_input(gradient, pre, grad_input=gradient),
    ),
}
