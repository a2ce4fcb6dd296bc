"""The transformers of SANE: tokens to latents, latents to tokens, for networks of any layout.

Schürholt, Mahoney and Borth (ICML 2024, arXiv 2406.09997), sections 3.1 and 3.2. Positions are sines and cosines, so
that no network is too large (learned in the published code). The projection head reads the mean of a window's latents,
which is what is embedded, so that windows can differ in length (published: all of them, side by side).

Shape letters: B networks of a batch, P parameters, T tokens, D numbers of a token, W width in the transformer, Z latent
width of a token, E width of an embedding, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.encoders.positions import sinusoids
from trainables.encoders.sane.config import SaneConfig
from trainables.encoders.sane.tokens import TokenLayout, in_windows, token_layout
from trainables.encoders.statistics import tensor_places
from trainables.transformers.blocks import Blocks
from zoo.architecture import Architecture
from zoo.population import Population


class Sane(nn.Module):
    """Encoder, decoder and projection head.

    Args:
        config: Sizes.
        facts: What :meth:`facts_of` told of the training networks.
    """

    def __init__(self, config: SaneConfig, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.config, self.facts = config, facts
        sizes = (config.blocks, config.width, config.heads, config.feedforward, config.dropout)
        self.embedding = nn.Linear(config.token, config.width)
        self.encoder = Blocks(*sizes)
        self.to_latent = nn.Linear(config.width, config.latent)
        self.from_latent = nn.Linear(config.latent, config.width)
        self.decoder = Blocks(*sizes)
        self.debedding = nn.Linear(config.width, config.token)
        parts: list[nn.Module] = []
        for given in (config.latent, config.projection):
            parts += [nn.Linear(given, config.projection, bias=False), nn.LayerNorm(config.projection), nn.ReLU()]
        self.projection = nn.Sequential(*parts)

    @staticmethod
    def facts_of(config: SaneConfig, training: Sequence[Population]) -> dict[str, Any]:
        """What weights are divided by, for tensors by depth and kind, and for others; layers of the deepest network."""
        squares: dict[str, float] = {}
        counts: dict[str, int] = {}
        for population in training:
            for place, spec in tensor_places(population.architecture).items():
                squares[place] = squares.get(place, 0.0) + float(
                    population.weights_MP[:, spec.span].double().square().sum()
                )
                counts[place] = counts.get(place, 0) + len(population) * spec.size
        other = (sum(squares.values()) / max(1, sum(counts.values()))) ** 0.5 or 1.0
        scales = {place: (squares[place] / max(1, counts[place])) ** 0.5 or other for place in squares}
        layers = max(token_layout(population.architecture, config.token).layers for population in training)
        return {"scales": scales if config.layer_loss else {}, "other_scale": other, "layers": layers}

    @property
    def width(self) -> int:
        """E."""
        layers: int = self.facts["layers"]
        return self.config.latent * (1 if self.config.embedding == "mean" else 2 * layers)

    def scale(self, architecture: Architecture) -> Tensor:
        """What each weight of a network is divided by: ``[P]``."""
        scale_P = torch.full((architecture.parameters,), self.facts["other_scale"])
        for place, spec in tensor_places(architecture).items():
            scale_P[spec.span] = self.facts["scales"].get(place, self.facts["other_scale"])
        return scale_P

    def layout(self, architecture: Architecture) -> TokenLayout:
        """How networks are cut."""
        return token_layout(architecture, self.config.token)

    def where(self, layout: TokenLayout) -> Tensor:
        """Encodings of positions ``[T, W]``: a token's number and its layer in one half, its row in the other."""
        width = self.config.width
        number_T, layer_T, row_T = layout.position_T3.unbind(1)
        first = sinusoids(number_T, width // 2) + sinusoids(layer_T, width // 2)
        return torch.cat([first, sinusoids(row_T, width - width // 2)], dim=1)

    def encode(self, tokens_BTD: Tensor, where: Tensor) -> Tensor:
        """``latent_BTZ`` of tokens that see one another."""
        latent_BTZ: Tensor = self.to_latent(self.encoder(self.embedding(tokens_BTD) + where))
        return latent_BTZ.float()

    def decode(self, latent_BTZ: Tensor, where: Tensor) -> Tensor:
        """``tokens_BTD`` of latents that see one another."""
        tokens_BTD: Tensor = self.debedding(self.decoder(self.from_latent(latent_BTZ) + where))
        return tokens_BTD.float()

    def latents(self, weights_BP: Tensor, architecture: Architecture) -> Tensor:
        """``latent_BTZ`` of whole networks, window by window with halos."""
        layout = self.layout(architecture)
        tokens_BTD = layout.tokens(weights_BP / self.scale(architecture))
        return in_windows(self.encode, tokens_BTD, self.where(layout), self.config.window, self.config.halo)

    def rebuilt(self, latent_BTZ: Tensor, architecture: Architecture) -> Tensor:
        """``weights_BP`` of latents of whole networks, likewise."""
        layout = self.layout(architecture)
        tokens_BTD = in_windows(self.decode, latent_BTZ, self.where(layout), self.config.window, self.config.halo)
        return layout.weights(tokens_BTD) * self.scale(architecture)

    def pooled(self, latent_BTZ: Tensor, architecture: Architecture) -> np.ndarray:
        """Embeddings ``[B, E]``: means of latents over all tokens; or means, then deviations, over those of each layer.

        Layers are numbered from the input and the last one is always last; NaN for those that networks do not have. Of
        networks deeper than those of the fit, what is between is left out.
        """
        if self.config.embedding == "mean":
            return latent_BTZ.mean(dim=1).numpy()
        layout, most = self.layout(architecture), self.facts["layers"]
        layer_T = layout.position_T3[:, 1]
        found = torch.full((len(latent_BTZ), most, 2 * latent_BTZ.shape[2]), torch.nan)
        for layer in range(layout.layers):
            place = most - 1 if layer == layout.layers - 1 else layer
            if place < most - 1 or layer == layout.layers - 1:
                of_layer = latent_BTZ[:, layer_T == layer]
                found[:, place] = torch.cat([of_layer.mean(dim=1), of_layer.std(dim=1, correction=0)], dim=1)
        return found.flatten(1).numpy()
