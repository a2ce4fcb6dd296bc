"""Data sets that are no images and tasks that are no classes, as a user would bring them in a module of their own."""

import numpy as np
from sklearn.datasets import load_diabetes, load_iris

from zoo.data import Dataset, Task
from zoo.data.examples import split_examples
from zoo.population.optimizers import PopulationOptimizer


def diabetes() -> Dataset:
    """Progression of a disease, standardized, from ten numbers of a patient."""
    values, progression = load_diabetes(return_X_y=True)
    targets = (progression - progression.mean()) / progression.std()
    return split_examples(
        "diabetes", values / values.std(0), targets[:, None], task=Task("squared", 1), validation=60, test=100
    )


def flowers() -> Dataset:
    """Which of three statements hold of an iris: it is no setosa, its sepals are long, its petals are wide."""
    values, kinds = load_iris(return_X_y=True)
    labels = np.stack([kinds > 0, values[:, 0] > 5.8, values[:, 3] > 1.3], axis=1).astype(np.float32)
    values = (values - values.mean(0)) / values.std(0)
    return split_examples("flowers", values, labels, task=Task("sigmoid", 3), validation=30, test=30)


def robust(outputs_NC, targets_NC):
    """The loss of Huber (1964): squared near the target, absolute far from it."""
    distance = (outputs_NC - targets_NC).abs()
    return (distance.clamp(max=1).square() / 2 + (distance - 1).clamp(min=0)).mean(1)


def robust_diabetes() -> Dataset:
    """The same with a loss of its own."""
    data = diabetes()
    return Dataset("robust_diabetes", Task("own_tasks:robust", 1), data.train, data.validation, data.test)


class SignDescent(PopulationOptimizer):
    """A step of one length in each direction, as Riedmiller and Braun (1993) without adaptation."""

    def update(self, gradient):
        self.parameters.addcmul_(gradient.sign_(), self.learning_rate, value=-1)
