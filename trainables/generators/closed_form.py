"""Generators without gradients: training networks with noise, means of some, kernel density of their components.

The first two are controls: accurate, and nothing new. Density per dimension after Schürholt et al., "Hyper-
Representations as Generative Models" (NeurIPS 2022, arXiv 2209.14733, section 3.2), there of an autoencoder's latents.

Shape letters: M networks, P parameters, K training networks, D components.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from trainables.autoencoders.coordinates import Coordinates
from trainables.autoencoders.principal import principal_components
from trainables.generators.config import DensityConfig, GeneratorConfig, MeanConfig, NoiseConfig
from trainables.generators.generator import as_autoencoder, coordinates_of, fitted_networks, require_nothing_wanted
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.population import Population, single_architecture

# Coordinates that are the same in all networks, as those of inputs that never occur, move by this share of the others.
LEAST_SCALE = 1e-3
MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"


@dataclass(frozen=True)
class ClosedFormGenerator:
    """Draws coordinates from what training networks' coordinates tell; see :class:`NetworkGenerator`.

    Attributes:
        config: How.
        coordinates: Weights ⇄ coordinates.
        fitted: What :meth:`summary` keeps of the training networks.
        config_type: The class of the configuration.
    """

    config: GeneratorConfig
    coordinates: Coordinates
    fitted: Mapping[str, Tensor]
    config_type: ClassVar[type[GeneratorConfig]]

    @classmethod
    @abstractmethod
    def summary(cls, config: Any, coordinates_KP: Tensor) -> dict[str, Tensor]:
        """What is kept of the training networks' coordinates."""

    @abstractmethod
    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """So many networks' coordinates: ``[M, P]``."""

    @classmethod
    def fit(cls, config: GeneratorConfig, data: FitData) -> Self:
        """See :class:`trainables.closed_form.ClosedFormType`."""
        training = fitted_networks(config, data)
        coordinates = coordinates_of(config, training, data)
        coordinates_KP, _ = coordinates.forward(training)
        return cls(config, coordinates, cls.summary(config, coordinates_KP))

    def generate(self, count: int, *, seed: int = 0, wanted: Mapping[str, float | str] | None = None) -> Population:
        """See :class:`NetworkGenerator`."""
        require_nothing_wanted(wanted)
        coordinates_MP = self.drawn(count, torch.Generator().manual_seed(seed))
        return single_architecture(self.coordinates.architecture, self.coordinates.weights(coordinates_MP))

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        tensors = self.coordinates.tensors() | {f"fitted.{name}": tensor for name, tensor in self.fitted.items()}
        facts = {"config": self.config, "architecture": self.coordinates.architecture.to_json()}
        return {
            MODEL_FILE: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
            CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The inverse of :meth:`to_files`."""
        facts, tensors = json.loads(files[CONFIG_FILE]), load_tensors(files[MODEL_FILE])
        config = from_json(cls.config_type, facts["config"])
        coordinates = Coordinates.from_tensors(
            as_autoencoder(config), Architecture.from_json(facts["architecture"]), tensors
        )
        fitted = {name.removeprefix("fitted."): t for name, t in tensors.items() if name.startswith("fitted.")}
        return cls(config, coordinates, fitted)


class NoisyCopies(ClosedFormGenerator):
    """Training networks, drawn with replacement, with normal noise."""

    config: NoiseConfig
    config_type = NoiseConfig

    @classmethod
    def summary(cls, config: Any, coordinates_KP: Tensor) -> dict[str, Tensor]:
        """The networks, and the noise of each coordinate."""
        return {"networks": coordinates_KP, "deviation": noise_deviation(config, coordinates_KP)}

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """See :class:`ClosedFormGenerator`."""
        networks_KP = self.fitted["networks"]
        copies_MP = networks_KP[torch.randint(len(networks_KP), (count,), generator=generator)]
        return copies_MP + torch.randn(copies_MP.shape, generator=generator) * self.fitted["deviation"]


class Means(ClosedFormGenerator):
    """Means of some training networks, drawn without replacement."""

    config: MeanConfig
    config_type = MeanConfig

    @classmethod
    def summary(cls, config: Any, coordinates_KP: Tensor) -> dict[str, Tensor]:
        """The networks.

        Raises:
            ValueError: There are fewer than a mean is to be of.
        """
        if config.networks > len(coordinates_KP):
            raise ValueError(
                f"MeanConfig.networks is {config.networks}; allowed: 1 to {len(coordinates_KP)}, the training networks"
            )
        return {"networks": coordinates_KP}

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """See :class:`ClosedFormGenerator`."""
        networks_KP = self.fitted["networks"]
        order_MK = torch.rand(count, len(networks_KP), generator=generator).argsort(1)
        return torch.stack([networks_KP[chosen].mean(0) for chosen in order_MK[:, : self.config.networks]])


class ComponentDensity(ClosedFormGenerator):
    """A kernel density of each principal component, drawn independently of the others."""

    config: DensityConfig
    config_type = DensityConfig

    @classmethod
    def summary(cls, config: Any, coordinates_KP: Tensor) -> dict[str, Tensor]:
        """Directions, and the networks' positions along them."""
        count = min(config.components, len(coordinates_KP) - 1, coordinates_KP.shape[1])
        directions_PD, _ = principal_components(coordinates_KP - coordinates_KP.mean(0), count, config.seed)
        mean_P = coordinates_KP.mean(0)
        return {"directions": directions_PD, "mean": mean_P, "positions": (coordinates_KP - mean_P) @ directions_PD}

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """See :class:`ClosedFormGenerator`."""
        drawn_MD = kernel_draws(self.fitted["positions"], count, self.config.bandwidth, generator)
        return drawn_MD @ self.fitted["directions"].T + self.fitted["mean"]


def coordinate_scale(coordinates_KP: Tensor) -> Tensor:
    """The deviation of each coordinate over networks, where it is 0 a small share of the others': ``[P]``."""
    deviation_P = coordinates_KP.std(0)
    return deviation_P.clamp_min(max(LEAST_SCALE * float(deviation_P.square().mean().sqrt()), 1e-6))


def noise_deviation(config: NoiseConfig, coordinates_KP: Tensor) -> Tensor:
    """The deviation of each coordinate's noise, as configured, for networks like these: ``[P]``."""
    variance_P = coordinates_KP.var(0)
    if config.noise_kind == "proportional" or config.noise in (0, 1):
        return config.noise * variance_P.sqrt()
    # The level at which the variances below it, and it for all others, add up to what is to be shared out.
    sorted_P = variance_P.double().sort().values
    others_P = torch.arange(len(sorted_P), 0, -1)
    sums_P = sorted_P.cumsum(0) + sorted_P * (others_P - 1)
    total = config.noise**2 * sorted_P.sum()
    above = int(torch.searchsorted(sums_P, total).clamp_max(len(sorted_P) - 1))
    level = (total - sorted_P[:above].sum()) / others_P[above]
    return variance_P.clamp_max(float(level)).sqrt()


def kernel_draws(positions_KD: Tensor, count: int, bandwidth: float, generator: torch.Generator) -> Tensor:
    """Draws from a kernel density of each dimension, independent of the others: ``[M, D]``.

    Args:
        positions_KD: What the density is of.
        count: M.
        bandwidth: Of the kernels, in Scott's.
        generator: For all that is drawn.
    """
    networks, dimensions = positions_KD.shape
    # Scott's rule for one dimension (Multivariate Density Estimation, 1992, section 6.2).
    width_D = bandwidth * networks ** (-1 / 5) * positions_KD.std(0)
    chosen_MD = torch.randint(networks, (count, dimensions), generator=generator)
    return positions_KD.gather(0, chosen_MD) + width_D * torch.randn(count, dimensions, generator=generator)
