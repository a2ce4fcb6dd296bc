"""Fitting autoencoders by gradient.

Shape letters: M members, B batch, Z latent width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trainables.autoencoders.autoencoder import Autoencoder
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.autoencoders.receiver import family_of
from trainables.behavior import Behavior, relevance
from trainables.codecs.validation import validate_codec
from trainables.gradient_fit import GradientFit, require_networks
from trainables.large_weights import require_squares
from trainables.trainable import FitData, Reference

# Of the drawn examples, those of a network's own classes.
SMALLEST_SHARE = 1 / 8


def begin(family: Reference, config: AutoencoderConfig, data: FitData) -> AutoencoderFit:
    """Begins a fit of a family."""
    return AutoencoderFit(family_of(family), config, data)


class AutoencoderFit(GradientFit):
    """Fits a weight autoencoder to training members of one layout.

    Args:
        family: What to fit.
        config: How.
        data: Training members with finite weights; training examples for the behavioral loss and for views that
            need inputs.
    """

    module: Autoencoder

    def __init__(self, family: type[Autoencoder], config: AutoencoderConfig, data: FitData) -> None:
        training, _ = data.one_layout("an autoencoder")
        require_networks([len(training)])
        require_squares(training)
        self.data = data
        self.examples = data.dataset.train
        coordinates = Coordinates.fit(config, training, self.examples)
        self.training = coordinates.prepare(training)
        self.coordinates_MP, self.gain_M = coordinates.forward_prepared(self.training)
        self.softmax = data.dataset.task.has_classes
        # Of networks with class tasks, only some of the drawn examples count.
        counts_MN = relevance(self.training.select(range(0, len(self.training), 16)), self.examples)
        share = 1.0 if counts_MN is None else float(counts_MN.mean())
        self.drawn_examples = round(config.batch_examples / max(share, SMALLEST_SHARE))
        self.mean_square = float(self.coordinates_MP.square().mean())
        autoencoder = family(config, coordinates)
        autoencoder.initialize(self.coordinates_MP)
        super().__init__(config, autoencoder, [len(training)])

    def losses(self, population: int, rows: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """See :class:`GradientFit`.

        Returns:
            ``loss``, ``weight_error`` (relative to the view's mean square), ``behavior_error`` (KL in nats, or relative
            squared error) and ``estimated_bits_per_weight``.
        """
        config, model = self.config, self.module
        coordinates_BP = self.coordinates_MP[rows]
        noise_BZ = torch.rand(len(rows), model.bottleneck.latent_width, generator=generator)
        encoded = model.encoded(coordinates_BP)
        latent_BZ, bits_B = model.bottleneck(encoded, noise_BZ)
        if config.latent_noise:
            latent_BZ = latent_BZ + self._cell_noise(latent_BZ, encoded, generator)
        decoded_BP = model.decoder(latent_BZ)
        weight_error = (decoded_BP - coordinates_BP).square().mean() / self.mean_square
        kl = torch.zeros(())
        if config.behavior_loss:
            chosen = torch.randint(len(self.examples), (self.drawn_examples,), generator=generator)
            batch, drawn = self.training.select(rows), self.examples.select(chosen)
            wanted_BNC = batch.logits(drawn.inputs)
            behavior = Behavior(batch, drawn, wanted_BNC, softmax=self.softmax, logit_spread=config.logit_spread)
            weights_BP = model.coordinates.inverse(decoded_BP, self.gain_M[rows])
            kl = behavior.distance(batch.logits(drawn.inputs, weights_BP)).mean()
        bits = bits_B.mean() / self.training.parameters
        loss = config.weight_loss * weight_error + config.behavior_loss * kl + config.rate_loss * bits
        return {
            "loss": loss,
            "weight_error": weight_error,
            "behavior_error": kl,
            "estimated_bits_per_weight": bits,
        }

    @torch.no_grad()
    def _cell_noise(self, latent_BZ: Tensor, encoded: Tensor, generator: torch.Generator) -> Tensor:
        """What analog cells add to latents whose symbols share a network's scale, all about as much: ``[B, Z]``."""
        step_Z = self.module.bottleneck.coding_step(encoded)
        step_Z = torch.ones(latent_BZ.shape[1]) if step_Z is None else step_Z
        largest_B1 = (latent_BZ / step_Z).abs().amax(1, keepdim=True)
        return self.config.latent_noise * largest_B1 * step_Z * torch.randn(latent_BZ.shape, generator=generator)

    def artifact(self) -> LearnedCodec:
        """The autoencoder as it is now, as a codec with distributions fitted on the training members.

        The codec shares the encoder with this fit: use it, or store it, before the next epoch.

        Raises:
            DivergedError: A number of the autoencoder is not finite.
        """
        self.require_finite()
        return LearnedCodec.of(self.module, self.coordinates_MP, self.gain_M, self.examples, self.data.dataset.task)

    def validate(self) -> dict[str, float]:
        """See :class:`trainables.trainable.Fit`; weight errors are counted after units are put in order."""
        return validate_codec(self.artifact(), self.data, self.module.coordinates.prepare)
