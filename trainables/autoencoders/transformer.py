"""Autoencoders of whole networks by attention among their neurons: hyper-representations that compress.

Schürholt, Kostadinov and Borth (NeurIPS 2021, arXiv 2110.15288, section 3.2); encoder and decoder are those of
``trainables.encoders.hyper_representation``. The latent is not bounded here, since it is quantized.

Shape letters: M members, P parameters, Z latent width of a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.autoencoders.autoencoder import SMALLEST_DEVIATION, Autoencoder, Decoder
from trainables.autoencoders.bottleneck import initial_steps
from trainables.autoencoders.config import TransformerAutoencoderConfig
from trainables.transformers.networks import NetworkDecoder, NetworkEncoder
from zoo.architecture import Architecture
from zoo.views.tokens import neuron_indices

# Networks from which the latents' deviations are found; more change nothing.
MEASURED_NETWORKS = 1000


class TransformerDecoder(NetworkDecoder, Decoder):
    """It ends in one map for the neurons of each layer."""

    @classmethod
    def latent_width(cls, config: TransformerAutoencoderConfig, indices: Sequence[Tensor]) -> int:  # noqa: ARG003
        """See :class:`Decoder`."""
        return config.latent

    @property
    def output_layers(self) -> list[list[nn.Linear]]:
        """See :class:`Decoder`."""
        return [[layer] for layer in self.debedding if isinstance(layer, nn.Linear)]


class TransformerAutoencoder(Autoencoder):
    """A block is a layer, a row is a neuron; there is one latent for all of them."""

    decoder_type = TransformerDecoder
    config: TransformerAutoencoderConfig
    encoder: NetworkEncoder

    @staticmethod
    def block_indices(architecture: Architecture) -> list[Tensor]:
        """See :class:`Autoencoder`."""
        return neuron_indices(architecture)

    def make_encoder(self) -> NetworkEncoder:
        """See :class:`Autoencoder`."""
        return NetworkEncoder(self.config, self.indices, self.bottleneck.outputs * self.config.latent)

    @torch.no_grad()
    def initialize(self, coordinates_MP: Tensor) -> None:
        """Scales and centers the latents that untrained attention gives, so that they have unit variance."""
        some_MP = coordinates_MP[:: math.ceil(len(coordinates_MP) / MEASURED_NETWORKS)]
        latent, last = self.config.latent, self.encoder.to_latent
        encoded_MZ = self.encoder.eval()(some_MP)[:, :latent]
        spread_Z = encoded_MZ.std(0).nan_to_num(1.0).clamp_min(SMALLEST_DEVIATION)
        last.bias[:latent] -= encoded_MZ.mean(0)
        last.bias[:latent] /= spread_Z
        last.weight[:latent] /= spread_Z[:, None]
        self.bottleneck.initialize(initial_steps(torch.ones(latent), self.config.bits_per_latent))

    def encoded(self, coordinates_MP: Tensor) -> Tensor:
        """See :class:`Autoencoder`."""
        encoded: Tensor = self.encoder(coordinates_MP)
        return encoded
