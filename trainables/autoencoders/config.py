"""The autoencoders' configurations; free of torch, so that search spaces and ``--help`` load fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.config import require

ORDERS = ("given", "sorted", "aligned")
# Whole numbers and the most that each can be: with more, a fit would take all memory, or never end.
COUNTS = {
    "latent": 2**20,
    "batch_size": 2**20,
    "batch_examples": 2**20,
    "epochs": 10**6,
}
WIDEST = 2**14


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig:
    """How a weight autoencoder is built and fitted, whatever its family; the keys of a trial.

    Attributes:
        view: The coordinates that it sees and in which weights are compared: a name in
            ``trainables.autoencoders.coordinates.AFFINE_VIEWS`` or ``module:attribute``.
        canonical: How hidden units are ordered before a network is encoded, its function unchanged: "given",
            "sorted" (by size) or "aligned" (by weight matching to the first training member).
        gain: Divide every network's coordinates by their own root mean square, sent along in 6 bits or so: the
            quantizer's step is then a fixed share of each network's own size.
        latent: Width of the latent: of a network, of a neuron, or of what else the family encodes.
        bottleneck: A name in ``trainables.autoencoders.bottleneck.BOTTLENECKS`` or ``module:attribute``.
        bits_per_latent: How finely the quantizer starts: the mean bits of a latent that is normally distributed
            with the principal components' variances. Ignored by the identity.
        latent_noise: Deviation of Gaussian noise on the latent in training, in shares of the network's largest symbol
            (of its largest number where there are no symbols): what analog memory cells add, of which one of the
            published kind has 0.01 to 0.04. 0 for none.
        weight_loss: Weight of the mean squared error in the view, relative to the view's mean square.
        behavior_loss: Weight of KL(original ‖ reconstruction) in nats an example, on training examples.
        logit_spread: For the behavioral loss, scale each network's logits so that the original's have this standard
            deviation: a network that is hardly decided counts as much as one that is. 0 compares them as they are.
        rate_loss: Weight of the rate in bits per weight.
        refine_steps: Gradient steps on a network's own symbols when it is encoded, for the behavioral loss and the
            rate alone: weights may move further from the network's own. None without a behavioral loss.
        learning_rate: Adam's step size at the start; it falls to zero along a half cosine.
        batch_size: Networks a step.
        batch_examples: Training examples on which a step compares behavior.
        epochs: Passes over the training population.
        seed: Seed of everything random.
    """

    view: str = "input_metric"
    canonical: str = "aligned"
    gain: bool = True
    latent: int = 40
    bottleneck: str = "quantized"
    bits_per_latent: float = 1.0
    latent_noise: float = 0.0
    weight_loss: float = 0.3
    behavior_loss: float = 1.0
    logit_spread: float = 4.0
    rate_loss: float = 0.3
    refine_steps: int = 40
    learning_rate: float = 5e-3
    batch_size: int = 64
    batch_examples: int = 32
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.canonical in ORDERS, self, "canonical", ", ".join(ORDERS))
        require(isinstance(self.gain, bool), self, "gain", "true or false")
        for field, most in COUNTS.items():
            _require_count(self, field, most)
        value = self.refine_steps
        require(type(value) is int and 0 <= value <= 10**6, self, "refine_steps", "a whole number, 0 to 1,000,000")
        require(type(self.seed) is int and 0 <= self.seed < 2**32, self, "seed", "0 to 2^32 - 1")
        require(0 < self.bits_per_latent <= 16, self, "bits_per_latent", "0 < bits <= 16")
        for field in ("latent_noise", "weight_loss", "behavior_loss", "logit_spread", "rate_loss"):
            value = getattr(self, field)
            require(math.isfinite(value) and value >= 0, self, field, "0 or more")
        require(self.weight_loss + self.behavior_loss > 0, self, "weight_loss", "more than 0 if behavior_loss is 0")
        require(math.isfinite(self.learning_rate) and self.learning_rate > 0, self, "learning_rate", "more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowAutoencoderConfig(AutoencoderConfig):
    """Fully connected encoders and decoders of rows; see ``trainables.autoencoders.rows``.

    Attributes:
        encoder_depth: Hidden layers of the encoder; 0 leaves the linear map.
        encoder_width: Units in each.
        decoder_depth: Hidden layers of the decoder; 0 leaves the linear map.
        decoder_width: Units in each.
        linear_path: Add the linear map onto the principal components of the training coordinates beside the
            hidden layers, which then start from zero as a correction to it.
    """

    encoder_depth: int = 1
    encoder_width: int = 64
    decoder_depth: int = 1
    decoder_width: int = 64
    linear_path: bool = True

    def __post_init__(self) -> None:
        AutoencoderConfig.__post_init__(self)
        require(isinstance(self.linear_path, bool), self, "linear_path", "true or false")
        for field in ("encoder_width", "decoder_width"):
            _require_count(self, field, WIDEST)
        for field in ("encoder_depth", "decoder_depth"):
            value = getattr(self, field)
            require(type(value) is int and 0 <= value <= 8, self, field, "a whole number from 0 to 8")


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuronAutoencoderConfig(RowAutoencoderConfig):
    """One latent for each neuron; see ``trainables.autoencoders.neuron``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkAutoencoderConfig(RowAutoencoderConfig):
    """One latent for all weights of a network; see ``trainables.autoencoders.network``."""

    latent: int = 128
    bits_per_latent: float = 2.0
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerAutoencoderConfig(AutoencoderConfig):
    """One latent for all weights, by attention among neurons; see ``trainables.autoencoders.transformer``.

    Attributes:
        width: Of a neuron's token.
        blocks: Attention blocks of the encoder, and as many of the decoder.
        heads: Attention heads of a block; they divide ``width``.
        feedforward: Hidden width of a block's own network.
        dropout: In the blocks.
    """

    width: int = 64
    blocks: int = 2
    heads: int = 4
    feedforward: int = 128
    dropout: float = 0.0
    latent: int = 128
    bits_per_latent: float = 2.0
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        AutoencoderConfig.__post_init__(self)
        for field in ("width", "heads", "feedforward"):
            _require_count(self, field, WIDEST)
        _require_count(self, "blocks", 12)
        require(self.width % self.heads == 0, self, "heads", f"a divisor of width, which is {self.width}")
        require(0 <= self.dropout < 1, self, "dropout", "0 to less than 1")


def _require_count(config: AutoencoderConfig, field: str, most: int) -> None:
    value = getattr(config, field)
    require(type(value) is int and 0 < value <= most, config, field, f"a whole number, 1 to {most:,}")
