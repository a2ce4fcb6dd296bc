"""Autoencoders of rows: fully connected encoders and decoders, shared by the rows of a block.

Shape letters: M members, P parameters, H rows of a block, K rows, D coordinates of a row, Z latent width of a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from trainables.autoencoders.autoencoder import SMALLEST_DEVIATION, Autoencoder, Decoder
from trainables.autoencoders.bottleneck import initial_steps
from trainables.autoencoders.config import RowAutoencoderConfig
from trainables.autoencoders.layers import LinearAndHidden
from trainables.autoencoders.principal import principal_components

# Rows from which principal components are found; more change nothing.
PRINCIPAL_ROWS = 20_000


def blocks_of(modules: nn.ModuleList) -> list[LinearAndHidden]:
    """The blocks in a list of modules."""
    return [module for module in modules if isinstance(module, LinearAndHidden)]


@torch.no_grad()
def start_pair(encoder: LinearAndHidden, decoder: LinearAndHidden, rows_KD: Tensor, seed: int) -> Tensor:
    """Starts a block's encoder and decoder from training rows, so that latents have unit variance.

    A linear path starts at the principal components; hidden layers alone are scaled and centered.

    Returns:
        The deviation of each latent dimension before it was made 1, ``[latent width of a row]``.
    """
    latent = decoder.inputs
    if encoder.linear is None or decoder.linear is None:
        encoded = encoder(rows_KD)[:, :latent]
        spread = encoded.std(0).clamp_min(SMALLEST_DEVIATION)
        encoder.last_hidden.weight[:latent] /= spread[:, None]
        if encoder.mean is not None:
            encoder.mean[:latent] = -encoded.mean(0) / spread
        return torch.ones(latent)
    directions, deviation = principal_components(rows_KD, latent, seed)
    deviation = deviation.clamp_min(SMALLEST_DEVIATION * float(deviation[0].clamp_min(SMALLEST_DEVIATION)))
    nn.init.zeros_(encoder.linear.weight)
    encoder.linear.weight[:latent] = (directions / deviation).T
    decoder.linear.weight.copy_(directions * deviation)
    return deviation


class RowDecoder(Decoder):
    """Latents of rows to coordinates: the rows of a block share linear maps and hidden layers.

    Args:
        config: Depth, width and whether there is a linear path.
        indices: For each block ``[H, D]``, where its entries belong.
    """

    blocks: nn.ModuleList

    def __init__(self, config: RowAutoencoderConfig, indices: list[Tensor]) -> None:
        super().__init__()
        self.shapes = [tuple(index.shape) for index in indices]
        self.latents = [min(config.latent, width) for _, width in self.shapes]
        hidden = [config.decoder_width] * config.decoder_depth
        self.blocks = nn.ModuleList(
            LinearAndHidden(latent, hidden, width, linear_path=config.linear_path, bias=False)
            for latent, (_, width) in zip(self.latents, self.shapes, strict=True)
        )
        self.mean = nn.Parameter(torch.zeros(sum(index.numel() for index in indices)))
        self._indices = indices

    @cached_property
    def _place_P(self) -> Tensor:  # noqa: N802
        """Where coordinates are among the decoded ones. Not before it is needed: on meta it takes torch a second."""
        return torch.argsort(torch.cat([index.flatten() for index in self._indices]))

    @classmethod
    def latent_width(cls, config: RowAutoencoderConfig, indices: Sequence[Tensor]) -> int:
        """See :class:`Decoder`."""
        return sum(len(index) * min(config.latent, index.shape[1]) for index in indices)

    @property
    def output_layers(self) -> list[list[nn.Linear]]:
        """See :class:`Decoder`."""
        return [block.output_layers for block in blocks_of(self.blocks)]

    def forward(self, latent_MZ: Tensor) -> Tensor:
        """``[M, Z]`` to ``[M, P]``."""
        sizes = [rows * latent for (rows, _), latent in zip(self.shapes, self.latents, strict=True)]
        parts = latent_MZ.split(sizes, dim=1)
        decoded = [
            block(part.unflatten(1, (rows, latent))).flatten(1)
            for block, part, (rows, _), latent in zip(self.blocks, parts, self.shapes, self.latents, strict=True)
        ]
        return torch.cat(decoded, dim=1)[:, self._place_P] + self.mean


class RowAutoencoder(Autoencoder):
    """What families of rows have in common; a family is a subclass that says what the rows are."""

    decoder_type = RowDecoder
    config: RowAutoencoderConfig
    encoder: nn.ModuleList
    decoder: RowDecoder

    def make_encoder(self) -> nn.ModuleList:
        """See :class:`Autoencoder`."""
        hidden = [self.config.encoder_width] * self.config.encoder_depth
        return nn.ModuleList(
            LinearAndHidden(
                index.shape[1], hidden, self.bottleneck.outputs * latent, linear_path=self.config.linear_path
            )
            for index, latent in zip(self.indices, self._latents, strict=True)
        )

    @property
    def _latents(self) -> list[int]:
        """For each block the latent width of a row."""
        return [min(self.config.latent, index.shape[1]) for index in self.indices]

    @torch.no_grad()
    def initialize(self, coordinates_MP: Tensor) -> None:
        """Starts from training coordinates: latents of unit variance, a linear path of principal components."""
        deviations = []
        for index, encoder, decoder in zip(
            self.indices, blocks_of(self.encoder), blocks_of(self.decoder.blocks), strict=True
        ):
            some_MP = coordinates_MP[:: math.ceil(len(coordinates_MP) * len(index) / PRINCIPAL_ROWS)]
            deviation = start_pair(encoder, decoder, some_MP[:, index].flatten(0, 1), self.config.seed)
            deviations.append(deviation.repeat(len(index)))
        self.bottleneck.initialize(initial_steps(torch.cat(deviations), self.config.bits_per_latent))

    def encoded(self, coordinates_MP: Tensor) -> Tensor:
        """The bottleneck's input: ``[M, outputs · Z]``."""
        parts = []
        for index, latent, encoder in zip(self.indices, self._latents, self.encoder, strict=True):
            out = encoder(coordinates_MP[:, index])
            parts.append(out.unflatten(2, (self.bottleneck.outputs, latent)).transpose(1, 2).flatten(2))
        return torch.cat(parts, dim=2).flatten(1)
