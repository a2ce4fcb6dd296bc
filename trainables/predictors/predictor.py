"""A fitted predictor: statistics of weights, then a linear map or trees; and how it is fitted.

Shape letters: M members, F features, K outputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from trainables.predictors.boosting import Trees
from trainables.predictors.config import BoostingConfig, RidgeConfig
from trainables.predictors.ridge import Ridge
from trainables.predictors.scores import is_numeric, scores
from trainables.predictors.statistics import places_of, weight_statistics
from trainables.trainable import FitData
from zoo.config import from_json, to_json
from zoo.population import Population

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
KINDS: dict[str, tuple[type[Any], type[Any]]] = {"ridge": (RidgeConfig, Ridge), "boosting": (BoostingConfig, Trees)}


@dataclass(frozen=True)
class StatisticsPredictor:
    """Predicts a column of a zoo from statistics of weights.

    Attributes:
        config: How it was fitted.
        places: Whose statistics its features are.
        categories: The target's categories; empty where it is a number.
        head: What maps features to outputs.
    """

    config: RidgeConfig | BoostingConfig
    places: tuple[str, ...]
    categories: tuple[str, ...]
    head: Ridge | Trees

    @property
    def target(self) -> str:
        """What it predicts."""
        return self.config.target

    def predict(self, population: Population) -> np.ndarray:
        """For each member a number, float64, or the name of a category: ``[M]``."""
        return decided(self.head.outputs(self._features(population)), self.categories)

    def _features(self, population: Population) -> np.ndarray:
        return weight_statistics(population, self.places, self.config.statistics)

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        facts = {
            "head": next(name for name, (_, head) in KINDS.items() if isinstance(self.head, head)),
            "config": self.config,
            "places": self.places,
            "categories": self.categories,
        }
        return {
            MODEL_FILE: save({name: np.ascontiguousarray(array) for name, array in self.head.tensors().items()}),
            CONFIG_FILE: json.dumps(to_json(facts), indent=2).encode(),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> StatisticsPredictor:
        """The inverse of :meth:`to_files`.

        Raises:
            ValueError: A file is missing.
        """
        if missing := [name for name in (MODEL_FILE, CONFIG_FILE) if name not in files]:
            raise ValueError(f"a predictor is {MODEL_FILE} and {CONFIG_FILE}; {missing[0]} is missing")
        facts = json.loads(files[CONFIG_FILE])
        config, head = KINDS[facts["head"]]
        return cls(
            from_json(config, facts["config"]),
            tuple(facts["places"]),
            tuple(facts["categories"]),
            head.from_tensors(load(files[MODEL_FILE])),
        )


def fit(config: RidgeConfig | BoostingConfig, data: FitData) -> StatisticsPredictor:
    """Fits a predictor to training members of any layouts; ridge chooses its penalty on validation members.

    Raises:
        ValueError: There is no such column, or it holds the same or no value for all training networks.
    """
    places = places_of(data.training)

    def table(populations: Sequence[Population]) -> tuple[np.ndarray, np.ndarray]:
        features = [weight_statistics(population, places, config.statistics) for population in populations]
        target_M = np.concatenate([target_of(population, config.target) for population in populations])
        kept = known(target_M)
        return np.concatenate(features)[kept], target_M[kept]

    features_MF, target_M = table(data.training)
    if len(np.unique(target_M)) < 2:
        raise ValueError(
            f"target {config.target!r} takes {len(np.unique(target_M))} values among the {len(target_M)} training "
            "networks; choose a column in which they differ"
        )
    categories = () if is_numeric(target_M) else tuple(np.unique(target_M).tolist())
    numbers_M = np.searchsorted(categories, target_M) if categories else target_M.astype(np.float64)
    if isinstance(config, BoostingConfig):
        return StatisticsPredictor(
            config, places, categories, Trees.fit(features_MF, numbers_M, config, classify=bool(categories))
        )
    held_out_MF, true_M = table(data.validation)

    def error(outputs: Callable[[np.ndarray], np.ndarray]) -> float:
        predicted_M = decided(outputs(held_out_MF), categories)
        if categories:
            return float((predicted_M != true_M).mean())
        return float(((predicted_M - true_M) ** 2).mean())

    target_MK = np.eye(len(categories))[numbers_M] if categories else numbers_M[:, None]
    return StatisticsPredictor(config, places, categories, Ridge.fit(features_MF, target_MK, config, error))


def validate(predictor: StatisticsPredictor, data: FitData) -> dict[str, float]:
    """The metrics on validation members."""
    true_M = np.concatenate([target_of(population, predictor.target) for population in data.validation])
    predicted_M = np.concatenate([predictor.predict(population) for population in data.validation])
    kept = known(true_M)
    return scores(true_M[kept], predicted_M[kept])


def target_of(population: Population, target: str) -> np.ndarray:
    """A column of a population as it is predicted: numbers, or categories as text.

    Raises:
        ValueError: There is no such column; the message lists those there are.
    """
    column_M = population.column(target)
    return column_M.astype(np.float64) if is_numeric(column_M) else column_M.astype(str)


def known(target_M: np.ndarray) -> np.ndarray:
    """Which targets are known and finite, bool ``[M]``."""
    return np.isfinite(target_M) if is_numeric(target_M) else np.ones(len(target_M), dtype=bool)


def decided(outputs_MK: np.ndarray, categories: Sequence[str]) -> np.ndarray:
    """Numbers, or the names of the categories with the largest output; of two categories one output's sign decides."""
    if not categories:
        return outputs_MK[:, 0]
    number_M = outputs_MK.argmax(1) if outputs_MK.shape[1] > 1 else (outputs_MK[:, 0] > 0).astype(int)
    return np.array(categories)[number_M]
