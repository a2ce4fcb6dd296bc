"""SANE, sequential autoencoders of networks: windows of tokens, contrasted and reconstructed; any layout and size.

Schürholt, Mahoney and Borth, "Towards Scalable and Versatile Weight Space Learning" (ICML 2024, arXiv 2406.09997),
section 3; behavioral loss: Meynent et al., "Structure Is Not Enough" (2025, arXiv 2503.17138). The canonical order of
hidden units is by the size of their weights, which unseen layouts have too (published: matched to a reference network).

Shape letters: B networks of a batch, V views of each, P parameters, T tokens, Z latent width of a token, M members,
E width of an embedding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from trainables.encoders.augmentation import permuted_networks
from trainables.encoders.contrast import nt_xent
from trainables.encoders.encoder import probe
from trainables.encoders.hyper_representation import behavior_error
from trainables.encoders.layouts import require_finite
from trainables.encoders.sane.config import SaneConfig
from trainables.encoders.sane.module import Sane
from trainables.encoders.supervised import bare
from trainables.gradient_fit import GradientFit
from trainables.large_weights import bounded
from trainables.trainable import FitData
from trainables.transformers.blocks import fast_products
from zoo.config import from_json, to_json
from zoo.population import Population
from zoo.views import canonicalize

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
EMBEDDED_AT_ONCE = 32


class SaneFit(GradientFit):
    """Fits a sequential autoencoder to all snapshots of the training members, of any layouts.

    Each step sees the same window of all its networks: where windows differ, their place tells views apart.
    """

    module: Sane

    def __init__(self, config: SaneConfig, data: FitData) -> None:
        self.data = data
        for population in data.training:
            require_finite(population)
        self.training = [canonical(bare(population)) for population in data.training]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            module = Sane(config, Sane.facts_of(config, data.training))
        super().__init__(config, module, [len(population) for population in data.training], config.weight_decay)
        self.scales = [module.scale(population.architecture) for population in data.training]

    def losses(self, population: int, rows_B: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Gives ``loss``, ``contrast`` (nats), and mean squares: ``reconstruction_error``, ``behavior_error``."""
        config, module = self.config, self.module
        batch = self.training[population].select(rows_B)
        layout = module.layout(batch.architecture)
        others = [permuted_networks(batch, generator) for _ in range(config.views - 1)]
        # Network by network: what is known of one holds for each of its views.
        views_VP = torch.stack([each.weights_MP for each in (batch, *others)], dim=1).flatten(0, 1)
        scale_P = self.scales[population]
        scaled_VP = views_VP / scale_P
        part = self.window(len(layout.place_TD), generator)
        noise_VP = torch.randn(scaled_VP.shape, generator=generator)
        seen_VTD = layout.tokens(scaled_VP * (1 + config.noise * noise_VP), part)
        where_TW = module.where(layout)[part]
        found = dict.fromkeys(("contrast", "reconstruction_error", "behavior_error"), torch.zeros(()))
        with fast_products(config.precision):
            latent_VTZ = module.encode(seen_VTD, where_TW)
            decoded_VTD = module.decode(latent_VTZ, where_TW) if config.contrast < 1 else None
        if config.contrast:
            projected_VE = module.projection(latent_VTZ.mean(dim=1))
            found["contrast"] = nt_xent(projected_VE.unflatten(0, (-1, config.views)), config.temperature)
        if decoded_VTD is not None and config.structure:
            kept_TD = layout.kept_TD[part]
            square = (decoded_VTD - layout.tokens(scaled_VP, part)).square() * kept_TD
            found["reconstruction_error"] = square.sum() / (len(square) * kept_TD.sum())
        if decoded_VTD is not None and config.structure < 1:
            examples = self.data.dataset.train
            chosen = torch.randint(len(examples), (config.queries,), generator=generator)
            decoded_VP = layout.weights(decoded_VTD) * scale_P
            found["behavior_error"] = behavior_error(batch, decoded_VP, examples.select(chosen).inputs)
        rebuilt = config.structure * found["reconstruction_error"] + (1 - config.structure) * found["behavior_error"]
        return {"loss": config.contrast * found["contrast"] + (1 - config.contrast) * rebuilt, **found}

    def window(self, tokens: int, generator: torch.Generator) -> slice:
        """Which tokens a step sees."""
        if tokens <= self.config.window or self.config.structure < 1:
            return slice(None)
        start = int(torch.randint(tokens - self.config.window + 1, (1,), generator=generator))
        return slice(start, start + self.config.window)

    def artifact(self) -> SaneEncoder:
        """See :class:`trainables.trainable.Fit`."""
        self.require_finite()
        return SaneEncoder(self.module)

    def validate(self) -> dict[str, float]:
        """What probes tell of validation members, and how well those are reconstructed."""
        encoder = self.artifact()
        return {**probe(encoder, self.data), **encoder.reconstruction(self.data.validation)}


class SaneEncoder:
    """A fitted sequential autoencoder; see :class:`trainables.encoders.encoder.Encoder`.

    Args:
        module: What was fitted.
    """

    def __init__(self, module: Sane) -> None:
        self.module = module.eval()

    @torch.no_grad()
    def embed(self, population: Population) -> np.ndarray:
        """Means of tokens' latents; see :class:`trainables.encoders.encoder.Encoder`."""
        require_finite(population)
        module, architecture = self.module, population.architecture
        if not len(population):
            return np.zeros((0, module.width), np.float32)
        parts = canonical(bare(bounded(population))).weights_MP.split(EMBEDDED_AT_ONCE)
        return np.concatenate([module.pooled(module.latents(part, architecture), architecture) for part in parts])

    @torch.no_grad()
    def reconstruction(self, populations: tuple[Population, ...]) -> dict[str, float]:
        """R² of reconstructed weights, hidden units in canonical order.

        1 - Σ(error)² / Σ(weight - mean of that weight)², over networks of all layouts.
        """
        error = spread = 0.0
        for population in populations:
            if not len(population):
                continue
            ordered = canonical(bare(population))
            for part in ordered.weights_MP.split(EMBEDDED_AT_ONCE):
                latent_BTZ = self.module.latents(part, ordered.architecture)
                error += float((self.module.rebuilt(latent_BTZ, ordered.architecture) - part).square().sum())
            spread += float((ordered.weights_MP - ordered.weights_MP.mean(0)).square().sum())
        return {"reconstruction_r2": 1 - error / spread} if spread else {}

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        facts = {"config": self.module.config, "facts": self.module.facts}
        tensors = {name: tensor.contiguous() for name, tensor in self.module.state_dict().items()}
        return {MODEL_FILE: save(tensors), CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> SaneEncoder:
        """The inverse of :meth:`to_files`."""
        facts = json.loads(files[CONFIG_FILE])
        module = Sane(from_json(SaneConfig, facts["config"]), facts["facts"])
        module.load_state_dict(load_tensors(files[MODEL_FILE]))
        return cls(module)


def canonical(population: Population) -> Population:
    """The same networks with their hidden units in the canonical order, each with the symmetry of its architecture."""
    weights_MP = population.weights_MP.clone()
    for architecture, rows in population.groups():
        weights_MP[rows] = canonicalize(population.weights_MP[rows], architecture)
    return population.with_weights(weights_MP)
