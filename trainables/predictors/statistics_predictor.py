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
from trainables.predictors.predictor import decided, known, target_of
from trainables.predictors.ridge import Ridge
from trainables.predictors.scores import is_numeric
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

    @classmethod
    def fit(cls, config: RidgeConfig | BoostingConfig, data: FitData) -> StatisticsPredictor:
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
            return cls(config, places, categories, Trees.fit(features_MF, numbers_M, config, classify=bool(categories)))
        held_out_MF, true_M = table(data.validation)

        def error(outputs: Callable[[np.ndarray], np.ndarray]) -> float:
            predicted_M = decided(outputs(held_out_MF), categories)
            if categories:
                return float((predicted_M != true_M).mean())
            return float(((predicted_M - true_M) ** 2).mean())

        target_MK = np.eye(len(categories))[numbers_M] if categories else numbers_M[:, None]
        return cls(config, places, categories, Ridge.fit(features_MF, target_MK, config, error))

    @property
    def target(self) -> str:
        """What it predicts."""
        return self.config.target

    def predict(self, population: Population) -> np.ndarray:
        """For each member a number, float64, or the name of a category: ``[M]``."""
        features_MF = weight_statistics(population, self.places, self.config.statistics)
        return decided(self.head.outputs(features_MF), self.categories)

    def to_files(self) -> dict[str, bytes]:
        """See :class:`trainables.trainable.Artifact`."""
        facts = {
            "head": next(name for name, (_, head) in KINDS.items() if isinstance(self.head, head)),
            "config": self.config,
            "places": self.places,
            "categories": self.categories,
        }
        return {
            MODEL_FILE: save({name: np.ascontiguousarray(array) for name, array in vars(self.head).items()}),
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
            head(**load(files[MODEL_FILE])),
        )
