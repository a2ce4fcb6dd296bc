"""Configuration of sequential autoencoders of networks; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.encoders.config import check_transformer
from zoo.config import require

READ = ("mean", "layers")


@dataclass(frozen=True, kw_only=True, slots=True)
class SaneConfig:
    """A transformer over windows of tokens, a latent for each; for networks of any layout and size.

    Attributes:
        token: Numbers of a token: the rows of layers (a neuron's incoming weights, its bias) are cut to it.
        window: Tokens that are seen at once.
        halo: Tokens before and after a window that are seen with it when networks are embedded.
        width: Of a token in the transformer.
        blocks: Attention blocks of the encoder, and as many of the decoder.
        heads: Attention heads of a block; they divide ``width``.
        feedforward: Hidden width of a block's own network.
        latent: Width of a token's latent.
        embedding: A network's is the "mean" of its tokens' latents, as published; or those of each of its "layers" and
            their deviations, side by side, which tell what a mean over signed numbers hides.
        dropout: In the blocks.
        contrast: γ: share of the contrastive loss; the rest is reconstruction.
        temperature: Of the contrastive loss.
        projection: Width of the projection head.
        views: Of each network a step; two or more where there is contrast. The first has its hidden units in the
            canonical order, the others in random ones.
        noise: Deviation of the factors, around 1, by which the weights of what is seen are multiplied.
        layer_loss: Divide weights by the root mean square of the training networks' tensors at their depth, in what is
            seen and what is reconstructed, so that layers with small weights count too; else all by one number.
        structure: β: share of the weights' error in the reconstruction loss; the rest is the mean squared difference of
            outputs on training examples (arXiv 2503.17138, which takes 0.1), for which a step sees whole networks.
        queries: Examples a step on which outputs are compared.
        precision: Of matrix products while fitting: "bfloat16", or "float32" for CPUs without AVX-512 BF16.
        learning_rate: Adam's step size at the start; it falls to zero along a half cosine.
        weight_decay: Of Adam, decoupled.
        batch_size: Networks a step, all of one layout.
        epochs: Passes over the training snapshots.
        seed: Seed of everything random.
    """

    token: int = 160
    window: int = 64
    halo: int = 8
    width: int = 128
    blocks: int = 2
    heads: int = 4
    feedforward: int = 256
    latent: int = 64
    embedding: str = "mean"
    dropout: float = 0.0
    contrast: float = 0.05
    temperature: float = 0.1
    projection: int = 30
    views: int = 2
    noise: float = 0.1
    layer_loss: bool = True
    structure: float = 1.0
    queries: int = 256
    precision: str = "bfloat16"
    learning_rate: float = 1e-3
    weight_decay: float = 3e-9
    batch_size: int = 32
    epochs: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.embedding in READ, self, "embedding", ", ".join(READ))
        for name in ("token", "window"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.halo >= 0, self, "halo", "0 or more")
        check_transformer(self)
