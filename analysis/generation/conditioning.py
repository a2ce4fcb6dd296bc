"""Whether generators make what is wanted of them: accuracies wanted against accuracies obtained.

Only accuracies can be checked, since of a generated network no hyper-parameter is known.

Shape letters: L levels, M networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainables.generators.flow import Flow
from trainables.generators.generator import NetworkGenerator
from zoo.data.class_tasks import parse_task, select
from zoo.data.examples import SPLITS, Dataset
from zoo.evaluation import evaluate
from zoo.metric import Metric
from zoo.population import Population

# Quantiles of the training networks' accuracies that are wanted, and networks that are made for each.
LEVELS, NETWORKS = (0.1, 0.3, 0.5, 0.7, 0.9), 32
CONDITIONS = tuple(f"{split}_accuracy" for split in SPLITS)
# Training examples that training accuracies are measured on.
EXAMPLES = 1000

ERROR = Metric(
    name="conditioning_error",
    label="error of conditioning",
    unit="share",
    direction="min",
    description="Mean distance between the accuracy that was wanted of a network and the one it has, over the "
    f"{', '.join(f'{100 * level:.0f}' for level in LEVELS)} % quantiles of training networks' accuracies.",
)
SLOPE = Metric(
    name="conditioning_slope",
    label="slope of conditioning",
    description="By how much the accuracy obtained rises with the one wanted: 1 if networks are as wanted, 0 if it "
    "makes no difference what is wanted.",
)


@dataclass(frozen=True)
class Obtained:
    """What a generator made of what was wanted.

    Attributes:
        column: What was wanted, an accuracy.
        wanted_L: Values.
        accuracy_LM: Of the networks made for each.
    """

    column: str
    wanted_L: np.ndarray
    accuracy_LM: np.ndarray

    @property
    def metrics(self) -> dict[Metric, float]:
        """:data:`ERROR` and :data:`SLOPE`."""
        centered_L = self.wanted_L - self.wanted_L.mean()
        differ = float(np.ptp(self.wanted_L)) > 0
        slope = float(centered_L @ self.accuracy_LM.mean(1) / (centered_L @ centered_L)) if differ else 0.0
        return {ERROR: float(np.abs(self.accuracy_LM - self.wanted_L[:, None]).mean()), SLOPE: slope}


def obtained(generator: NetworkGenerator, training: Population, dataset: Dataset, task: str) -> list[Obtained]:
    """Makes networks as wanted, for each accuracy that a generator was conditioned on; none if on no accuracy.

    Args:
        generator: The generator.
        training: Training networks, whose accuracies say what is wanted.
        dataset: The data set; accuracies are measured on the split that they are of.
        task: Name of the class task that all have; empty for the whole data set.
    """
    columns = [target.name for target in generator.conditions.targets] if isinstance(generator, Flow) else []
    found = []
    for column in (name for name in columns if name in CONDITIONS):
        examples = select(task, getattr(dataset, column.removesuffix("_accuracy"))).first(EXAMPLES)
        wanted_L = np.quantile(training.column(column), LEVELS)
        made = [generator.generate(NETWORKS, seed=0, wanted={column: float(value)}) for value in wanted_L]
        of_classes = dataset.task.of_classes(parse_task(task))
        accuracy_LM = np.stack([evaluate(each, examples, of_classes)["accuracy"].numpy() for each in made])
        found.append(Obtained(column, wanted_L, accuracy_LM))
    return found
