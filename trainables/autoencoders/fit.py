"""Fitting: objects that go one epoch at a time and can be stopped and continued anywhere.

Shape letters: M members, B batch, Z latent width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from safetensors.torch import load, save
from torch import Tensor

from trainables.autoencoders.autoencoder import new_autoencoder
from trainables.autoencoders.config import AutoencoderConfig
from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.learned_codec import LearnedCodec
from trainables.autoencoders.receiver import DivergedError as DivergedError
from trainables.fidelity import divergence, measure, sharpness
from zoo.config import canonical_json, to_json
from zoo.data.examples import Examples
from zoo.population import Population

STATE_FILE, PROGRESS_FILE = "state.safetensors", "progress.json"
# Members coded together when a rate is stated.
BLOCK_MEMBERS = 64
GRADIENT_NORM = 1.0


@runtime_checkable
class Fit(Protocol):
    """Anything fitted by gradient, one epoch at a time."""

    def step(self) -> dict[str, float]:
        """Goes through the training population once and returns metrics."""
        ...

    def state(self) -> dict[str, bytes]:
        """Everything that is needed to go on, as files (safetensors and JSON)."""
        ...

    def load_state(self, state: Mapping[str, bytes]) -> None:
        """Continues from :meth:`state`, bit for bit."""
        ...


class AutoencoderFit:
    """Fits a weight autoencoder to a training population.

    Random draws are a function of (seed, epoch), so a fit that continues from a state after any epoch does what
    it would have done without the interruption.

    Args:
        config: What to fit and how.
        training: Training members, weights finite.
        images: Training images, for the behavioral loss and for views that need inputs.

    Attributes:
        epoch: Epochs done.
    """

    def __init__(self, config: AutoencoderConfig, training: Population, images: Examples) -> None:
        if not len(training):
            raise ValueError("the training population is empty; an autoencoder needs members to fit")
        training.require_whole_data_set("a weight autoencoder")
        self.config = config
        self.images = images
        self.epoch = 0
        coordinates = Coordinates.fit(config, training, images)
        self.training = coordinates.prepare(training)
        self.coordinates_MP, self.gain_M = coordinates.forward_prepared(self.training)
        self.mean_square = float(self.coordinates_MP.square().mean())
        self.autoencoder = new_autoencoder(config, coordinates)
        self.autoencoder.initialize(self.coordinates_MP)
        self.optimizer = torch.optim.Adam(self.autoencoder.parameters(), lr=config.learning_rate)

    @property
    def batches(self) -> int:
        """Optimizer steps an epoch."""
        return max(1, len(self.training) // self.config.batch_size)

    def step(self) -> dict[str, float]:
        """See :class:`Fit`.

        Returns:
            Means over the epoch: ``loss``, ``weight_error`` (relative to the view's mean square),
            ``behavior_kl`` in nats, ``estimated_bits_per_weight``; and ``epoch``.

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
        names = ("loss", "weight_error", "behavior_kl", "estimated_bits_per_weight")
        means = (sums / self.batches).tolist()
        return dict(zip(names, means, strict=True)) | {"epoch": self.epoch}

    def _losses(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """[loss, weight error, behavioral KL, bits per weight] of one batch."""
        config, model = self.config, self.autoencoder
        coordinates_BP = self.coordinates_MP[rows]
        noise_BZ = torch.rand(len(rows), model.bottleneck.latent_width, generator=generator)
        latent_BZ, bits_B = model.bottleneck(model.encoded(coordinates_BP), noise_BZ)
        decoded_BP = model.decoder(latent_BZ)
        weight_error = (decoded_BP - coordinates_BP).square().mean() / self.mean_square
        kl = torch.zeros(())
        if config.behavior_loss:
            chosen = torch.randint(len(self.images), (config.batch_images,), generator=generator)
            x = self.images.values[chosen].float() * self.images.scale
            batch = self.training.select(rows)
            with torch.no_grad():
                original = batch.logits(x)
            weights_BP = model.coordinates.inverse(decoded_BP, self.gain_M[rows])
            scale_B11 = sharpness(original, config.logit_spread)
            kl = divergence(original * scale_B11, batch.logits(x, weights_BP) * scale_B11).mean()
        bits = bits_B.mean() / self.training.parameters
        loss = config.weight_loss * weight_error + config.behavior_loss * kl + config.rate_loss * bits
        return torch.stack([loss, weight_error, kl, bits])

    def codec(self, name: str = "autoencoder") -> LearnedCodec:
        """The autoencoder as it is now, as a codec with distributions fitted on the training members.

        The codec shares the encoder with this fit: use it, or store it, before the next step.

        Raises:
            DivergedError: A number of the autoencoder is not finite.
        """
        if not all(torch.isfinite(parameter).all() for parameter in self.autoencoder.parameters()):
            raise DivergedError(f"after epoch {self.epoch} the autoencoder is not finite; lower learning_rate")
        return LearnedCodec.from_coordinates(self.autoencoder, self.coordinates_MP, self.gain_M, self.images, name)

    def validate(self, population: Population, images: Examples) -> dict[str, float]:
        """Rate from real bytes and fidelity, on members and images that were not fitted.

        Returns:
            ``code_bits_per_weight`` (in blocks of 64 members), ``agreement``, ``accuracy_drop_pp``,
            ``accuracy_shift_pp``, ``kl``, ``weight_mse``, ``shared_bytes``.

        Raises:
            DivergedError: The autoencoder or its reconstructions are not finite.
        """
        codec = self.codec()
        payload_bytes = 0
        parts = []
        for rows in torch.arange(len(population)).split(BLOCK_MEMBERS):
            payload = codec.compress(population.select(rows))
            payload_bytes += len(payload)
            parts.append(codec.decompress(payload))
        reconstructed_MP = torch.cat(parts)
        if not torch.isfinite(reconstructed_MP).all():
            raise DivergedError(f"after epoch {self.epoch} reconstructed weights are not finite; lower learning_rate")
        prepared = self.autoencoder.coordinates.prepare(population)
        metrics = measure(population, reconstructed_MP, images).summary()
        metrics["code_bits_per_weight"] = 8 * payload_bytes / population.weights_MP.numel()
        metrics["weight_mse"] = float((reconstructed_MP - prepared.weights_MP).square().mean())
        metrics["shared_bytes"] = codec.shared_bytes
        return metrics

    def state(self) -> dict[str, bytes]:
        """See :class:`Fit`; the autoencoder, Adam's moments and the epoch."""
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
        """See :class:`Fit`; the training population and the images must be the same.

        Raises:
            ValueError: The state is of another configuration.
        """
        progress = json.loads(state[PROGRESS_FILE])
        if canonical_json(progress["config"]) != canonical_json(self.config):
            raise ValueError(
                f"the state is of configuration {progress['config']}; this fit has {to_json(self.config)}: "
                "continue with the same configuration"
            )
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
