"""The codec made of a fitted autoencoder: latents become symbols, symbols become bytes.

Shape letters: M members, P parameters, Z latent width of a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.autoencoders.autoencoder import Autoencoder, Latent
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.receiver import PRIORS, Receiver, Symbols, family_of, with_prefix
from trainables.autoencoders.refine import PROBE_EXAMPLES, Refiner
from trainables.codecs.cells import Numbers
from trainables.codecs.codec import read_header, with_header
from trainables.codecs.entropy import Decoder, Encoder, GaussianColumns, ParametricColumns
from trainables.trainable import Reference
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.data.examples import Examples
from zoo.data.task import Task
from zoo.population import Population

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
FLOAT16_LIMIT = 65504.0
# Training networks on which steps and distributions are fitted; more change nothing.
PRIOR_MEMBERS = 2000
# A network's size in quarter octaves, where it is not entropy coded.
GAIN_BITS = 8


class LearnedCodec:
    """A fitted autoencoder as a codec: its encoder on the sender's side, a :class:`Receiver` on both.

    What is coded is decoded with the float16-rounded decoder that ``shared_bytes`` counts.

    Attributes:
        autoencoder: The fitted autoencoder.
        receiver: Decoder and distributions, rounded.
        refiner: Improves symbols when networks are encoded.
    """

    name = "autoencoder"

    def __init__(self, autoencoder: Autoencoder, receiver: Receiver, refiner: Refiner) -> None:
        self.autoencoder = autoencoder
        self.receiver = receiver
        self.refiner = refiner
        self._shared_bytes = len(receiver.to_bytes())

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        autoencoder: Autoencoder,
        coordinates_MP: Tensor,
        gain_M: Tensor,
        examples: Examples,
        task: Task,
    ) -> LearnedCodec:
        """Fits steps and distributions on the training population and rounds the decoder to float16.

        Args:
            autoencoder: Fitted.
            coordinates_MP: Coordinates of the training members.
            gain_M: Their gains, in quarter octaves.
            examples: Training examples; the sender keeps the first 4,096 to refine symbols on.
            task: The data set's.
        """
        config = autoencoder.config
        encoded = autoencoder.encoded(coordinates_MP[:: -(-len(coordinates_MP) // PRIOR_MEMBERS)])
        step_Z = autoencoder.bottleneck.coding_step(encoded)
        symbols: Symbols | None = None
        if step_Z is not None:
            symbols = _fit_symbols(autoencoder.bottleneck.latent(encoded), step_Z.half().float())
        gain_prior = GaussianColumns.fit(gain_M[:, None].numpy()) if config.gain else None
        stored = Receiver.of(autoencoder, symbols, gain_prior).to_bytes()
        receiver = Receiver.from_bytes(stored, type(autoencoder), type(config))
        return cls(autoencoder, receiver, Refiner(config, examples.first(PROBE_EXAMPLES), task))

    @property
    def shared_bytes(self) -> int:
        """Length of the receiver's file: decoder and distributions in float16, and what they are."""
        return self._shared_bytes

    def compress(self, population: Population) -> bytes:
        """See :class:`trainables.codecs.codec.Codec`."""
        return self.payload(self.symbols(population))

    def symbols(self, population: Population) -> Latent:
        """Latents, refined; see :class:`trainables.codecs.payloads.SymbolCodec`.

        Raises:
            ValueError: The population is empty, of another layout, or a weight is not finite.
        """
        if not len(population):
            raise ValueError("the population is empty; a payload holds at least one member")
        if population.architecture.layout != self.receiver.architecture.layout:
            raise ValueError(
                f"the population has {population.parameters} parameters in another layout than the codec's "
                f"{self.receiver.architecture.parameters}; fit a codec on a population of its layout"
            )
        prepared = self.autoencoder.coordinates.prepare(population)
        latent = self.autoencoder.encode_prepared(prepared)
        return Latent(self.refiner(self.receiver, prepared, latent.values_MZ, latent.gain_M), latent.gain_M)

    def numbers(self, population: Population) -> Numbers:
        """See :class:`trainables.codecs.cells.InCells`: latents, or their symbols; sizes are protected."""
        latent, symbols = self.symbols(population), self.receiver.symbols
        # Refined latents are made to be rounded, and lose more where they are not.
        written_MZ = latent.values_MZ.numpy() if symbols is None else symbols.of(latent.values_MZ)

        @torch.no_grad()
        def weights(read: Sequence[np.ndarray]) -> Tensor:
            read_MZ = torch.from_numpy(read[0]).float()
            return self.receiver.weights(read_MZ if symbols is None else read_MZ * symbols.step_Z, latent.gain_M)

        return Numbers((written_MZ,), 0 if self.receiver.gain_prior is None else GAIN_BITS, weights)

    def payload(self, symbols: Latent) -> bytes:
        """See :class:`trainables.codecs.payloads.SymbolCodec`."""
        stream, raw = Encoder(), b""
        if self.receiver.gain_prior is not None:
            stream.add(self.receiver.gain_prior, symbols.gain_M[:, None].numpy())
        if self.receiver.symbols is None:
            raw = symbols.values_MZ.clamp(-FLOAT16_LIMIT, FLOAT16_LIMIT).numpy().astype("<f2").tobytes()
        else:
            stream.add(self.receiver.symbols.prior, self.receiver.symbols.of(symbols.values_MZ))
        return with_header(len(symbols.values_MZ), raw + stream.finish())

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
        tensors |= {"examples": self.refiner.examples.values, "targets": self.refiner.examples.targets}
        tensors["receiver"] = torch.frombuffer(bytearray(self.receiver.to_bytes()), dtype=torch.uint8)
        facts = {
            "config": model.config,
            "architecture": model.coordinates.architecture,
            "example_scale": self.refiner.examples.scale,
            "task": self.refiner.task,
            "shared_bytes": self.shared_bytes,
        }
        return {
            MODEL_FILE: save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}),
            CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode(),
        }


def load_codec(family: Reference, config_type: type[AutoencoderConfig], files: Mapping[str, bytes]) -> LearnedCodec:
    """The inverse of :meth:`LearnedCodec.to_files`.

    Args:
        family: The family of the autoencoder.
        config_type: The class of its configuration.
        files: What was stored.

    Raises:
        ValueError: A file is missing.
    """
    for name in (MODEL_FILE, CONFIG_FILE):
        if name not in files:
            raise ValueError(f"a learned codec is {MODEL_FILE} and {CONFIG_FILE}; {name} is missing")
    facts, tensors = json.loads(files[CONFIG_FILE]), load(files[MODEL_FILE])
    config = from_json(config_type, facts["config"])
    architecture = Architecture.from_json(facts["architecture"])
    coordinates = Coordinates.from_tensors(config, architecture, with_prefix(tensors, "coordinates."))
    autoencoder = family_of(family)(config, coordinates)
    autoencoder.load_state_dict(with_prefix(tensors, "autoencoder."))
    examples = Examples(tensors["examples"], tensors["targets"], facts["example_scale"])
    refiner = Refiner(config, examples, from_json(Task, facts["task"]))
    receiver = Receiver.from_bytes(tensors["receiver"].numpy().tobytes(), type(autoencoder), config_type)
    return LearnedCodec(autoencoder, receiver, refiner)


def _fit_symbols(latent_MZ: Tensor, step_Z: Tensor) -> Symbols:
    """The distribution, of those there are, under which the training population takes the fewest bytes."""
    uncoded = Symbols(step_Z, GaussianColumns(np.zeros(len(step_Z)), np.ones(len(step_Z))))
    symbols_MZ = uncoded.of(latent_MZ)

    def size(prior: ParametricColumns) -> int:
        stream = Encoder()
        stream.add(prior, symbols_MZ)
        return len(stream.finish())

    return Symbols(step_Z, min((family.fit(symbols_MZ) for family in PRIORS.values()), key=size))
