"""Configurations of encoders; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.config import require

STATISTICS = ("all", "moments", "quantiles")
TOKENS = ("neuron", "weight")
SCHEDULES = ("cosine", "plateau")
PRECISIONS = ("bfloat16", "float32")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsConfig:
    """The weights themselves.

    Attributes:
        aligned: Bring hidden units into the order that matches the first training member best.
    """

    aligned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StatisticsConfig:
    """Statistics of each weight and bias tensor.

    Attributes:
        statistics: "moments" (mean, variance), "quantiles" (1, 25, 50, 75, 99 %) or "all".
    """

    statistics: str = "all"

    def __post_init__(self) -> None:
        require(self.statistics in STATISTICS, self, "statistics", ", ".join(STATISTICS))


@dataclass(frozen=True, kw_only=True, slots=True)
class HyperRepresentationConfig:
    """A transformer over tokens of one network; the defaults are those published for the MNIST zoos.

    Attributes:
        tokens: One token a "neuron" (incoming weights and bias), or one a "weight" for tiny networks.
        compression_token: Read the latent from a token of its own; else from all tokens.
        width: Of a token in the transformer.
        blocks: Attention blocks of the encoder, and as many of the decoder.
        heads: Attention heads of a block; they divide ``width``.
        feedforward: Hidden width of a block's own network.
        latent: Width of the embedding.
        dropout: In the blocks.
        contrast: γ: share of the contrastive loss; the rest is reconstruction.
        temperature: Of the contrastive loss.
        projection: Hidden width of the projection head.
        projection_output: Its output width.
        projection_layers: Its hidden layers.
        views: Of each network a step; two or more where there is contrast.
        permute: Whether each view of a network has its hidden units in a random order.
        erase: Probability that a block of 2 to 33 % of a view's weights is erased.
        noise: Deviation of the noise on a view's weights, in root mean squares of the network.
        layer_loss: Divide the weights of each tensor by their deviation over the training networks, in what is seen
            and what is reconstructed, so that layers with small weights count too (arXiv 2209.14733, section 3.1).
        structure: β: share of the weights' error in the reconstruction loss; the rest is the mean squared difference of
            outputs on training examples (arXiv 2503.17138, which takes 0.1).
        queries: Examples a step on which outputs are compared.
        precision: Of matrix products: "bfloat16", or "float32" for CPUs without AVX-512 BF16.
        learning_rate: Adam's step size at the start.
        schedule: How it falls: to zero along a half "cosine", or by 0.3 at each "plateau" of the training loss.
        weight_decay: Of Adam, decoupled.
        batch_size: Networks a step.
        epochs: Passes over the training snapshots.
        seed: Seed of everything random.
    """

    tokens: str = "neuron"
    compression_token: bool = True
    width: int = 800
    blocks: int = 2
    heads: int = 4
    feedforward: int = 900
    latent: int = 700
    dropout: float = 0.1
    contrast: float = 0.1
    temperature: float = 0.1
    projection: int = 400
    projection_output: int = 50
    projection_layers: int = 4
    views: int = 2
    permute: bool = True
    erase: float = 0.5
    noise: float = 0.0
    layer_loss: bool = False
    structure: float = 1.0
    queries: int = 256
    precision: str = "bfloat16"
    learning_rate: float = 1e-4
    schedule: str = "cosine"
    weight_decay: float = 1e-9
    batch_size: int = 500
    epochs: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.tokens in TOKENS, self, "tokens", ", ".join(TOKENS))
        require(self.schedule in SCHEDULES, self, "schedule", ", ".join(SCHEDULES))
        require(self.projection_output >= 1, self, "projection_output", "1 or more")
        require(1 <= self.projection_layers <= 12, self, "projection_layers", "1 to 12")
        require(0 <= self.erase <= 1, self, "erase", "0 to 1")
        check_transformer(self)


def check_transformer(config: Any) -> None:
    """Checks what transformers that contrast and reconstruct networks have in common, whatever their tokens are.

    Raises:
        ValueError: A field is not allowed; the message says what is.
    """
    require(config.precision in PRECISIONS, config, "precision", ", ".join(PRECISIONS))
    for name in ("width", "heads", "feedforward", "latent", "projection", "queries", "epochs"):
        require(getattr(config, name) >= 1, config, name, "1 or more")
    fewest = 2 if config.contrast else 1
    require(fewest <= config.views <= 64, config, "views", f"{fewest} to 64 where contrast is {config.contrast}")
    require(1 <= config.blocks <= 12, config, "blocks", "1 to 12")
    require(config.width % config.heads == 0, config, "heads", f"a divisor of width, which is {config.width}")
    require(config.batch_size >= 2, config, "batch_size", "2 or more")
    for name in ("contrast", "structure"):
        require(0 <= getattr(config, name) <= 1, config, name, "0 to 1")
    require(0 <= config.dropout < 1, config, "dropout", "0 to less than 1")
    require(config.temperature > 0, config, "temperature", "more than 0")
    for name in ("noise", "weight_decay"):
        require(getattr(config, name) >= 0, config, name, "0 or more")
    require(config.learning_rate > 0, config, "learning_rate", "more than 0")
    require(0 <= config.seed < 2**32, config, "seed", "0 to 2^32 - 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisedConfig:
    """What encoders that learn from labels have in common; each adds its sizes.

    Attributes:
        targets: Columns of the zoo that are learned, with commas; "all" for every one in which training networks
            differ.
        latent: Width of the embedding.
        learning_rate: Adam's step size at the start; it falls to zero along a half cosine.
        weight_decay: Of Adam, decoupled.
        batch_size: Networks a step, all of one layout.
        epochs: Passes over the training snapshots.
        seed: Seed of everything random.
    """

    targets: str = "all"
    latent: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    batch_size: int = 64
    epochs: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        require(bool(self.targets), self, "targets", 'names of columns with commas, or "all"')
        for name in ("latent", "batch_size", "epochs"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.learning_rate > 0, self, "learning_rate", "more than 0")
        require(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        require(0 <= self.seed < 2**32, self, "seed", "0 to 2^32 - 1")
