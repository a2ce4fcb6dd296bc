"""Predictors from statistics of weights, of each tensor a few numbers, and from what is known of tasks; then a readout.

Shape letters: M members, F features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from safetensors.numpy import load, save

from trainables.encoders.baselines import CONFIG_FILE, StatisticsEncoder
from trainables.encoders.config import StatisticsConfig
from trainables.large_weights import without_large
from trainables.predictors.config import NONE, BoostingConfig, RidgeConfig
from trainables.readouts.columns import targets_of
from trainables.readouts.readout import Readout, Readouts
from trainables.tasks.described_tasks import DescribedTasks
from trainables.trainable import FitData
from zoo.config import to_json
from zoo.data.examples import Dataset
from zoo.population import Population

MODEL_FILE, READOUT_FILE = "model.safetensors", "readout.json"


@dataclass(frozen=True)
class StatisticsPredictor:
    """Predicts a column of a zoo from statistics of weights, from descriptions of tasks, or from both.

    Attributes:
        encoder: Whose statistics are features; ``None`` where weights are not looked at.
        tasks: Whose descriptions are; ``None`` where tasks are not known.
        readout: What maps features to the target.
    """

    encoder: StatisticsEncoder | None
    tasks: DescribedTasks | None
    readout: Readout

    @classmethod
    def fit(cls, config: RidgeConfig | BoostingConfig, data: FitData) -> StatisticsPredictor:
        """Fits a predictor to training members of any layouts; ridge chooses its penalty on validation members.

        Raises:
            ValueError: There is no such column, or it holds the same or no value for all training networks; there are
                no validation networks; or tasks are to be described, and networks have none.
        """
        encoder, data = None, without_large(data)
        if config.statistics != NONE:
            encoder = StatisticsEncoder.fit(StatisticsConfig(statistics=config.statistics), data)
        tasks = DescribedTasks.fit(config.describe, data) if config.describe else None
        data.require_validation("on which predictors are judged")
        training_M, validation_M = (
            targets_of(populations, config.target) for populations in (data.training, data.validation)
        )
        features = [
            np.concatenate([_features(encoder, tasks, population) for population in populations])
            for populations in (data.training, data.validation)
        ]
        return cls(encoder, tasks, Readouts(*features).fit(config.target, training_M, validation_M, config))

    @property
    def target(self) -> str:
        """What it predicts."""
        return self.readout.target

    def predict(self, population: Population) -> np.ndarray:
        """For each member a number, float64, or the name of a category: ``[M]``.

        Raises:
            ValueError: Tasks count, and that of a member is not known; see :meth:`for_tasks_of`.
        """
        return self.readout.predict(_features(self.encoder, self.tasks, population))

    def for_tasks_of(self, dataset: Dataset, populations: Sequence[Population]) -> StatisticsPredictor:
        """See :class:`trainables.predictors.predictor.KnowsTasks`."""
        return self if self.tasks is None else replace(self, tasks=self.tasks.on(dataset, populations))

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        tensors = {name: np.ascontiguousarray(array) for name, array in self.readout.tensors().items()}
        readout = json.dumps(to_json(self.readout.facts()), indent=2).encode()
        files = {MODEL_FILE: save(tensors), READOUT_FILE: readout}
        for part in (self.encoder, self.tasks):
            files |= {} if part is None else part.to_files()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> StatisticsPredictor:
        """The inverse of :meth:`to_files`.

        Raises:
            ValueError: A file is missing.
        """
        if missing := [name for name in (MODEL_FILE, READOUT_FILE) if name not in files]:
            raise ValueError(f"a predictor is {MODEL_FILE} and {READOUT_FILE}; {missing[0]} is missing")
        readout = Readout.restored(json.loads(files[READOUT_FILE]), load(files[MODEL_FILE]))
        encoder = StatisticsEncoder.from_files(files) if CONFIG_FILE in files else None
        return cls(encoder, DescribedTasks.from_files(files), readout)


def _features(encoder: StatisticsEncoder | None, tasks: DescribedTasks | None, population: Population) -> np.ndarray:
    """What is known of each network: ``[M, F]``."""
    parts = [] if encoder is None else [encoder.embed(population)]
    return np.concatenate([*parts, *([] if tasks is None else [tasks.of(population)])], axis=1)
