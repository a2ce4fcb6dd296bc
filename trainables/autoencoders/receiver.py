"""The receiver's side of a learned codec: everything that must be there before a payload can be read.

Shape letters: M members, P parameters, Z latent width of a network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.autoencoders.autoencoder import Autoencoder, Decoder
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import AFFINE_VIEWS, Coordinates, scale_by_gain
from trainables.codecs.entropy import GaussianColumns, LaplaceColumns, ParametricColumns
from trainables.trainable import DivergedError, Reference, resolved
from zoo.architecture import Architecture
from zoo.config import canonical_json, from_json, lookup
from zoo.views import View

PRIORS: dict[str, type[LaplaceColumns] | type[GaussianColumns]] = {
    "laplace": LaplaceColumns,
    "gaussian": GaussianColumns,
}
METADATA = "receiver"
FLOAT16_BYTES = 2
# Location and scale of each latent dimension's distribution, and its step.
LATENT_NUMBERS = 3
# What the file's header says of a tensor: name, type, shape, place.
TENSOR_HEADER_BYTES = 100
# Of a decoder: with gradients and moments 2 GiB.
MOST_NUMBERS = 2**27


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
        decoder: Latents to the P weights of a network of gain 1; or to its coordinates, where there is a ``view``.
        offset_P: Added after multiplication by the gain.
        symbols: How latents are sent; ``None`` where they are sent as float16.
        gain_prior: Distribution of the gain, or ``None`` where all networks have the same.
        common_gain: That same gain, in quarter octaves.
        view: What turns coordinates into weights, where the decoder has not taken it in.
        mean_P: Added to the coordinates before.
    """

    config: AutoencoderConfig
    architecture: Architecture
    decoder: Decoder
    offset_P: Tensor
    symbols: Symbols | None
    gain_prior: ParametricColumns | None
    common_gain: int
    view: View | None = None
    mean_P: Tensor | None = None

    @classmethod
    def of(
        cls,
        autoencoder: Autoencoder,
        symbols: Symbols | None,
        gain_prior: ParametricColumns | None,
    ) -> Receiver:
        """The receiver of a fitted autoencoder, not rounded yet."""
        coordinates = autoencoder.coordinates
        return cls(
            config=autoencoder.config,
            architecture=coordinates.architecture,
            decoder=autoencoder.folded_decoder() if autoencoder.folds else autoencoder.decoder,
            offset_P=coordinates.offset(),
            symbols=symbols,
            gain_prior=gain_prior,
            common_gain=coordinates.common_gain,
            view=None if autoencoder.folds else coordinates.view,
            mean_P=None if autoencoder.folds else coordinates.mean_P,
        )

    def weights(self, latent_MZ: Tensor, gain_M: Tensor) -> Tensor:
        """``weights_MP`` of latents and gains in quarter octaves; differentiable in the latents."""
        decoded_MP = self.decoder(latent_MZ)
        if self.view is not None:
            decoded_MP = self.view.inverse(decoded_MP + self.mean_P).float() - self.offset_P
        return scale_by_gain(decoded_MP, gain_M) + self.offset_P

    def to_bytes(self) -> bytes:
        """One safetensors file with everything; its length is what the codec counts as shared.

        Raises:
            DivergedError: A number leaves float16's range.
        """
        tensors = {f"decoder.{name}": tensor for name, tensor in self.decoder.state_dict().items()}
        tensors["offset"] = self.offset_P
        if self.view is not None and self.mean_P is not None:
            tensors |= {f"view.{name}": tensor for name, tensor in self.view.state().items()} | {"mean": self.mean_P}
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
    def from_bytes(cls, data: bytes, family: type[Autoencoder], config_type: type[AutoencoderConfig]) -> Receiver:
        """The inverse of :meth:`to_bytes`.

        Args:
            data: The file.
            family: The family of the autoencoder.
            config_type: The class of its configuration.
        """
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA])
        tensors = {name: tensor.float() for name, tensor in load(data).items()}
        config = from_json(config_type, facts["config"])
        architecture = Architecture.from_json(facts["architecture"])
        decoder = family.decoder_type(config, family.block_indices(architecture)).eval()
        decoder.requires_grad_(False)
        decoder.load_state_dict(with_prefix(tensors, "decoder."))
        view: View | None = None
        if "mean" in tensors:
            view_type: type[View] = lookup(AFFINE_VIEWS, config.view, "affine view")
            view = view_type.from_state(architecture, with_prefix(tensors, "view."))
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
            view=view,
            mean_P=tensors.get("mean"),
        )


def known_before(
    family: Reference, config: AutoencoderConfig, architectures: Sequence[Architecture]
) -> dict[str, float]:
    """``shared_bytes`` of a receiver, from a decoder on the meta device: to within a few hundred bytes.

    Raises:
        ValueError: The networks are of several layouts, or the decoder would not fit into memory; the message says
            what helps.
    """
    autoencoder: type[Autoencoder] = family_of(family)
    layouts = {architecture.layout: architecture for architecture in architectures}
    if len(layouts) > 1:
        counts = ", ".join(f"{architecture.parameters:,}" for architecture in list(layouts.values())[:4])
        raise ValueError(
            f"an autoencoder is of one parameter layout, and these networks have {len(layouts)} (of {counts}"
            f"{' …' if len(layouts) > 4 else ''} parameters); choose one with --set layout=0 to {len(layouts) - 1}, or "
            "take a codec in closed form, which is fitted to each"
        )
    architecture = architectures[0]
    indices = autoencoder.block_indices(architecture)
    with torch.device("meta"):
        decoder = autoencoder.decoder_type(config, [index.to("meta") for index in indices])
    sizes = [tensor.numel() for tensor in decoder.state_dict().values()] + [architecture.parameters]
    if sum(sizes) > MOST_NUMBERS:
        raise ValueError(
            f"the decoder would have {sum(sizes):,} numbers; allowed: up to {MOST_NUMBERS:,}. Lower latent, "
            "the decoder's widths or its depth"
        )
    if config.bottleneck != "identity":
        sizes += [autoencoder.decoder_type.latent_width(config, indices)] * LATENT_NUMBERS
    if not autoencoder.folds:
        view = Coordinates.blank_view(config.view, architecture)
        sizes += [architecture.parameters, *(tensor.numel() for tensor in view.state().values())]
    facts = len(canonical_json({"config": config, "architecture": architecture}))
    return {"shared_bytes": float(FLOAT16_BYTES * sum(sizes) + TENSOR_HEADER_BYTES * len(sizes) + facts)}


def family_of(reference: Reference) -> type[Autoencoder]:
    """The family that a reference names.

    Raises:
        ValueError: It names something else.
    """
    family = resolved(reference)
    if not (isinstance(family, type) and issubclass(family, Autoencoder)):
        raise ValueError(
            f"family {reference!r} is {family!r}; it must be a subclass of "
            "trainables.autoencoders.autoencoder.Autoencoder"
        )
    return family


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _store(prior: ParametricColumns, name: str, tensors: dict[str, Tensor]) -> str:
    """Puts a distribution's numbers among the tensors and returns the name of its family."""
    tensors[f"{name}.location"] = torch.from_numpy(prior.location)
    tensors[f"{name}.scale"] = torch.from_numpy(prior.scale)
    return next(key for key, family in PRIORS.items() if isinstance(prior, family))
