"""Configurations of probe networks and task embeddings; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import require

# By what a task is described, as trainables are told to; empty for nothing.
DESCRIPTIONS = ("", "class-means", "task2vec")
ESTIMATES = ("exact", "monte-carlo", "variational")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """How a probe network, a small residual net, is trained.

    Attributes:
        task: Which classes of its data set it tells apart, as in ``zoo.data.class_tasks``; empty for all.
        channels: Channels of its blocks, each of which after the first halves the image.
        epochs: Passes over the training images.
        batch_size: Images a step.
        learning_rate: Of Adam at the start; it falls to zero along a half cosine.
        weight_decay: Decoupled.
        augment: Whether images are mirrored and shifted at random, which digits and letters do not survive.
        seed: Of initialization, order and augmentation.
    """

    task: str = ""
    channels: tuple[int, ...] = (16, 32, 64)
    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    augment: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        widths = len(self.channels) > 0 and all(type(width) is int and width > 0 for width in self.channels)
        require(widths, self, "channels", "one whole number or more, each 1 or more, such as 16,32,64")
        require(type(self.epochs) is int and self.epochs > 0, self, "epochs", "a whole number, 1 or more")
        require(type(self.batch_size) is int and self.batch_size > 1, self, "batch_size", "a whole number, 2 or more")
        require(self.learning_rate > 0, self, "learning_rate", "more than 0")
        require(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        require(type(self.seed) is int and self.seed >= 0, self, "seed", "a whole number, 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task2VecConfig:
    """How tasks are embedded.

    Attributes:
        estimate: How the Fisher information is estimated. "exact": its expectation over labels is summed.
            "monte-carlo": labels are drawn from the prediction. "variational": from the noise that weights bear
            (section 2 of the paper, robust Fisher computation).
        examples: Training images drawn for each task, equally many of each class as far as there are.
        penalty: Of the head's squared weights, on standardized features.
        samples: Labels drawn for each image by "monte-carlo".
        prior: β, the weight of the prior: what is estimated is F + β / λ², where λ² is the mean squared weight of a
            layer. It is the embedding of a task that tells nothing of the filters.
        steps: Steps of "variational".
        step_examples: Images of each of these steps.
        step_size: Of Adam on the logarithms of variances; it falls to zero along a half cosine.
        seed: Of all that is drawn.
    """

    estimate: str = "exact"
    examples: int = 512
    penalty: float = 1e-3
    samples: int = 1
    prior: float = 1e-4
    steps: int = 100
    step_examples: int = 32
    step_size: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.estimate in ESTIMATES, self, "estimate", ", ".join(ESTIMATES))
        for name in ("examples", "samples", "steps", "step_examples"):
            value = getattr(self, name)
            require(type(value) is int and value > 0, self, name, "a whole number, 1 or more")
        for name in ("penalty", "prior", "step_size"):
            require(getattr(self, name) > 0, self, name, "more than 0")
        require(type(self.seed) is int and self.seed >= 0, self, "seed", "a whole number, 0 or more")
