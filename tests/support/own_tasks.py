"""What a user would bring in a module of their own: data sets of numbers, tasks without classes, layer, optimizer."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_iris

from zoo.architecture import Architecture, Flatten, Linear
from zoo.architecture.layers import Layer
from zoo.data import Dataset, Examples, Task, load_dataset
from zoo.data.examples import SPLITS, split_examples
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


def negatives() -> Dataset:
    """Digits with light and dark exchanged; pixels that are 0 in all digits are 0 in none of these."""
    digits = load_dataset("digits")
    parts = {
        split: Examples(digits.train.values.max() - examples.values, examples.targets, examples.scale)
        for split in SPLITS
        for examples in [getattr(digits, split)]
    }
    return Dataset("negatives", digits.task, **parts)


def robust(outputs_NC, targets_NC):
    """The loss of Huber (1964): squared near the target, absolute far from it."""
    distance = (outputs_NC - targets_NC).abs()
    return (distance.clamp(max=1).square() / 2 + (distance - 1).clamp(min=0)).mean(1)


def robust_diabetes() -> Dataset:
    """The same with a loss of its own."""
    data = diabetes()
    return Dataset("robust_diabetes", Task("own_tasks:robust", 1), data.train, data.validation, data.test)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sine(Layer):
    """``sin(frequency * x)``, as Sitzmann et al. (2020): a layer of the user's own."""

    frequency: float = 1.0
    kind: ClassVar[str] = "own_tasks:Sine"

    def output_shape(self, shape):
        return shape

    def forward(self, run, name, x, shape):
        return torch.sin(self.frequency * x)

    def module(self, shape):
        return SineModule(self.frequency)


class SineModule(torch.nn.Module):
    """The same as a module."""

    def __init__(self, frequency):
        super().__init__()
        self.frequency = frequency

    def forward(self, x):
        return torch.sin(self.frequency * x)


def sines(input_shape, hidden, classes, *, frequency: float = 1.0) -> Architecture:
    """A multilayer perceptron with sines for activations."""
    layers = [layer for width in hidden for layer in (Linear(features=width), Sine(frequency=frequency))]
    return Architecture(tuple(input_shape), (Flatten(), *layers, Linear(features=classes)))


class SignDescent(PopulationOptimizer):
    """A step of one length in each direction, as Riedmiller and Braun (1993) without adaptation."""

    def update(self, gradient):
        self.parameters.addcmul_(gradient.sign_(), self.learning_rate, value=-1)
