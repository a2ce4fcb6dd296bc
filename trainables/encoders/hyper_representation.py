"""Hyper-representations: a transformer over a network's neurons, trained to contrast and to reconstruct.

Schürholt, Kostadinov and Borth, "Self-Supervised Representation Learning on Neural Network Weights for Model
Characteristic Prediction" (NeurIPS 2021, arXiv 2110.15288), section 3; layer-wise loss: Schürholt et al.,
"Hyper-Representations as Generative Models" (NeurIPS 2022, arXiv 2209.14733), section 3.1; behavioral loss: Meynent et
al., "Structure Is Not Enough" (2025, arXiv 2503.17138).

Shape letters: B networks of a batch, W views of all of them, P parameters, E latent width, N queries, C outputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from trainables.encoders.augmentation import erased, noisy, permuted_networks
from trainables.encoders.config import HyperRepresentationConfig
from trainables.encoders.contrast import nt_xent, projection_head
from trainables.encoders.encoder import probe
from trainables.encoders.layouts import require_finite, require_layout
from trainables.encoders.supervised import bare
from trainables.gradient_fit import GradientFit
from trainables.large_weights import bounded
from trainables.trainable import FitData
from trainables.transformers.blocks import fast_products
from trainables.transformers.networks import NetworkDecoder, NetworkEncoder, token_indices
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.population import Population

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
# Networks that are embedded at once: 64 of 28 tokens of width 800 are 6 MB a layer.
EMBEDDED_AT_ONCE = 64


class HyperRepresentation(nn.Module):
    """The encoder, its decoder and its projection head.

    Args:
        config: Sizes.
        architecture: Gives the layout of the networks.
    """

    scale_P: Tensor

    def __init__(self, config: HyperRepresentationConfig, architecture: Architecture) -> None:
        super().__init__()
        self.config, self.architecture = config, architecture
        self.register_buffer("scale_P", torch.ones(architecture.parameters))
        indices = token_indices(config.tokens, architecture)
        self.encoder = NetworkEncoder(config, indices, config.latent, compression_token=config.compression_token)
        self.decoder = NetworkDecoder(config, indices)
        self.projection = projection_head(
            config.latent, config.projection, config.projection_output, config.projection_layers
        )

    def encode(self, weights_BP: Tensor) -> Tensor:
        """``latent_BE`` of networks."""
        with fast_products(self.config.precision):
            return torch.tanh(self.encoder(weights_BP / self.scale_P).float())

    def decode(self, latent_BE: Tensor) -> Tensor:
        """``weights_BP`` of latents."""
        with fast_products(self.config.precision):
            decoded_BP: Tensor = self.decoder(latent_BE)
        return decoded_BP * self.scale_P


class HyperRepresentationFit(GradientFit):
    """Fits a hyper-representation to all snapshots of the training members of one layout."""

    module: HyperRepresentation

    def __init__(self, config: HyperRepresentationConfig, data: FitData) -> None:
        training, _ = data.one_layout("a hyper-representation")
        require_finite(training)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = HyperRepresentation(config, training.architecture)
        if config.layer_loss:
            module.scale_P.copy_(layer_deviation(training))
        super().__init__(config, module, [len(training)], config.weight_decay)
        self.training = bare(training)
        self.examples = data.dataset.train
        self.data = data

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Gives ``loss``, ``contrast`` (nats), and mean squares: ``reconstruction_error``, ``behavior_error``."""
        config, module = self.config, self.module
        batch = self.training.select(rows_B)
        # Network by network: what is known of one holds for each of its views.
        views = batch.select(torch.arange(len(batch)).repeat_interleave(config.views))
        views_WP = (permuted_networks(views, generator) if config.permute else views).weights_MP
        seen_WP = noisy(erased(views_WP, config.erase, generator), config.noise, generator)
        found = dict.fromkeys(("contrast", "reconstruction_error", "behavior_error"), torch.zeros(()))
        latent_WE = module.encode(seen_WP)
        decoded_WP = module.decode(latent_WE) if config.contrast < 1 else None
        if config.contrast:
            projected_WE = module.projection(latent_WE)
            found["contrast"] = nt_xent(projected_WE.unflatten(0, (-1, config.views)), config.temperature)
        if decoded_WP is not None and config.structure:
            found["reconstruction_error"] = ((decoded_WP - views_WP) / module.scale_P).square().mean()
        if decoded_WP is not None and config.structure < 1:
            chosen = torch.randint(len(self.examples), (config.queries,), generator=generator)
            found["behavior_error"] = behavior_error(batch, decoded_WP, self.examples.select(chosen).inputs)
        rebuilt = config.structure * found["reconstruction_error"] + (1 - config.structure) * found["behavior_error"]
        return {"loss": config.contrast * found["contrast"] + (1 - config.contrast) * rebuilt, **found}

    def artifact(self) -> HyperRepresentationEncoder:
        """See :class:`trainables.trainable.Fit`."""
        self.require_finite()
        return HyperRepresentationEncoder(self.module)

    def validate(self) -> dict[str, float]:
        """What probes tell of validation members, and how well those are reconstructed."""
        encoder = self.artifact()
        _, validation = self.data.one_layout("a hyper-representation")
        return {**probe(encoder, self.data), **encoder.reconstruction(validation)}


class HyperRepresentationEncoder:
    """A fitted hyper-representation; see :class:`trainables.encoders.encoder.Encoder`.

    Args:
        module: What was fitted.
    """

    def __init__(self, module: HyperRepresentation) -> None:
        self.module = module.eval()

    @torch.no_grad()
    def embed(self, population: Population) -> np.ndarray:
        """See :class:`trainables.encoders.encoder.Encoder`."""
        require_layout(population, self.module.architecture)
        parts = [self.module.encode(part) for part in bounded(population).weights_MP.split(EMBEDDED_AT_ONCE)]
        return torch.cat(parts).numpy()

    @torch.no_grad()
    def reconstruction(self, population: Population) -> dict[str, float]:
        """R² of the reconstructed weights: 1 - Σ(error)² / Σ(weight - mean of that weight)²."""
        error = 0.0
        for part in population.weights_MP.split(EMBEDDED_AT_ONCE):
            error += float((self.module.decode(self.module.encode(part)) - part).square().sum())
        spread = float((population.weights_MP - population.weights_MP.mean(0)).square().sum())
        return {"reconstruction_r2": 1 - error / spread} if spread else {}

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        facts = {"config": self.module.config, "architecture": self.module.architecture.to_json()}
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        return {MODEL_FILE: save(tensors), CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> HyperRepresentationEncoder:
        """The inverse of :meth:`to_files`."""
        facts = json.loads(files[CONFIG_FILE])
        config = from_json(HyperRepresentationConfig, facts["config"])
        module = HyperRepresentation(config, Architecture.from_json(facts["architecture"]))
        module.load_state_dict(load(files[MODEL_FILE]))
        return cls(module)


def behavior_error(networks: Population, decoded_WP: Tensor, x: Tensor) -> Tensor:
    """Mean squared difference of outputs on some queries (arXiv 2503.17138, section 3), a scalar.

    Args:
        networks: The B original networks.
        decoded_WP: Reconstructions of W / B views of each, network by network.
        x: Queries ``[N, *input_shape]``; no view of a network answers them otherwise than the network itself.
    """
    views = len(decoded_WP) // len(networks)
    with torch.no_grad():
        wanted_BNC = networks.logits(x)
    rows_W = torch.arange(len(networks)).repeat_interleave(views)
    answers_WNC = networks.select(rows_W).logits(x, decoded_WP)
    return (answers_WNC.unflatten(0, (-1, views)) - wanted_BNC.unsqueeze(1)).square().mean()


def layer_deviation(population: Population) -> Tensor:
    """The standard deviation of each tensor's weights, of all networks together: ``[P]``, the same within a tensor."""
    deviation_P = torch.ones(population.parameters)
    for spec in population.architecture.layout:
        deviation_P[spec.span] = population.weights_MP[:, spec.span].std().clamp_min(1e-6)
    return deviation_P
