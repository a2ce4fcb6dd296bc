"""Fitting autoencoders by gradient, one epoch at a time; a fit can be stopped and continued after any.

Shape letters: M members, B batch, Z latent width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.autoencoders.autoencoder import Autoencoder
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.autoencoders.receiver import family_of
from trainables.behavior import Behavior, relevance
from trainables.closed_form import PROGRESS_FILE, require_same_config
from trainables.codecs.validation import validate_codec
from trainables.trainable import DivergedError, FitData, Reference
from zoo.config import canonical_json

STATE_FILE = "state.safetensors"
GRADIENT_NORM = 1.0
# Of the drawn examples, those of a network's own classes.
SMALLEST_SHARE = 1 / 8


def begin(family: Reference, config: AutoencoderConfig, data: FitData) -> AutoencoderFit:
    """Begins a fit of a family."""
    return AutoencoderFit(family_of(family), config, data)


class AutoencoderFit:
    """Fits a weight autoencoder to training members of one layout; a :class:`trainables.trainable.Fit`.

    Random draws are a function of (seed, epoch), so a fit that continues from a state after any epoch does what
    it would have done without the interruption.

    Args:
        family: What to fit.
        config: How.
        data: Training members with finite weights; training examples for the behavioral loss and for views that
            need inputs.

    Attributes:
        epoch: Epochs done.
    """

    def __init__(self, family: type[Autoencoder], config: AutoencoderConfig, data: FitData) -> None:
        training, _ = data.one_layout("an autoencoder")
        if not len(training):
            raise ValueError("the training population is empty; an autoencoder needs members to fit")
        self.config = config
        self.data = data
        self.examples = data.dataset.train
        self.epoch = 0
        coordinates = Coordinates.fit(config, training, self.examples)
        self.training = coordinates.prepare(training)
        self.coordinates_MP, self.gain_M = coordinates.forward_prepared(self.training)
        self.softmax = data.dataset.task.has_classes
        # Of networks with class tasks, only some of the drawn examples count.
        counts_MN = relevance(self.training.select(range(0, len(self.training), 16)), self.examples)
        share = 1.0 if counts_MN is None else float(counts_MN.mean())
        self.drawn_examples = round(config.batch_examples / max(share, SMALLEST_SHARE))
        self.mean_square = float(self.coordinates_MP.square().mean())
        self.autoencoder = family(config, coordinates)
        self.autoencoder.initialize(self.coordinates_MP)
        self.optimizer = torch.optim.Adam(self.autoencoder.parameters(), lr=config.learning_rate)

    @property
    def epochs(self) -> int:
        """How many there are to be."""
        return self.config.epochs

    @property
    def batches(self) -> int:
        """Optimizer steps an epoch."""
        return max(1, len(self.training) // self.config.batch_size)

    def train_epoch(self) -> dict[str, float]:
        """Goes through the training members once.

        Returns:
            Means over the epoch: ``loss``, ``weight_error`` (relative to the view's mean square),
            ``behavior_error`` (KL in nats, or relative squared error), ``estimated_bits_per_weight``; and ``epoch``.

        Raises:
            DivergedError: The loss is not finite.
            RuntimeError: All epochs are done.
        """
        if self.epoch >= self.config.epochs:
            raise RuntimeError(f"all {self.config.epochs} epochs are done; the learning rate has fallen to zero")
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.training), generator=generator)
        sums = torch.zeros(4, dtype=torch.float64)
        for batch in range(self.batches):
            rows = order[batch * self.config.batch_size : (batch + 1) * self.config.batch_size]
            progress = (self.epoch + batch / self.batches) / self.config.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
            losses = self._losses(rows, generator)
            if not torch.isfinite(losses[0]):
                raise DivergedError(
                    f"the loss is {float(losses[0].detach())} in epoch {self.epoch + 1}, step {batch + 1}; lower "
                    f"learning_rate ({self.config.learning_rate}) or the loss weights"
                )
            self.optimizer.zero_grad(set_to_none=True)
            losses[0].backward()
            torch.nn.utils.clip_grad_norm_(self.autoencoder.parameters(), GRADIENT_NORM)
            self.optimizer.step()
            sums += losses.detach().double()
        self.epoch += 1
        names = ("loss", "weight_error", "behavior_error", "estimated_bits_per_weight")
        means = (sums / self.batches).tolist()
        return dict(zip(names, means, strict=True)) | {"epoch": self.epoch}

    def _losses(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """[loss, weight error, behavioral distance, bits per weight] of one batch."""
        config, model = self.config, self.autoencoder
        coordinates_BP = self.coordinates_MP[rows]
        noise_BZ = torch.rand(len(rows), model.bottleneck.latent_width, generator=generator)
        latent_BZ, bits_B = model.bottleneck(model.encoded(coordinates_BP), noise_BZ)
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
        return torch.stack([loss, weight_error, kl, bits])

    def artifact(self) -> LearnedCodec:
        """The autoencoder as it is now, as a codec with distributions fitted on the training members.

        The codec shares the encoder with this fit: use it, or store it, before the next epoch.

        Raises:
            DivergedError: A number of the autoencoder is not finite.
        """
        if not all(torch.isfinite(parameter).all() for parameter in self.autoencoder.parameters()):
            raise DivergedError(f"after epoch {self.epoch} the autoencoder is not finite; lower learning_rate")
        return LearnedCodec.of(
            self.autoencoder, self.coordinates_MP, self.gain_M, self.examples, self.data.dataset.task
        )

    def validate(self) -> dict[str, float]:
        """See :class:`trainables.trainable.Fit`; weight errors are counted after units are put in order."""
        return validate_codec(self.artifact(), self.data, self.autoencoder.coordinates.prepare)

    def state(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Fit`; the autoencoder, Adam's moments and the epoch."""
        tensors = {f"model.{name}": tensor for name, tensor in self.autoencoder.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            for name, tensor in moments.items():
                tensors[f"optimizer.{index}.{name}"] = tensor
        progress = {"config": self.config, "epoch": self.epoch}
        return {
            STATE_FILE: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
            PROGRESS_FILE: canonical_json(progress).encode(),
        }

    def load_state(self, state: Mapping[str, bytes]) -> None:
        """See :class:`trainables.trainable.Fit`; the data must be the same.

        Raises:
            ValueError: The state is of another configuration.
        """
        progress = json.loads(state[PROGRESS_FILE])
        require_same_config(progress["config"], self.config)
        tensors = load(state[STATE_FILE])
        self.autoencoder.load_state_dict(
            {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        )
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, moment = name.split(".")
                optimizer["state"].setdefault(int(index), {})[moment] = tensor
        self.optimizer.load_state_dict(optimizer)
        self.epoch = progress["epoch"]
