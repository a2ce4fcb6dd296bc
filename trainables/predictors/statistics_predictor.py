"""Predictors from statistics of weights: of each tensor a few numbers, then a readout.

Shape letters: M members, F features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load, save

from trainables.encoders.baselines import StatisticsEncoder
from trainables.encoders.config import StatisticsConfig
from trainables.predictors.config import BoostingConfig, RidgeConfig
from trainables.readouts.columns import targets_of
from trainables.readouts.readout import Readout, Readouts
from trainables.trainable import FitData
from zoo.config import to_json
from zoo.population import Population

MODEL_FILE, READOUT_FILE = "model.safetensors", "readout.json"


@dataclass(frozen=True)
class StatisticsPredictor:
    """Predicts a column of a zoo from statistics of weights.

    Attributes:
        encoder: Whose statistics its features are.
        readout: What maps features to the target.
    """

    encoder: StatisticsEncoder
    readout: Readout

    @classmethod
    def fit(cls, config: RidgeConfig | BoostingConfig, data: FitData) -> StatisticsPredictor:
        """Fits a predictor to training members of any layouts; ridge chooses its penalty on validation members.

        Raises:
            ValueError: There is no such column, or it holds the same or no value for all training networks.
        """
        encoder = StatisticsEncoder.fit(StatisticsConfig(statistics=config.statistics), data)
        training_M, validation_M = (
            targets_of(populations, config.target) for populations in (data.training, data.validation)
        )
        features = [
            np.concatenate([encoder.embed(population) for population in populations])
            for populations in (data.training, data.validation)
        ]
        return cls(encoder, Readouts(*features).fit(config.target, training_M, validation_M, config))

    @property
    def target(self) -> str:
        """What it predicts."""
        return self.readout.target

    def predict(self, population: Population) -> np.ndarray:
        """For each member a number, float64, or the name of a category: ``[M]``."""
        return self.readout.predict(self.encoder.embed(population))

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        tensors = {name: np.ascontiguousarray(array) for name, array in self.readout.tensors().items()}
        readout = json.dumps(to_json(self.readout.facts()), indent=2).encode()
        return {MODEL_FILE: save(tensors), READOUT_FILE: readout, **self.encoder.to_files()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> StatisticsPredictor:
        """The inverse of :meth:`to_files`.

        Raises:
            ValueError: A file is missing.
        """
        if missing := [name for name in (MODEL_FILE, READOUT_FILE) if name not in files]:
            raise ValueError(f"a predictor is {MODEL_FILE} and {READOUT_FILE}; {missing[0]} is missing")
        readout = Readout.restored(json.loads(files[READOUT_FILE]), load(files[MODEL_FILE]))
        return cls(StatisticsEncoder.from_files(files), readout)
