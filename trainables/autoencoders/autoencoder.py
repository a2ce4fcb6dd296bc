"""Weight autoencoders: networks' weights to a latent and back.

A network's coordinates are cut into blocks of rows, as the family likes: one block of one row for all of it, or a
block for each layer with a row for each neuron. The rows of a block share an encoder and a decoder.

Shape letters: M members, P parameters, H rows of a block, D coordinates of a row, Z latent width of a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from trainables.autoencoders.bottleneck import BOTTLENECKS, Bottleneck, initial_steps
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.layers import LinearAndHidden
from trainables.autoencoders.principal import principal_components
from zoo.architecture import Architecture
from zoo.config import lookup
from zoo.population import Population

# Rows from which principal components are found; more change nothing.
PRINCIPAL_ROWS = 20_000
SMALLEST_DEVIATION = 1e-6


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


class Decoder(nn.Module):
    """Latents to coordinates, or with the view's inverse folded in, to weights.

    Args:
        config: Depth, width and whether there is a linear path.
        indices: For each block ``[H, D]``, where its entries belong.
    """

    def __init__(self, config: AutoencoderConfig, indices: list[Tensor]) -> None:
        super().__init__()
        self.shapes = [tuple(index.shape) for index in indices]
        self.latents = [min(config.latent, width) for _, width in self.shapes]
        hidden = [config.decoder_width] * config.decoder_depth
        self.blocks = nn.ModuleList(
            LinearAndHidden(latent, hidden, width, linear_path=config.linear_path, bias=False)
            for latent, (_, width) in zip(self.latents, self.shapes, strict=True)
        )
        self.mean = nn.Parameter(torch.zeros(sum(index.numel() for index in indices)))
        self._place_P = torch.argsort(torch.cat([index.flatten() for index in indices]))

    def forward(self, latent_MZ: Tensor) -> Tensor:
        """``[M, Z]`` to ``[M, P]``."""
        sizes = [rows * latent for (rows, _), latent in zip(self.shapes, self.latents, strict=True)]
        parts = latent_MZ.split(sizes, dim=1)
        decoded = [
            block(part.unflatten(1, (rows, latent))).flatten(1)
            for block, part, (rows, _), latent in zip(self.blocks, parts, self.shapes, self.latents, strict=True)
        ]
        return torch.cat(decoded, dim=1)[:, self._place_P] + self.mean


@dataclass(frozen=True, slots=True)
class Latent:
    """What the encoder keeps of each network.

    Attributes:
        values_MZ: The latent, not quantized.
        gain_M: The network's size in quarter octaves, int64.
    """

    values_MZ: Tensor
    gain_M: Tensor

    def select(self, rows: Sequence[int]) -> Latent:
        """Those of the given networks."""
        return Latent(self.values_MZ[rows], self.gain_M[rows])


class Autoencoder(nn.Module):
    """Fully connected encoders and decoders of rows; a family is a subclass that says what the rows are.

    Args:
        config: Its configuration.
        coordinates: How weights become vectors and back; fitted.

    Attributes:
        decoder_type: What decodes, here and at the receiver; built from (config, indices) alone. The weights of its
            ``blocks``' output layers and its ``mean`` enter its output affinely where ``folds`` is true.
        folds: Whether the receiver's decoder can take in the inverse of the view, which is affine; else the receiver
            holds the view beside the decoder.
    """

    decoder_type: ClassVar[type[Decoder]] = Decoder
    folds: ClassVar[bool] = True

    @staticmethod
    def block_indices(architecture: Architecture) -> list[Tensor]:
        """For each block ``[H, D]``: where its rows' entries lie in the flat vector of length P."""
        raise NotImplementedError

    def __init__(self, config: AutoencoderConfig, coordinates: Coordinates) -> None:
        super().__init__()
        self.config = config
        self.coordinates = coordinates
        self.indices = self.block_indices(coordinates.architecture)
        self.latents = [min(config.latent, index.shape[1]) for index in self.indices]
        make_bottleneck: Callable[[int], Bottleneck] = lookup(BOTTLENECKS, config.bottleneck, "bottleneck")
        self.bottleneck = make_bottleneck(
            sum(len(index) * latent for index, latent in zip(self.indices, self.latents, strict=True))
        )
        hidden = [config.encoder_width] * config.encoder_depth
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.encoders = nn.ModuleList(
                LinearAndHidden(
                    index.shape[1], hidden, self.bottleneck.outputs * latent, linear_path=config.linear_path
                )
                for index, latent in zip(self.indices, self.latents, strict=True)
            )
            self.decoder = self.decoder_type(config, self.indices)

    @torch.no_grad()
    def initialize(self, coordinates_MP: Tensor) -> None:
        """Starts from training coordinates: latents of unit variance, a linear path of principal components."""
        deviations = []
        for index, encoder, decoder in zip(
            self.indices, blocks_of(self.encoders), blocks_of(self.decoder.blocks), strict=True
        ):
            some_MP = coordinates_MP[:: math.ceil(len(coordinates_MP) * len(index) / PRINCIPAL_ROWS)]
            deviation = start_pair(encoder, decoder, some_MP[:, index].flatten(0, 1), self.config.seed)
            deviations.append(deviation.repeat(len(index)))
        self.bottleneck.initialize(initial_steps(torch.cat(deviations), self.config.bits_per_latent))

    def encoded(self, coordinates_MP: Tensor) -> Tensor:
        """The bottleneck's input: ``[M, outputs · Z]``."""
        parts = []
        for index, latent, encoder in zip(self.indices, self.latents, self.encoders, strict=True):
            out = encoder(coordinates_MP[:, index])
            parts.append(out.unflatten(2, (self.bottleneck.outputs, latent)).transpose(1, 2).flatten(2))
        return torch.cat(parts, dim=2).flatten(1)

    @torch.no_grad()
    def encode(self, population: Population) -> Latent:
        """The latent of each network, as it is before it is quantized."""
        return self.encode_prepared(self.coordinates.prepare(population))

    @torch.no_grad()
    def encode_prepared(self, population: Population) -> Latent:
        """The same for networks that went through ``coordinates.prepare``."""
        coordinates_MP, gain_M = self.coordinates.forward_prepared(population)
        return Latent(self.bottleneck.latent(self.encoded(coordinates_MP)), gain_M)

    def decode(self, latent: Latent) -> Tensor:
        """``weights_MP`` of each latent."""
        return self.coordinates.inverse(self.decoder(latent.values_MZ), latent.gain_M)

    @torch.no_grad()
    def folded_decoder(self) -> Decoder:
        """The decoder followed by the linear part of the coordinates' inverse: it gives weights.

        Raises:
            ValueError: The inverse mixes rows or treats rows of one block differently.
        """
        inverse = self.coordinates.linear_inverse
        folded = self.decoder_type(self.config, self.indices)
        folded.load_state_dict(self.decoder.state_dict())
        folded.mean.copy_(inverse((self.decoder.mean + self.coordinates.mean_P)[None])[0])
        for index, block in zip(self.indices, blocks_of(folded.blocks), strict=True):
            for layer in block.output_layers:
                first_row_KP = torch.zeros(layer.weight.shape[1], self.coordinates.parameters)
                first_row_KP[:, index[0]] = layer.weight.T
                layer.weight.copy_(inverse(first_row_KP)[:, index[0]].T)
        probe_1Z = torch.ones(1, sum(len(i) * z for i, z in zip(self.indices, self.latents, strict=True)))
        expected = inverse(self.decoder(probe_1Z) + self.coordinates.mean_P)
        if not torch.allclose(folded(probe_1Z), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
            raise ValueError(
                f"view {self.config.view!r} cannot be taken into a decoder of rows: its inverse must be the same "
                "affine map for all rows of a block"
            )
        return folded
