"""The sender's half of the function-metric codec: from measured networks to symbols.

Shape letters: M members, N images, H units, D inputs of a layer with the bias, R coefficients of a first-layer
neuron, K entries of a token, T tokens of a layer, E step exponents of a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.codecs.entropy import Array
from trainables.codecs.function_metric.config import FunctionMetricConfig
from trainables.codecs.function_metric.networks import Networks, apply_rows, with_ones
from trainables.codecs.function_metric.rounding import round_with_feedback
from trainables.codecs.function_metric.transform import EXPONENTS_PER_OCTAVE, LARGEST_EXPONENT, Symbols, Transform


@dataclass(frozen=True)
class Sender:
    """Encodes networks for a transform.

    Attributes:
        config: How symbols are chosen.
        transform: How symbols become weights.
        analysis_DR: First-layer rows to coefficients.
        x_ND: Flattened training images.
        costs: For each layer, what symbols cost in its units' tokens and in its bias; empty where nothing is
            known yet, and symbols are rounded to the nearest.
    """

    config: FunctionMetricConfig
    transform: Transform
    analysis_DR: Tensor
    x_ND: Tensor
    costs: Sequence[Sequence[Tensor]]

    def encode(self, networks: Networks) -> tuple[Symbols, Tensor]:
        """Symbols of some networks of one architecture.

        Returns:
            The symbols, and the last layer's coefficients ``[M, T, K]`` in steps before prediction and rounding.
        """
        exponents_ME = step_exponents(networks)
        layers: list[Tensor] = []
        targets_MTK = torch.empty(0)
        inputs = self.x_ND
        for index, rows_MHD in enumerate(networks.rows):
            scales_MT = self.transform.scales(index, exponents_ME)
            if index:
                inputs_MND = with_ones(inputs, rows_MHD.shape[2])
                moment_MDD = inputs_MND.transpose(1, 2) @ inputs_MND / inputs_MND.shape[1]
                rows_MHD = refitted(rows_MHD, inputs_MND, moment_MDD, networks.targets[index], self.config.refit_ridge)
                gram_MTT = moment_MDD * scales_MT.unsqueeze(1) * scales_MT.unsqueeze(2)
                vectors_MTK = rows_MHD.transpose(1, 2)
                if index == len(networks.rows) - 1:
                    vectors_MTK = vectors_MTK @ self.transform.class_basis.T
            else:
                gram_MTT = networks.grams[0]
                vectors_MTK = rows_MHD @ self.analysis_DR
            targets_MTK = vectors_MTK / scales_MT.unsqueeze(2)
            predicted = self.transform.predicted(index, layers)
            symbols_MTK = round_with_feedback(targets_MTK - predicted, gram_MTT, self._token_costs(index), self.config)
            layers.append(symbols_MTK)
            if index < len(networks.functions):
                decoded_MHD = self.transform.rows(index, symbols_MTK + predicted, scales_MT)
                inputs = networks.activate(index, apply_rows(decoded_MHD, inputs))
        integers = tuple(layer.to(torch.int32).numpy() for layer in layers)
        return Symbols(exponents_ME, integers), targets_MTK

    def _token_costs(self, index: int) -> list[Tensor | None]:
        """The costs of each token of a layer."""
        tokens, entries = self.transform.tokens(index), self.transform.entries(index)
        if not self.costs:
            return [None] * tokens
        units = self.transform.units(index) if index else tokens
        parts = [costs_KS.expand(entries, -1) for costs_KS in self.costs[index]]
        return [parts[0] if token < units else parts[1] for token in range(tokens)]


def step_exponents(networks: Networks) -> Array:
    """The steps of each layer that put equal error on the logits, relative to their spread: ``[M, E]`` int32."""
    steps = []
    for index, gram_MHH in enumerate(networks.grams):
        dependence_M = gram_MHH.diagonal(dim1=1, dim2=2).mean(dim=1).sqrt()
        outputs_M = networks.spread_M / dependence_M
        if index:
            inputs_MNH = networks.activate(index - 1, networks.targets[index - 1])
            steps.append(outputs_M / inputs_MNH.square().mean(dim=(1, 2)).sqrt())
        steps.append(outputs_M)
    exponents_ME = (EXPONENTS_PER_OCTAVE * torch.stack(steps, dim=1).log2()).round()
    largest = float(LARGEST_EXPONENT)
    return exponents_ME.nan_to_num(0.0).clamp(-largest, largest).to(torch.int32).numpy()


def refitted(rows_MHD: Tensor, inputs_MND: Tensor, moment_MDD: Tensor, outputs_MNH: Tensor, ridge: float) -> Tensor:
    """The rows that give the wanted outputs from the inputs there are, by ridge regression towards the old rows."""
    width = rows_MHD.shape[2]
    ridge_M = ridge * moment_MDD.diagonal(dim1=1, dim2=2).mean(dim=1) + 1e-12
    ridge_MDD = ridge_M[:, None, None].double() * torch.eye(width, dtype=torch.float64)
    product_MDH = (inputs_MND.transpose(1, 2) @ outputs_MNH / inputs_MND.shape[1]).double()
    right_MDH = product_MDH + ridge_MDD @ rows_MHD.transpose(1, 2).double()
    return torch.linalg.solve(moment_MDD.double() + ridge_MDD, right_MDH).transpose(1, 2).float()
