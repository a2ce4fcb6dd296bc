"""Encoders without anything learned: the weights themselves, and statistics of them.

Shape letters: M members, P parameters, F features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from trainables.encoders.config import StatisticsConfig, WeightsConfig
from trainables.encoders.layouts import require_finite, require_layout
from trainables.encoders.statistics import places_of, weight_statistics
from trainables.large_weights import bounded
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import from_json, to_json
from zoo.population import Population
from zoo.views import align

CONFIG_FILE, REFERENCE_FILE = "config.json", "reference.safetensors"


@dataclass(frozen=True)
class WeightsEncoder:
    """The flat weights, as they are or with hidden units matched to a reference (``zoo.views.align``).

    Attributes:
        architecture: Gives the layout.
        reference_P: What units are matched to; ``None`` to leave them.
    """

    architecture: Architecture
    reference_P: Tensor | None

    @classmethod
    def fit(cls, config: WeightsConfig, data: FitData) -> WeightsEncoder:
        """The first training member is the reference."""
        training, _ = data.one_layout("an encoder that takes weights as they are")
        return cls(training.architecture, training.weights_MP[0].clone() if config.aligned else None)

    def embed(self, population: Population) -> np.ndarray:
        """``[M, P]``."""
        require_layout(population, self.architecture)
        weights_MP = bounded(population).weights_MP
        if self.reference_P is None:
            return weights_MP.numpy()
        return align(weights_MP, self.architecture, self.reference_P).weights_MP.float().numpy()

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        files = {CONFIG_FILE: json.dumps({"architecture": self.architecture.to_json()}).encode()}
        return files if self.reference_P is None else {**files, REFERENCE_FILE: save({"reference": self.reference_P})}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> WeightsEncoder:
        """The inverse of :meth:`to_files`."""
        architecture = Architecture.from_json(json.loads(files[CONFIG_FILE])["architecture"])
        reference = load(files[REFERENCE_FILE])["reference"] if REFERENCE_FILE in files else None
        return cls(architecture, reference)


@dataclass(frozen=True)
class StatisticsEncoder:
    """Statistics of each tensor, for networks of any layout; see ``trainables.encoders.statistics``.

    Attributes:
        config: Which statistics.
        places: Of which tensors.
    """

    config: StatisticsConfig
    places: tuple[str, ...]

    @classmethod
    def fit(cls, config: StatisticsConfig, data: FitData) -> StatisticsEncoder:
        """Notes the tensors that training networks have."""
        return cls(config, places_of(data.training))

    def embed(self, population: Population) -> np.ndarray:
        """``[M, F]``, NaN for tensors that a network does not have."""
        require_finite(population)
        return weight_statistics(bounded(population), self.places, self.config.statistics)

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        return {CONFIG_FILE: json.dumps(to_json({"config": self.config, "places": self.places}), indent=2).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> StatisticsEncoder:
        """The inverse of :meth:`to_files`."""
        facts = json.loads(files[CONFIG_FILE])
        return cls(from_json(StatisticsConfig, facts["config"]), tuple(facts["places"]))
