"""The sender's half of the function-metric codec: from measured networks to symbols.

Shape letters: M members, N examples, S positions, H outputs of a layer, D inputs of an output with the bias, U units
that a layer reads, B entries of each, R coefficients of a row, K entries of a token, T tokens of a layer, E step
exponents of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from trainables.codecs.distilled_rounding import distilled
from trainables.codecs.entropy import Array
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.networks import Networks
from trainables.codecs.function_metric.rounding import LARGEST_COSTED, bits_of, round_with_feedback
from trainables.codecs.function_metric.transform import EXPONENTS_PER_OCTAVE, LARGEST_EXPONENT, Symbols, Transform
from zoo.data.examples import Examples
from zoo.evaluation import Imitation
from zoo.population import Population
from zoo.views.moments import second_moment
from zoo.views.weight_layers import WeightLayer

# Networks trained at once: the kernel takes sixteen in a group.
MEMBERS_AT_ONCE = 64


@dataclass(frozen=True)
class Sender:
    """Encodes networks for a transform.

    Attributes:
        config: How symbols are chosen.
        transform: How symbols become weights.
        moments: For each layer whose inputs have names, their second moment ``[D, D]``; for others nothing is known.
        whitening: For each layer what makes its inputs equally large in all directions.
        examples: Training examples; on the first ``config.images`` networks are measured.
        costs: For each layer, what symbols cost in each of the arrays of :meth:`Transform.parts`; empty where
            nothing is known yet, and symbols are rounded to the nearest.
        distance: How far from their originals rounding leaves training members on average, as they are distilled.
    """

    config: FunctionMetricConfig
    transform: Transform
    moments: Sequence[Tensor | None]
    whitening: Sequence[Tensor]
    examples: Examples
    costs: Sequence[Sequence[Tensor]] = ()
    distance: float = 0.0

    @cached_property
    def x(self) -> Tensor:
        """What networks are measured on: ``[N, *input_shape]``."""
        return self.examples.first(self.config.images).inputs

    @cached_property
    def analyses(self) -> tuple[Tensor, ...]:
        """For each layer the ``[D, R]`` or ``[B, B]`` that turns rows into the nearest coefficients."""
        return tuple(
            least_squares(basis, moment) if moment is not None else torch.linalg.inv(basis.double()).float()
            for basis, moment in zip(self.transform.bases, self.moments, strict=True)
        )

    def encode(self, networks: Networks, *, finer: int = 0) -> tuple[Symbols, Tensor]:
        """Symbols of some networks of one architecture.

        Args:
            networks: As they were measured.
            finer: How much smaller the step exponents are than the outputs' dependence on the weights suggests.

        Returns:
            The symbols, and the last layer's coefficients ``[M, T, K]`` in steps before prediction and rounding.
        """
        exponents_ME = np.maximum(step_exponents(networks, self.transform) - finer, -LARGEST_EXPONENT)
        encoding = _Encoding(self, networks, exponents_ME)
        with torch.no_grad():
            networks.architecture.apply(encoding.tensors, self.x, around_weights=encoding.layer)
        integers = tuple(layer.to(torch.int32).numpy() for layer in encoding.symbols)
        return Symbols(encoding.exponents_ME, integers), encoding.targets_MTK

    @torch.no_grad()
    def disagreement(self, networks: Networks, symbols: Symbols) -> Tensor:
        """Share of the examples for which networks and what symbols decode to predict different classes: ``[M]``."""
        layers = [torch.from_numpy(layer).float() for layer in symbols.layers]
        tensors = self.transform.all_tensors(layers, symbols.exponents_ME)
        decoded_MNC = networks.architecture.apply(tensors, self.x)
        return (decoded_MNC.argmax(dim=2) != networks.predicted_MN).double().mean(dim=1)

    def distilled(self, population: Population, symbols: Symbols) -> Symbols:
        """Symbols after training, where the configuration says so; see ``trainables.codecs.distilled_rounding``.

        Args:
            population: The networks, without batch norms.
            symbols: Theirs, as they were rounded.
        """
        if not self.config.distill_steps:
            return symbols
        examples = self.examples.first(self.config.distill_images)
        for _, every in population.groups():
            for rows in every.split(MEMBERS_AT_ONCE):
                own = symbols.select(rows.numpy())
                found_MQ = distilled(
                    population.select(rows),
                    examples,
                    own.flat(),
                    partial(self.transform.folded_weights, own.exponents_ME),
                    partial(bits_of, costs_KS=self.symbol_costs),
                    softmax=self.transform.softmax,
                    steps=self.config.distill_steps,
                    bit=self.config.distill_price * self.distance / own.flat().shape[1],
                )
                symbols = symbols.replaced(rows.numpy(), own.with_flat(found_MQ))
        return symbols

    def distances(self, population: Population, symbols: Symbols) -> Tensor:
        """How far what symbols decode to is from networks without batch norms, as they are distilled: ``[M]``."""
        found_M, examples = torch.empty(len(population)), self.examples.first(self.config.images)
        for _, rows in population.groups():
            imitation = Imitation(population.select(rows), examples, softmax=self.transform.softmax, batch=1)
            own = symbols.select(rows.numpy())
            found_M[rows] = imitation.distance(self.transform.folded_weights(own.exponents_ME, own.flat()))
        return found_M

    @cached_property
    def symbol_costs(self) -> Tensor:
        """What each symbol of a network costs: ``[Q, S]``; nothing where no costs are known."""
        if not self.costs:
            return torch.zeros(1, 2 * LARGEST_COSTED + 1)
        return torch.cat(
            [
                cost.expand(self.transform.entries(index), -1)
                for index in range(len(self.transform.layers))
                for cost in self.token_costs(index)
                if cost is not None
            ]
        )

    def token_costs(self, index: int) -> list[Tensor | None]:
        """The costs of each token of a layer: ``[K, S]``, or ``[1, S]`` where its entries share a table."""
        layer, tokens = self.transform.layers[index], self.transform.tokens(index)
        if not self.costs:
            return [None] * tokens
        own = self.costs[index]
        if layer.named:
            return [own[0]] * tokens
        if layer.name == self.transform.final and layer.entries == 1:
            weights = [own[0]] * layer.units
        else:
            weights = [row.unsqueeze(0) for row in own[0]] * layer.units
        return [*weights, *own[1:]]


@dataclass
class _Encoding:
    """One pass of networks through their layers: each is encoded when its decoded inputs are known."""

    sender: Sender
    networks: Networks
    exponents_ME: Array
    tensors: dict[str, Tensor] = field(default_factory=dict)
    symbols: list[Tensor] = field(default_factory=list)
    targets_MTK: Tensor = field(default_factory=lambda: torch.empty(0))

    def layer(self, name: str, x: Tensor, apply: Callable[[], Tensor]) -> Tensor:
        """Encodes a layer given what the decoded layers before it give it, then applies the decoded layer."""
        transform, index = self.sender.transform, len(self.symbols)
        layer, gram_MHH = transform.layers[index], self.networks.sensitivities[index].gram_MHH
        scales_MT = transform.scales(index, self.exponents_ME)
        costs, config = self.sender.token_costs(index), self.sender.config
        predicted = transform.predicted(index, self.symbols)
        if layer.named:
            self.targets_MTK = self.networks.rows[index] @ self.sender.analyses[index] / scales_MT.unsqueeze(2)
            rest_MTK, inputs_MRR = self.targets_MTK - predicted, self._coefficient_gram(index)
            if inputs_MRR is None:
                symbols_MTK = round_with_feedback(rest_MTK, gram_MHH, None, costs, config)
            else:
                by_coefficient = [None] * len(inputs_MRR[0]) if costs[0] is None else list(costs[0].unsqueeze(1))
                symbols_MTK = round_with_feedback(rest_MTK.mT, inputs_MRR, gram_MHH, by_coefficient, config).mT
        else:
            scaled_MTT, self.targets_MTK = self._refitted(index, layer, x, scales_MT)
            between_outputs = None if name == transform.final else gram_MHH
            rest_MTK = self.targets_MTK - predicted
            symbols_MTK = round_with_feedback(rest_MTK, scaled_MTT, between_outputs, costs, config)
        self.symbols.append(symbols_MTK)
        self.tensors |= transform.tensors(index, transform.rows(index, symbols_MTK + predicted, scales_MT))
        return apply()

    def _coefficient_gram(self, index: int) -> Tensor | None:
        """How errors of two coefficients of a row add up ``[M, R, R]``, where they do; else ``None``."""
        inputs_MDD = self.networks.sensitivities[index].inputs_MDD
        if inputs_MDD is None:
            return None
        basis_RD = self.sender.transform.bases[index]
        whitened_RD = torch.linalg.solve(self.sender.whitening[index].double(), basis_RD.T.double()).T.float()
        return whitened_RD @ inputs_MDD @ whitened_RD.T

    def _refitted(self, index: int, layer: WeightLayer, x: Tensor, scales_MT: Tensor) -> tuple[Tensor, Tensor]:
        """What gives the wanted outputs from the inputs there are, by least squares.

        The ridge is what rounding and the size of the weights suggest, so what has no effect goes to zero.

        Returns:
            (second moment of the inputs ``[M, T, T]``, what is to be rounded ``[M, T, K]``), both in steps.
        """
        transform = self.sender.transform
        read, last = layer.units * layer.entries, layer.name == transform.final
        patches = layer.patches(x)
        rows_MHD = self.networks.rows[index]
        if layer.entries > 1:
            patches = layer.by_unit(patches, transform.bases[index].T)
            rows_MHD = layer.by_unit(rows_MHD, self.sender.analyses[index])
        inputs_MND = patches.flatten(1, 2)
        outer_MTT = scales_MT.unsqueeze(1) * scales_MT.unsqueeze(2)
        moment_MTT = second_moment(patches) * outer_MTT
        own_M = (rows_MHD[..., :read] / scales_MT[:, None, :read]).square().flatten(1).median(dim=1).values
        ridge_M = self.sender.config.refit_ridge / own_M.clamp_min(1.0)
        ridge_M = ridge_M * moment_MTT.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-30
        product_MTH = inputs_MND.transpose(1, 2) @ self.networks.targets[layer.name] / inputs_MND.shape[1]
        ridge_MTT = ridge_M[:, None, None].double() * torch.eye(layer.width, dtype=torch.float64)
        right_MTH = (product_MTH * scales_MT.unsqueeze(2)).double()
        wanted_MTH = torch.linalg.solve(moment_MTT.double() + ridge_MTT, right_MTH).float()
        return moment_MTT, wanted_MTH @ transform.class_basis.T if last else wanted_MTH


def step_exponents(networks: Networks, transform: Transform) -> Array:
    """The steps of each layer that put equal error on the logits, relative to their spread: ``[M, E]`` int32.

    A step is the logits' spread over their rms dependence on a whitened weight.
    """
    steps = []
    for layer, measured in zip(transform.layers, networks.sensitivities, strict=True):
        weights = measured.square_MHD if layer.named else measured.square_MHD[..., : layer.units * layer.entries]
        steps.append(networks.spread_M / weights.mean(dim=(1, 2)).sqrt())
        if layer.bias is not None and not layer.named:
            steps.append(networks.spread_M / measured.square_MHD[..., -1].mean(dim=1).sqrt())
    exponents_ME = (EXPONENTS_PER_OCTAVE * torch.stack(steps, dim=1).log2()).round()
    largest = float(LARGEST_EXPONENT)
    return exponents_ME.nan_to_num(0.0).clamp(-largest, largest).to(torch.int32).numpy()


def least_squares(basis_RD: Tensor, moment_DD: Tensor) -> Tensor:
    """The ``[D, R]`` that turns rows into those coefficients of a basis which are nearest in the function metric."""
    basis = basis_RD.double()
    gram_RR = basis @ moment_DD @ basis.T
    gram_RR += 1e-9 * gram_RR.diagonal().mean() * torch.eye(len(basis), dtype=torch.float64)
    return torch.linalg.solve(gram_RR, basis @ moment_DD).T.float()
