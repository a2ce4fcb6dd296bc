"""Hyper-representations: a transformer over a network's neurons, trained to contrast and to reconstruct.

Schürholt, Kostadinov and Borth, "Self-Supervised Representation Learning on Neural Network Weights for Model
Characteristic Prediction" (NeurIPS 2021, arXiv 2110.15288), section 3; layer-wise loss: Schürholt et al.,
"Hyper-Representations as Generative Models" (NeurIPS 2022, arXiv 2209.14733), section 3.1.

Shape letters: B networks of a batch, P parameters, T tokens, D token width, E latent width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from trainables.encoders.augmentation import erased, noisy, permuted
from trainables.encoders.config import HyperRepresentationConfig
from trainables.encoders.contrast import nt_xent, projection_head
from trainables.encoders.encoder import probe
from trainables.encoders.layouts import require_layout
from trainables.gradient_fit import GradientFit
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.population import Population
from zoo.views.tokens import from_neuron_rows, neuron_rows, neuron_shapes

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
# Networks that are embedded at once: 64 of 28 tokens of width 800 are 6 MB a layer.
EMBEDDED_AT_ONCE = 64


class Blocks(nn.TransformerEncoder):
    """Pre-norm attention blocks."""

    def __init__(self, config: HyperRepresentationConfig) -> None:
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.feedforward, config.dropout, norm_first=True, batch_first=True
        )
        super().__init__(layer, config.blocks, enable_nested_tensor=False)


class LayerMaps(nn.ModuleList):
    """A linear map for the neurons of each layer: rows of that layer's width to tokens, or back."""

    def __init__(self, shapes: tuple[tuple[int, int], ...], width: int, *, back: bool = False) -> None:
        super().__init__(nn.Linear(width, row) if back else nn.Linear(row, width) for _, row in shapes)


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
        shapes = neuron_shapes(architecture)
        if config.tokens == "weight":
            shapes = ((architecture.parameters, 1),)
        self.shapes = shapes
        tokens = sum(neurons for neurons, _ in shapes)
        self.register_buffer("scale_P", torch.ones(architecture.parameters))
        self.embedding = LayerMaps(shapes, config.width)
        self.position = nn.Parameter(torch.randn(tokens + config.compression_token, config.width))
        self.compression = nn.Parameter(torch.randn(config.width)) if config.compression_token else None
        self.encoder_blocks = Blocks(config)
        self.to_latent = nn.Linear(config.width if config.compression_token else config.width * tokens, config.latent)
        self.from_latent = nn.Linear(config.latent, config.width * tokens)
        self.decoder_position = nn.Parameter(torch.randn(tokens, config.width))
        self.decoder_blocks = Blocks(config)
        self.debedding = LayerMaps(shapes, config.width, back=True)
        self.projection = projection_head(
            config.latent, config.projection, config.projection_output, config.projection_layers
        )

    def encode(self, weights_BP: Tensor) -> Tensor:
        """``latent_BE`` of networks."""
        scaled_BP = weights_BP / self.scale_P
        rows = [scaled_BP.unsqueeze(2)]
        if self.config.tokens == "neuron":
            rows = neuron_rows(self.architecture, scaled_BP)
        tokens_BTD = torch.cat([embed(row) for embed, row in zip(self.embedding, rows, strict=True)], dim=1)
        if self.compression is not None:
            first = self.compression.expand(len(tokens_BTD), 1, -1)
            tokens_BTD = torch.cat([first, tokens_BTD], dim=1)
        tokens_BTD = self.encoder_blocks(tokens_BTD + self.position)
        read = tokens_BTD[:, 0] if self.compression is not None else tokens_BTD.flatten(1)
        return torch.tanh(self.to_latent(read))

    def decode(self, latent_BE: Tensor) -> Tensor:
        """``weights_BP`` of latents."""
        tokens_BTD = self.from_latent(latent_BE).unflatten(1, (-1, self.config.width))
        tokens_BTD = self.decoder_blocks(tokens_BTD + self.decoder_position)
        parts = tokens_BTD.split([neurons for neurons, _ in self.shapes], dim=1)
        rows = [back(part) for back, part in zip(self.debedding, parts, strict=True)]
        scaled_BP = rows[0].squeeze(2) if self.config.tokens == "weight" else from_neuron_rows(self.architecture, rows)
        return scaled_BP * self.scale_P


class HyperRepresentationFit(GradientFit):
    """Fits a hyper-representation to all snapshots of the training members of one layout."""

    module: HyperRepresentation

    def __init__(self, config: HyperRepresentationConfig, data: FitData) -> None:
        training, _ = data.one_layout("a hyper-representation")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = HyperRepresentation(config, training.architecture)
        if config.layer_loss:
            module.scale_P.copy_(layer_deviation(training))
        super().__init__(config, module, [len(training)], config.weight_decay)
        self.weights_MP = training.weights_MP
        self.data = data

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:  # noqa: ARG002
        """``loss``, ``contrast`` (nats), ``reconstruction_error`` (mean square, in the loss's own units)."""
        config, module = self.config, self.module
        views = [self.weights_MP[rows_B]] * (2 if config.contrast else 1)
        if config.permute:
            views = [permuted(view, module.architecture, generator) for view in views]
        seen = [noisy(erased(view, config.erase, generator), config.noise, generator) for view in views]
        latent_BE = module.encode(torch.cat(seen))
        contrast = error = torch.zeros(())
        if config.contrast < 1:
            difference = (module.decode(latent_BE) - torch.cat(views)) / module.scale_P
            error = difference.square().mean()
        if config.contrast:
            one, other = module.projection(latent_BE).chunk(2)
            contrast = nt_xent(one, other, config.temperature)
        loss = config.contrast * contrast + (1 - config.contrast) * error
        return {"loss": loss, "contrast": contrast, "reconstruction_error": error}

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
        parts = [self.module.encode(part) for part in population.weights_MP.split(EMBEDDED_AT_ONCE)]
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


def layer_deviation(population: Population) -> Tensor:
    """The standard deviation of each layer's weights over networks, for every parameter of it: ``[P]``."""
    deviation_P = torch.ones(population.parameters)
    for spec in population.architecture.layout:
        deviation_P[spec.span] = population.weights_MP[:, spec.span].std().clamp_min(1e-6)
    return deviation_P
