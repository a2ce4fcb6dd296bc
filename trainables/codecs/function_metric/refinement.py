"""Symbols chosen anew by what all of them do together to the outputs.

Rounding goes layer by layer and knows of the layers to come only how the logits depend on what a layer gives. When all
symbols are known, changes of one are taken as long as they lower squared error of the outputs plus price of the bits.
What a change does is told to second order, anew in each round: the gradient exactly; the curvature is that of Gauss and
Newton over all symbols of a network at once, estimated from random directions of the logits.

Shape letters: M members, N examples, K directions of the logits, T tokens of a layer, Q symbols of a network, S symbols
of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.codecs.entropy import Array
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.networks import Networks
from trainables.codecs.function_metric.rounding import bits_of
from trainables.codecs.function_metric.transform import Transform
from zoo.views.sensitivity import derivatives

# The curvature's matrix has 16 million entries at most.
LARGEST_NETWORK = 4096
# Of each example the curvature is estimated in so many random directions of the logits.
DIRECTIONS = 2
EXAMPLES_AT_ONCE = 256
# Changes that lower the cost by less than this share of a unit error's are left.
SMALLEST_GAIN = 1e-4


@dataclass(frozen=True)
class Refinement:
    """What all networks have in common.

    Attributes:
        transform: How symbols become weights.
        config: The price of a bit, and how many rounds.
        x: Training examples ``[N, *input_shape]``.
        costs_QS: What each symbol of a network costs, by :func:`bit_costs`; ``None`` where nothing is known yet.
    """

    transform: Transform
    config: FunctionMetricConfig
    x: Tensor
    costs_QS: Tensor | None

    def __call__(self, networks: Networks, exponents_ME: Array, layers: Sequence[Tensor]) -> list[Tensor]:
        """Better symbols of some networks: for each layer ``[M, T, K]``.

        Raises:
            ValueError: A network has too many symbols.
        """
        symbols = sum(layer[0].numel() for layer in layers)
        if symbols > LARGEST_NETWORK:
            raise ValueError(
                f"refine_rounds is {self.config.refine_rounds} and a network has {symbols:,} symbols; allowed: at most "
                f"{LARGEST_NETWORK:,}. Set refine_rounds to 0"
            )
        members = [
            _Member(self, networks, row, exponents_ME[row : row + 1]).run([layer[row : row + 1] for layer in layers])
            for row in range(len(exponents_ME))
        ]
        return [torch.cat(parts) for parts in zip(*members, strict=True)]


class _Member:
    """The refinement of one network."""

    def __init__(self, common: Refinement, networks: Networks, row: int, exponents_1E: Array) -> None:
        self.common, self.networks, self.exponents_1E = common, networks, exponents_1E
        weights_1P = networks.weights_MP[row : row + 1]
        with torch.no_grad():
            self.wanted = [networks.architecture.logits(weights_1P, x) for x in common.x.split(EXAMPLES_AT_ONCE)]

    def run(self, layers: list[Tensor]) -> list[Tensor]:
        """Rounds of changes, as long as they lower what is measured."""
        error, gradient_Q = self.error(layers)
        unit = 0.0
        for seed in range(self.common.config.refine_rounds):
            curvature_QQ = self.curvature(layers, seed)
            unit = unit or float(curvature_QQ.diagonal().mean())
            changed = self.changed(layers, gradient_Q, curvature_QQ, unit)
            changed_error, changed_gradient_Q = self.error(changed)
            saved = self.bits(layers) - self.bits(changed)
            if error - changed_error + self.common.config.refine_price * unit * saved <= 0:
                break
            layers, error, gradient_Q = changed, changed_error, changed_gradient_Q
        return layers

    def error(self, layers: Sequence[Tensor]) -> tuple[float, Tensor]:
        """The mean over examples of the squared error of the logits, and half its gradient ``[Q]``."""
        transform, directions_KC = self.common.transform, self.networks.directions_KC
        own = [layer.clone().requires_grad_() for layer in layers]
        error, gradient_Q = 0.0, torch.zeros(sum(layer.numel() for layer in layers))
        with torch.enable_grad():
            for x, wanted_1NC in zip(self.common.x.split(EXAMPLES_AT_ONCE), self.wanted, strict=True):
                tensors = transform.all_tensors(own, self.exponents_1E)
                given_1NC = self.networks.architecture.apply(tensors, x)
                part = ((given_1NC - wanted_1NC) @ directions_KC.T).square().sum() / len(self.common.x)
                gradients = torch.autograd.grad(part / 2, own)
                gradient_Q += torch.cat([gradient.flatten() for gradient in gradients])
                error += float(part.detach())
        return error, gradient_Q

    def curvature(self, layers: Sequence[Tensor], seed: int) -> Tensor:
        """The mean over examples of JᵀJ, J the derivative of the logits by the symbols: ``[Q, Q]``."""
        transform, architecture = self.common.transform, self.networks.architecture
        weights_1P = architecture.flatten(transform.all_tensors(layers, self.exponents_1E))
        generator = torch.Generator().manual_seed(seed)
        size = sum(layer.numel() for layer in layers)
        curvature_QQ = torch.zeros(size, size)
        for part in self.common.x.split(EXAMPLES_AT_ONCE):
            signs = torch.randint(2, (len(part), DIRECTIONS, len(self.networks.directions_KC)), generator=generator)
            directions = (2.0 * signs - 1) / DIRECTIONS**0.5 @ self.networks.directions_KC
            by_weights = [found[0].flatten(0, 1) for found in derivatives(architecture, weights_1P, part, directions)]
            by_symbols = self.by_symbols(layers, by_weights)
            curvature_QQ.addmm_(by_symbols.T, by_symbols)
        return curvature_QQ / len(self.common.x)

    def by_symbols(self, layers: Sequence[Tensor], by_weights: Sequence[Tensor]) -> Tensor:
        """Derivatives by weights, for each layer ``[rows, H, D]``, as derivatives by symbols: ``[rows, Q]``."""
        transform, rows = self.common.transform, len(by_weights[0])
        exponents = self.exponents_1E.repeat(rows, axis=0)
        own = [torch.zeros(rows, *layer.shape[1:], requires_grad=True) for layer in layers]
        with torch.enable_grad():
            tensors = transform.all_tensors(own, exponents)
            # The transform is linear: its transpose takes derivatives by weights to those by symbols.
            weights = [layer.rows(tensors) for layer in transform.layers]
            found = torch.autograd.grad(weights, own, list(by_weights))
        return torch.cat([gradient.flatten(1) for gradient in found], dim=1)

    def changed(self, layers: Sequence[Tensor], gradient_Q: Tensor, curvature_QQ: Tensor, unit: float) -> list[Tensor]:
        """Takes the best change of a symbol by one, again and again, until none is worth it."""
        symbols_Q = torch.cat([layer.flatten() for layer in layers])
        gradient_Q, diagonal_Q = gradient_Q.clone(), curvature_QQ.diagonal()
        price = self.common.config.refine_price * unit
        for _ in range(2 * len(symbols_Q)):
            bits_Q = self.each_bits(symbols_Q)
            costs_2Q = torch.stack(
                [
                    sign * 2 * gradient_Q + diagonal_Q + price * (self.each_bits(symbols_Q + sign) - bits_Q)
                    for sign in (1, -1)
                ]
            )
            best = int(costs_2Q.argmin())
            if float(costs_2Q.view(-1)[best]) > -SMALLEST_GAIN * unit:
                break
            sign, symbol = 1 - 2 * (best // len(symbols_Q)), best % len(symbols_Q)
            symbols_Q[symbol] += sign
            gradient_Q += sign * curvature_QQ[symbol]
        parts = symbols_Q.split([layer.numel() for layer in layers])
        return [part.view_as(layer) for part, layer in zip(parts, layers, strict=True)]

    def each_bits(self, symbols_Q: Tensor) -> Tensor:
        """What each symbol costs."""
        costs_QS = self.common.costs_QS
        return torch.zeros_like(symbols_Q) if costs_QS is None else bits_of(symbols_Q, costs_QS)

    def bits(self, layers: Sequence[Tensor]) -> float:
        """What all symbols cost."""
        return float(self.each_bits(torch.cat([layer.flatten() for layer in layers])).sum())
