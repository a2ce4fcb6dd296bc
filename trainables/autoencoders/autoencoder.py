"""Weight autoencoders: networks' weights to a latent and back.

A network's coordinates are cut into blocks of rows, as the family likes: one block of one row for all of it, or a
block for each layer with a row for each neuron. The rows of a block share the maps at which a decoder ends.

Shape letters: M members, P parameters, H rows of a block, D coordinates of a row, Z latent width of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainables.autoencoders.bottleneck import BOTTLENECKS, Bottleneck
from trainables.autoencoders.coordinates import Coordinates
from zoo.architecture import Architecture
from zoo.config import lookup
from zoo.population import Population

SMALLEST_DEVIATION = 1e-6


class Decoder(nn.Module):
    """Latents to coordinates, or with the view's inverse folded in, to weights.

    It is built from the autoencoder's configuration and, for each block ``[H, D]``, where its entries belong.

    Attributes:
        mean: Added at the end, ``[P]``.
    """

    mean: nn.Parameter

    @classmethod
    def latent_width(cls, config: Any, indices: Sequence[Tensor]) -> int:
        """Z."""
        raise NotImplementedError

    @property
    def output_layers(self) -> list[list[nn.Linear]]:
        """For each block the maps, without biases, whose sum is its rows before the mean is added."""
        raise NotImplementedError

    def forward(self, latent_MZ: Tensor) -> Tensor:
        """``[M, Z]`` to ``[M, P]``."""
        raise NotImplementedError


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
    """Encoder, bottleneck and decoder; a family is a subclass that says what they are.

    Args:
        config: Its configuration.
        coordinates: How weights become vectors and back; fitted.

    Attributes:
        decoder_type: What decodes, here and at the receiver; built from (config, indices) alone. The weights of its
            ``output_layers`` and its ``mean`` enter its output affinely where ``folds`` is true.
        folds: Whether the receiver's decoder can take in the inverse of the view, which is affine; else the receiver
            holds the view beside the decoder.
    """

    decoder_type: ClassVar[type[Decoder]] = Decoder
    folds: ClassVar[bool] = True

    @staticmethod
    def block_indices(architecture: Architecture) -> list[Tensor]:
        """For each block ``[H, D]``: where its rows' entries lie in the flat vector of length P."""
        raise NotImplementedError

    def __init__(self, config: Any, coordinates: Coordinates) -> None:
        super().__init__()
        self.config: Any = config
        self.coordinates = coordinates
        self.indices = self.block_indices(coordinates.architecture)
        make_bottleneck: Callable[[int], Bottleneck] = lookup(BOTTLENECKS, config.bottleneck, "bottleneck")
        self.bottleneck = make_bottleneck(self.decoder_type.latent_width(config, self.indices))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.encoder = self.make_encoder()
            self.decoder = self.decoder_type(config, self.indices)

    def make_encoder(self) -> nn.Module:
        """What :meth:`encoded` goes through."""
        raise NotImplementedError

    def initialize(self, coordinates_MP: Tensor) -> None:
        """Starts from training coordinates, with latents of unit variance."""
        raise NotImplementedError

    def encoded(self, coordinates_MP: Tensor) -> Tensor:
        """The bottleneck's input: ``[M, outputs · Z]``."""
        raise NotImplementedError

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
        folded = self.decoder_type(self.config, self.indices).eval()
        folded.load_state_dict(self.decoder.state_dict())
        folded.mean.copy_(inverse((self.decoder.mean + self.coordinates.mean_P)[None])[0])
        for index, layers in zip(self.indices, folded.output_layers, strict=True):
            for layer in layers:
                first_row_KP = torch.zeros(layer.weight.shape[1], self.coordinates.parameters)
                first_row_KP[:, index[0]] = layer.weight.T
                layer.weight.copy_(inverse(first_row_KP)[:, index[0]].T)
        probe_1Z = torch.ones(1, self.bottleneck.latent_width)
        expected = inverse(self.decoder(probe_1Z) + self.coordinates.mean_P)
        if not torch.allclose(folded(probe_1Z), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
            raise ValueError(
                f"view {self.config.view!r} cannot be taken into a decoder of rows: its inverse must be the same "
                "affine map for all rows of a block"
            )
        return folded
