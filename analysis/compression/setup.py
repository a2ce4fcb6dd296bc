"""What the rows of an analysis have in common: the networks, what they are measured by, and how both are named.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.evaluators.evaluator import Subject
from analysis.measuring.evaluation import Evaluation
from trainables.trainable import FitData
from zoo.architecture import Architecture
from zoo.config import to_json
from zoo.data.examples import Dataset
from zoo.population import Population
from zoo.population.initialization import initial_weights
from zoo.storage.zoo import Zoo
from zoo.views import align, without_dead_inputs


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Test members, training members, and an evaluation. Networks are read when they are first needed.

    For all codecs alike, first-layer weights on inputs that are zero in all training examples are set to zero and
    hidden units are aligned with the first training snapshot's.

    Attributes:
        zoo: The zoo.
        architecture: One of the layout that is analyzed.
        members: Numbers of the test members measured, one snapshot each.
        training_snapshots: Snapshots of training members that codecs are fitted to.
        evaluation: What networks are measured by.
    """

    zoo: Zoo
    architecture: Architecture
    members: tuple[int, ...]
    training_snapshots: int
    evaluation: Evaluation

    @property
    def dataset(self) -> Dataset:
        """The data set that the networks were trained on."""
        return self.evaluation.test.dataset

    @cached_property
    def raw(self) -> Population:
        """The test members as they lie in the zoo."""
        return self.zoo.population("test", members=self.members, epochs="one", architecture=self.architecture)

    @cached_property
    def original(self) -> Subject:
        """The test members."""
        return Subject(self.canonical(self.raw), "the original population")

    @cached_property
    def untrained(self) -> Subject:
        """The test members as they were before training."""
        weights_MP = torch.empty_like(self.raw.weights_MP)
        for architecture, chosen in self.raw.groups():
            weights_MP[chosen] = initial_weights(architecture, self.raw.select(chosen).members)
        return Subject(self.canonical(self.raw.with_weights(weights_MP)), "the untrained population")

    @cached_property
    def training(self) -> Population:
        """Snapshots of training members, evenly spaced."""
        every = self.zoo.population("train", architecture=self.architecture)
        places = np.linspace(0, len(every) - 1, self.training_snapshots).round().astype(int)
        return self.canonical(every.select(places.tolist()))

    @cached_property
    def fit_data(self) -> FitData:
        """What codecs are fitted to, at all their settings."""
        return FitData(training=(self.training,), validation=(), dataset=self.dataset)

    def content(self, *, fitted: bool, untrained: bool) -> dict[str, Any]:
        """What names a row's networks and evaluation wherever the zoo lies, as JSON values.

        Args:
            fitted: Whether the row's codec is fitted to the training members.
            untrained: Whether it is measured on untrained networks.
        """
        return {
            "zoo": self.zoo.content_sha256,
            "architectures": to_json([a for a in self.zoo.architectures if a.layout == self.architecture.layout]),
            "members": list(self.members),
            "untrained": untrained,
            "training_snapshots": self.training_snapshots if fitted else None,
            "evaluation": self.evaluation.content,
        }

    @cached_property
    def _like(self) -> Tensor:
        """Weights of the first training snapshot, ``[P]``."""
        first = self.zoo.rows("train", architecture=self.architecture)[:1]
        return torch.from_numpy(self.zoo.weights(first)[0].copy())

    def canonical(self, population: Population) -> Population:
        """Weights on inputs that never occur set to zero, hidden units in the order of the first snapshot's."""
        population = without_dead_inputs(population, self.dataset.train)
        return population.with_weights(align(population.weights_MP, population.architecture, self._like).weights_MP)
