"""The receiver's side of a learned codec: everything that must be there before a payload can be read.

Shape letters: M members, P parameters, Z latent width of a network.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.autoencoders.autoencoder import Decoder, block_indices, find_family
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import scale_by_gain
from trainables.codecs.entropy import GaussianColumns, LaplaceColumns, ParametricColumns
from zoo.architecture import Architecture
from zoo.config import canonical_json, from_json

PRIORS: dict[str, type[LaplaceColumns] | type[GaussianColumns]] = {
    "laplace": LaplaceColumns,
    "gaussian": GaussianColumns,
}
METADATA = "receiver"


class DivergedError(ArithmeticError):
    """A fit's loss or weights are no longer finite, or leave the range in which they are stored."""


@dataclass(frozen=True)
class Symbols:
    """How latents are sent as integers.

    Attributes:
        step_Z: Distance of two neighboring symbols.
        prior: Their distribution.
    """

    step_Z: Tensor
    prior: ParametricColumns

    def of(self, latent_MZ: Tensor) -> np.ndarray:
        """The nearest symbols, int64."""
        limit = 2**30
        return torch.round(latent_MZ / self.step_Z).clamp(-limit, limit).long().numpy()

    @property
    def laplace_factor(self) -> float:
        """Laplace's b over the distribution's own scale, at equal variance."""
        return 1.0 if isinstance(self.prior, LaplaceColumns) else math.sqrt(0.5)


@dataclass(frozen=True)
class Receiver:
    """Decoder and distributions. Numbers are as float16 leaves them once they went through :meth:`to_bytes`.

    Attributes:
        config: The autoencoder's configuration.
        architecture: Gives the layout of the networks.
        decoder: Latents to the P weights of a network of gain 1.
        offset_P: Added after multiplication by the gain.
        symbols: How latents are sent; ``None`` where they are sent as float16.
        gain_prior: Distribution of the gain, or ``None`` where all networks have the same.
        common_gain: That same gain, in quarter octaves.
    """

    config: AutoencoderConfig
    architecture: Architecture
    decoder: Decoder
    offset_P: Tensor
    symbols: Symbols | None
    gain_prior: ParametricColumns | None
    common_gain: int

    def weights(self, latent_MZ: Tensor, gain_M: Tensor) -> Tensor:
        """``weights_MP`` of latents and gains in quarter octaves; differentiable in the latents."""
        return scale_by_gain(self.decoder(latent_MZ), gain_M) + self.offset_P

    def to_bytes(self) -> bytes:
        """One safetensors file with everything; its length is what the codec counts as shared.

        Raises:
            DivergedError: A number leaves float16's range.
        """
        tensors = {f"decoder.{name}": tensor for name, tensor in self.decoder.state_dict().items()}
        tensors["offset"] = self.offset_P
        facts: dict[str, object] = {
            "config": self.config,
            "architecture": self.architecture,
            "common_gain": self.common_gain,
        }
        if self.symbols is not None:
            tensors["step"] = self.symbols.step_Z
            facts["prior"] = _store(self.symbols.prior, "prior", tensors)
        if self.gain_prior is not None:
            facts["gain_prior"] = _store(self.gain_prior, "gain_prior", tensors)
        halves = {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
        for name, tensor in halves.items():
            if not torch.isfinite(tensor).all():
                raise DivergedError(f"{name} leaves float16's range of ±65504; set gain to true or lower learning_rate")
        return save(halves, metadata={METADATA: canonical_json(facts)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Receiver:
        """The inverse of :meth:`to_bytes`."""
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA])
        tensors = {name: tensor.float() for name, tensor in load(data).items()}
        config = from_json(AutoencoderConfig, facts["config"])
        architecture = Architecture.from_json(facts["architecture"])
        decoder = find_family(config.family).decoder_type(config, block_indices(config, architecture))
        decoder.requires_grad_(False)
        decoder.load_state_dict(
            {name.removeprefix("decoder."): t for name, t in tensors.items() if name.startswith("decoder.")}
        )
        priors = {
            name: PRIORS[facts[name]](tensors[f"{name}.location"].numpy(), tensors[f"{name}.scale"].numpy())
            for name in ("prior", "gain_prior")
            if name in facts
        }
        return cls(
            config=config,
            architecture=architecture,
            decoder=decoder,
            offset_P=tensors["offset"],
            symbols=Symbols(tensors["step"], priors["prior"]) if "prior" in priors else None,
            gain_prior=priors.get("gain_prior"),
            common_gain=facts["common_gain"],
        )


def _store(prior: ParametricColumns, name: str, tensors: dict[str, Tensor]) -> str:
    """Puts a distribution's numbers among the tensors and returns the name of its family."""
    tensors[f"{name}.location"] = torch.from_numpy(prior.location)
    tensors[f"{name}.scale"] = torch.from_numpy(prior.scale)
    return next(key for key, family in PRIORS.items() if isinstance(prior, family))
