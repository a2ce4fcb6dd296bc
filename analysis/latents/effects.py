"""What each number of a latent does: the decoder's Jacobian layer by layer, and what the networks' outputs make of it.

Shape letters: M members, P parameters, Z latent width of a network, K latents looked at, L weight layers, N examples,
C outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.statistics.groups import evenly_spaced
from trainables.autoencoders.autoencoder import Decoder, Latent
from trainables.autoencoders.receiver import Receiver
from trainables.autoencoders.rows import RowDecoder
from zoo.architecture import Architecture
from zoo.population import Population
from zoo.views.weight_layers import weight_layers

# Latents beyond this number are looked at in part, evenly spaced.
MOST_LATENTS = 1024
SMALLEST = 1e-12


@dataclass(frozen=True)
class Effects:
    """What a step of one standard deviation of a latent does, to first order, the root mean square over members.

    Attributes:
        latents_K: Which latents, int64.
        layers_KL: The length of the change of each weight layer's tensors over their own.
        outputs_K: That of the outputs over the outputs' standard deviation.
    """

    latents_K: Tensor
    layers_KL: Tensor
    outputs_K: Tensor

    @property
    def order(self) -> Tensor:
        """Places among ``latents_K``, what moves outputs most first."""
        return self.outputs_K.argsort(descending=True, stable=True)

    @property
    def carrying(self) -> int:
        """How many latents carry 90 % of the summed squared effect on outputs."""
        squares_K = self.outputs_K[self.order].double().square()
        return int((squares_K.cumsum(0) < 0.9 * squares_K.sum()).sum()) + 1


def effects(receiver: Receiver, latent: Latent, deviation_Z: Tensor, population: Population, x: Tensor) -> Effects:
    """Differentiates weights and outputs by each latent.

    The product Jᵀu is linear in u, so that its derivative by u is a product with J: one backward pass for each latent
    (Townsend, "A new trick for calculating Jacobian vector products", 2017).

    Args:
        receiver: Decodes.
        latent: Of some members.
        deviation_Z: How large a step is.
        population: The members.
        x: Examples ``[N, *input_shape]``.
    """
    values_MZ = latent.values_MZ.detach().requires_grad_()
    width = values_MZ.shape[1]
    places = torch.tensor(evenly_spaced(width, MOST_LATENTS))
    weights_MP = receiver.weights(values_MZ, latent.gain_M)
    outputs_MNC = population.logits(x, weights_MP)
    along = (torch.zeros_like(weights_MP, requires_grad=True), torch.zeros_like(outputs_MNC, requires_grad=True))
    (product_MZ,) = torch.autograd.grad((weights_MP, outputs_MNC), values_MZ, along, create_graph=True)
    weights_MP, outputs_MNC = weights_MP.detach(), outputs_MNC.detach()
    spread_M = (outputs_MNC - outputs_MNC.mean(1, keepdim=True)).flatten(1).norm(dim=1)
    layers_KL, outputs_K = [], []
    for place in places.tolist():
        step_MZ = torch.zeros_like(product_MZ)
        step_MZ[:, place] = deviation_Z[place]
        change_MP, change_MNC = torch.autograd.grad(product_MZ, along, step_MZ, retain_graph=True)
        layers_KL.append(_by_layer(population.architecture, change_MP, weights_MP))
        outputs_K.append(_root_mean_square(change_MNC.flatten(1).norm(dim=1) / spread_M.clamp_min(SMALLEST)))
    return Effects(places, torch.stack(layers_KL), torch.stack(outputs_K))


def _by_layer(architecture: Architecture, change_MP: Tensor, weights_MP: Tensor) -> Tensor:
    """Length of the change of each weight layer's tensors over their own length: ``[L]``."""
    found = []
    for layer in weight_layers(architecture):
        spans = [spec.span for spec in (layer.weight, layer.bias) if spec is not None]
        change_M, length_M = (
            torch.cat([vectors_MP[:, span] for span in spans], dim=1).norm(dim=1)
            for vectors_MP in (change_MP, weights_MP)
        )
        found.append(_root_mean_square(change_M / length_M.clamp_min(SMALLEST)))
    return torch.stack(found)


def _root_mean_square(values_M: Tensor) -> Tensor:
    return values_M.square().mean().sqrt()


def layer_names(count: int) -> list[str]:
    """What so many layers are called: numbered, the last one gives the outputs."""
    return [*(f"layer {number}" for number in range(1, count)), "output layer"]


def latent_names(decoder: Decoder, width: int) -> list[str]:
    """What the ``width`` latents of a network are called: of what unit, where every unit has its own."""
    if not isinstance(decoder, RowDecoder) or [rows for rows, _ in decoder.shapes] == [1]:
        return [f"latent {number}" for number in range(1, width + 1)]
    return [
        f"{name}, unit {row}, {number}"
        for name, (rows, _), latents in zip(
            layer_names(len(decoder.shapes)), decoder.shapes, decoder.latents, strict=True
        )
        for row in range(1, rows + 1)
        for number in range(1, latents + 1)
    ]
