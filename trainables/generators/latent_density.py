"""Networks from an autoencoder's latents: drawn from its prior, or from a kernel density of each latent dimension.

Schürholt et al., "Hyper-Representations as Generative Models" (NeurIPS 2022, arXiv 2209.14733, section 3.2); of each
token's latent as in SANE (Schürholt et al., ICML 2024, arXiv 2406.09997), where a token is a neuron here. The
autoencoder is fitted by what its networks do, and with a normal bottleneck as a variational one.

Shape letters: M networks, K training networks, Z latent width.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from trainables.autoencoders.autoencoder import Autoencoder
from trainables.autoencoders.bottleneck import Gaussian
from trainables.autoencoders.fit import AutoencoderFit
from trainables.autoencoders.network import NetworkAutoencoder
from trainables.autoencoders.neuron import NeuronAutoencoder
from trainables.autoencoders.receiver import Receiver
from trainables.generators.closed_form import kernel_draws
from trainables.generators.config import LatentDensityConfig
from trainables.generators.generator import fitted_networks, require_nothing_wanted, validate
from trainables.trainable import FitData
from zoo.config import from_json, to_json
from zoo.population import Population, single_architecture

FAMILIES: dict[str, type[Autoencoder]] = {"network": NetworkAutoencoder, "neuron": NeuronAutoencoder}
DECODER_FILE, LATENT_FILE, CONFIG_FILE = "decoder.safetensors", "latent.safetensors", "config.json"


class LatentDensityFit(AutoencoderFit):
    """Fits the autoencoder to the networks that the density is to be of.

    Args:
        config: Its configuration.
        data: What the fit sees.

    Raises:
        ValueError: Latents are to be drawn from a prior, and the bottleneck has none.
    """

    def __init__(self, config: LatentDensityConfig, data: FitData) -> None:
        fitted = dataclasses.replace(data, training=(fitted_networks(config, data),))
        super().__init__(FAMILIES[config.encoded], config, fitted)
        if config.density == "prior" and not isinstance(self.module.bottleneck, Gaussian):
            raise ValueError(
                f"LatentDensityConfig.bottleneck is {config.bottleneck!r}, which has no prior to draw from; allowed: "
                "gaussian, or density kernel"
            )

    @torch.no_grad()
    def artifact(self) -> LatentDensity:  # type: ignore[override]
        """See :class:`trainables.trainable.Fit`; the decoder in float16."""
        self.require_finite()
        bottleneck = self.module.bottleneck
        latent = {"networks": bottleneck.latent(self.module.encoded(self.coordinates_MP))}
        if isinstance(bottleneck, Gaussian):
            latent |= {"location": bottleneck.location_Z, "deviation": bottleneck.log_scale_Z.exp()}
        decoder = Receiver.of(self.module, None, None).to_bytes()
        return LatentDensity(self.config, decoder, {name: each.detach().clone() for name, each in latent.items()})

    def validate(self) -> dict[str, float]:
        """See :func:`trainables.generators.generator.validate`."""
        return validate(self.artifact(), self.data)


@dataclass(frozen=True)
class LatentDensity:
    """Draws latents and decodes them; see :class:`trainables.generators.generator.NetworkGenerator`.

    Attributes:
        config: How.
        decoder: A :class:`Receiver` as a file.
        latent: The training networks' latents ``[K, Z]``; where there is a prior its ``location`` and ``deviation``.
    """

    config: LatentDensityConfig
    decoder: bytes
    latent: Mapping[str, Tensor]

    @torch.no_grad()
    def generate(self, count: int, *, seed: int = 0, wanted: Mapping[str, float | str] | None = None) -> Population:
        """See :class:`trainables.generators.generator.NetworkGenerator`."""
        require_nothing_wanted(wanted)
        generator = torch.Generator().manual_seed(seed)
        if self.config.density == "kernel":
            drawn_MZ = kernel_draws(self.latent["networks"], count, self.config.bandwidth, generator)
        else:
            normal_MZ = torch.randn(count, len(self.latent["location"]), generator=generator)
            drawn_MZ = self.latent["location"] + self.latent["deviation"] * normal_MZ
        receiver = Receiver.from_bytes(self.decoder, FAMILIES[self.config.encoded], LatentDensityConfig)
        weights_MP = receiver.weights(drawn_MZ, torch.full((count,), receiver.common_gain))
        return single_architecture(receiver.architecture, weights_MP)

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        return {
            DECODER_FILE: self.decoder,
            LATENT_FILE: save({name: tensor.contiguous() for name, tensor in self.latent.items()}),
            CONFIG_FILE: json.dumps(to_json(self.config), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> LatentDensity:
        """The inverse of :meth:`to_files`."""
        config = from_json(LatentDensityConfig, json.loads(files[CONFIG_FILE]))
        return cls(config, files[DECODER_FILE], load_tensors(files[LATENT_FILE]))
