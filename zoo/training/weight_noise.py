"""Noise on the parameters in training: each step sees networks some of whose neurons have other weights.

After Murray and Edwards, "Enhanced MLP performance and fault tolerance resulting from synaptic weight noise during
training" (IEEE Transactions on Neural Networks 5, 1994), with noise in proportion to the root mean square of a tensor,
and for a random share of the neurons alone.

Shape letters: M members, U neurons, P parameters with noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.architecture import Architecture
from zoo.population import Member
from zoo.streams import Purpose
from zoo.training.draws import DeviceDraws


class NoisyTensor(NamedTuple):
    """A tensor of incoming parameters: the first axis is that of the neurons.

    Attributes:
        name: Its name in the layout.
        shape: Its shape.
        neurons: Which of all neurons those of its first axis are.
        entries: Where its entries are among all parameters with noise.
    """

    name: str
    shape: tuple[int, ...]
    neurons: slice
    entries: slice


def noisy_tensors(architecture: Architecture) -> list[NoisyTensor]:
    """Weights of linear layers and convolutions and their biases, layer by layer; batch norms have no noise."""
    specs = {spec.name: spec for spec in architecture.layout}
    found: list[NoisyTensor] = []
    neurons = entries = 0
    for weight in architecture.layout:
        if not weight.trainable or len(weight.shape) < 2:
            continue
        for spec in (weight, specs.get(f"{weight.name.rpartition('.')[0]}.bias")):
            if spec is not None:
                span = slice(neurons, neurons + spec.shape[0])
                found.append(NoisyTensor(spec.name, spec.shape, span, slice(entries, entries + spec.size)))
                entries += spec.size
        neurons += weight.shape[0]
    return found


class WeightNoise:
    """Weight noise of one group of members.

    Attributes:
        draws: One for each neuron, which decides whether it has noise, and then one for each parameter.
    """

    def __init__(self, architecture: Architecture, members: Sequence[Member], device: torch.device) -> None:
        self.tensors = noisy_tensors(architecture)
        self.neurons = max((tensor.neurons.stop for tensor in self.tensors), default=0)
        entries = max((tensor.entries.stop for tensor in self.tensors), default=0)
        self.draws = DeviceDraws(
            Purpose.WEIGHT_NOISE, [member.seed for member in members], self.neurons + entries, device
        )
        self.strength_M1 = torch.tensor([[member.weight_noise] for member in members], device=device)
        # Draws lie between -1 and 1.
        self.bounds_M1 = torch.tensor([[2 * member.weight_noise_share - 1] for member in members], device=device)

    def noisy(self, tensors: Mapping[str, Tensor], step: Tensor) -> dict[str, Tensor]:
        """The tensors that have noise in one step, with it; their gradient is that of the tensors without.

        Args:
            tensors: All, each ``[M, *shape]``.
            step: The step within the epoch, int64 ``[1]`` on the device.
        """
        with torch.no_grad():
            draws_MK = self.draws.uniform(step)
            chosen_MU = draws_MK[:, : self.neurons] < self.bounds_M1
            gauss_MP = torch.erfinv(draws_MK[:, self.neurons :]) * (math.sqrt(2) * self.strength_M1)
            noise = {}
            for name, shape, neurons, entries in self.tensors:
                deviation_M1 = tensors[name].flatten(1).square().mean(1, keepdim=True).sqrt()
                values = (gauss_MP[:, entries] * deviation_M1).unflatten(1, shape)
                noise[name] = values * chosen_MU[:, neurons].view(*values.shape[:2], *[1] * (len(shape) - 1))
        return {name: tensors[name] + values for name, values in noise.items()}
