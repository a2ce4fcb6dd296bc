"""The codec made of a fitted autoencoder: latents become symbols, symbols become bytes.

Shape letters: M members, P parameters, Z latent width of a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.autoencoders.autoencoder import Autoencoder, new_autoencoder
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.receiver import PRIORS, Receiver, Symbols
from trainables.autoencoders.refine import PROBE_IMAGES, Refiner
from trainables.codecs.codec import read_header, with_header
from trainables.codecs.entropy import Decoder, Encoder, GaussianColumns, ParametricColumns
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.data.examples import Examples
from zoo.population import Population

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
FLOAT16_LIMIT = 65504.0
# Training networks on which steps and distributions are fitted; more change nothing.
PRIOR_MEMBERS = 2000


class LearnedCodec:
    """A fitted autoencoder as a codec: its encoder on the sender's side, a :class:`Receiver` on both.

    What is coded is decoded with the float16-rounded decoder that ``shared_bytes`` counts.

    Attributes:
        autoencoder: The fitted autoencoder.
        receiver: Decoder and distributions, rounded.
        refiner: Improves symbols when networks are encoded.
        name: Name in tables.
    """

    def __init__(self, autoencoder: Autoencoder, receiver: Receiver, refiner: Refiner, name: str) -> None:
        self.autoencoder = autoencoder
        self.receiver = receiver
        self.refiner = refiner
        self.name = name
        self._shared_bytes = len(receiver.to_bytes())

    @classmethod
    def from_autoencoder(
        cls, autoencoder: Autoencoder, training: Population, images: Examples, name: str = "autoencoder"
    ) -> LearnedCodec:
        """Fits steps and distributions on the training population and rounds the decoder to float16.

        Args:
            autoencoder: Fitted.
            training: Training members.
            images: Training images; the sender keeps the first 512 to refine symbols on.
            name: Name in tables.
        """
        coordinates_MP, gain_M = autoencoder.coordinates.forward(training)
        return cls.from_coordinates(autoencoder, coordinates_MP, gain_M, images, name)

    @classmethod
    @torch.no_grad()
    def from_coordinates(
        cls,
        autoencoder: Autoencoder,
        coordinates_MP: Tensor,
        gain_M: Tensor,
        images: Examples,
        name: str = "autoencoder",
    ) -> LearnedCodec:
        """The same with the training population's coordinates and gains at hand."""
        config, coordinates = autoencoder.config, autoencoder.coordinates
        encoded = autoencoder.encoded(coordinates_MP[:: -(-len(coordinates_MP) // PRIOR_MEMBERS)])
        step_Z = autoencoder.bottleneck.coding_step(encoded)
        symbols: Symbols | None = None
        if step_Z is not None:
            symbols = _fit_symbols(autoencoder.bottleneck.latent(encoded), step_Z.half().float())
        receiver = Receiver(
            config=config,
            architecture=coordinates.architecture,
            decoder=autoencoder.folded_decoder(),
            offset_P=coordinates.offset(),
            symbols=symbols,
            gain_prior=GaussianColumns.fit(gain_M[:, None].numpy()) if config.gain else None,
            common_gain=coordinates.common_gain,
        )
        refiner = Refiner(config, images.first(PROBE_IMAGES))
        return cls(autoencoder, Receiver.from_bytes(receiver.to_bytes()), refiner, name)

    @property
    def shared_bytes(self) -> int:
        """Length of the receiver's file: decoder and distributions in float16, and what they are."""
        return self._shared_bytes

    def compress(self, population: Population) -> bytes:
        """See :class:`trainables.codecs.codec.Codec`.

        Raises:
            ValueError: The population is empty or a weight is not finite.
        """
        if not len(population):
            raise ValueError("the population is empty; a payload holds at least one member")
        prepared = self.autoencoder.coordinates.prepare(population)
        latent = self.autoencoder.encode_prepared(prepared)
        values_MZ = self.refiner(self.receiver, prepared, latent.values_MZ, latent.gain_M)
        stream, raw = Encoder(), b""
        if self.receiver.gain_prior is not None:
            stream.add(self.receiver.gain_prior, latent.gain_M[:, None].numpy())
        if self.receiver.symbols is None:
            raw = values_MZ.clamp(-FLOAT16_LIMIT, FLOAT16_LIMIT).numpy().astype("<f2").tobytes()
        else:
            stream.add(self.receiver.symbols.prior, self.receiver.symbols.of(values_MZ))
        return with_header(len(population), raw + stream.finish())

    @torch.no_grad()
    def decompress(self, payload: bytes) -> Tensor:
        """See :class:`trainables.codecs.codec.Codec`.

        Raises:
            ValueError: The payload is too short.
        """
        members, body = read_header(payload)
        receiver = self.receiver
        width = self.autoencoder.bottleneck.latent_width
        raw_length = 0 if receiver.symbols is not None else 2 * members * width
        if len(body) < raw_length:
            raise ValueError(f"a payload of {members} networks has {len(body)} bytes after its header; it is truncated")
        stream = Decoder(body[raw_length:])
        gain_M = torch.full((members,), receiver.common_gain)
        if receiver.gain_prior is not None:
            gain_M = torch.from_numpy(stream.read(receiver.gain_prior, members)[:, 0])
        if receiver.symbols is None:
            values = np.frombuffer(body[:raw_length], dtype="<f2").reshape(members, width)
            return receiver.weights(torch.from_numpy(values.astype(np.float32)), gain_M)
        symbols_MZ = torch.from_numpy(stream.read(receiver.symbols.prior, members))
        return receiver.weights(symbols_MZ * receiver.symbols.step_Z, gain_M)

    def to_files(self) -> dict[str, bytes]:
        """The whole codec, sender's and receiver's side: ``model.safetensors`` and ``config.json``."""
        model = self.autoencoder
        tensors = {f"autoencoder.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"coordinates.{name}": tensor for name, tensor in model.coordinates.tensors().items()}
        tensors["images"] = self.refiner.images.values
        tensors["receiver"] = torch.frombuffer(bytearray(self.receiver.to_bytes()), dtype=torch.uint8)
        facts = {
            "name": self.name,
            "config": model.config,
            "architecture": model.coordinates.architecture,
            "image_scale": self.refiner.images.scale,
            "shared_bytes": self.shared_bytes,
        }
        return {
            MODEL_FILE: save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}),
            CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> LearnedCodec:
        """The inverse of :meth:`to_files`.

        Raises:
            ValueError: A file is missing.
        """
        for name in (MODEL_FILE, CONFIG_FILE):
            if name not in files:
                raise ValueError(f"a learned codec is {MODEL_FILE} and {CONFIG_FILE}; {name} is missing")
        facts, tensors = json.loads(files[CONFIG_FILE]), load(files[MODEL_FILE])
        config = from_json(AutoencoderConfig, facts["config"])
        coordinates = Coordinates.from_tensors(
            config, Architecture.from_json(facts["architecture"]), _with_prefix(tensors, "coordinates.")
        )
        autoencoder = new_autoencoder(config, coordinates)
        autoencoder.load_state_dict(_with_prefix(tensors, "autoencoder."))
        pixels = tensors["images"]
        images = Examples(
            pixels, torch.zeros(len(pixels), dtype=torch.int64), facts["image_scale"]
        )  # labels play no part
        receiver = Receiver.from_bytes(tensors["receiver"].numpy().tobytes())
        return cls(autoencoder, receiver, Refiner(config, images), facts["name"])


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fit_symbols(latent_MZ: Tensor, step_Z: Tensor) -> Symbols:
    """The distribution, of those there are, under which the training population takes the fewest bytes."""
    uncoded = Symbols(step_Z, GaussianColumns(np.zeros(len(step_Z)), np.ones(len(step_Z))))
    symbols_MZ = uncoded.of(latent_MZ)

    def size(prior: ParametricColumns) -> int:
        stream = Encoder()
        stream.add(prior, symbols_MZ)
        return len(stream.finish())

    return Symbols(step_Z, min((family.fit(symbols_MZ) for family in PRIORS.values()), key=size))
