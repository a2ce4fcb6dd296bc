"""Configurations of hypernetworks; free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainables.tasks.config import DESCRIPTIONS
from zoo.config import require

HEADS = ("linear", "low-rank", "chunked")
STARTS = ("mean", "nearest")
VIEWS = ("fan_in", "flat", "standardized", "input_metric")


@dataclass(frozen=True, kw_only=True, slots=True)
class HypernetworkConfig:
    """A generator of weights, one vector z a task.

    Attributes:
        z: Width of the vector z of a task.
        learn_z: Whether the vectors of training tasks are learned with the generator; else they stay at their start.
        one_hot: Whether vectors start as one-hot; else they are drawn at random. There must be as many entries as
            training tasks.
        describe: From what z is computed, by a linear map that is learned with the generator: the mean image of each
            class ("class-means") or the task's embedding in a probe network ("task2vec"). Empty where each training
            task has a z of its own.
        described_by: So many examples of each class, drawn anew in every step, make the class means that the map is
            learned from, so that it knows what few labels tell; 0 for all. A task to be solved is described by all
            labeled examples that it has.
        embedded: Width of what a network of one hidden layer makes of each of these examples before means are taken; it
            is learned with the generator. 0 for means of the examples themselves.
        hidden: Width of a hidden layer between z and the heads; 0 for none.
        head: What maps to weights: "linear" (one linear map a tensor), "low-rank" (a shared network and weighted
            directions of the whole weight vector, ``rank`` of them) or "chunked" (one map for pieces of ``chunk``
            weights, each with a vector of its own).
        rank: Directions of a low-rank head.
        chunk: Weights of a piece.
        view: Coordinates in which weights are made: "fan_in" (scaled by the inputs of a unit), or around the mean of
            the zoo's trained networks in one of their views; in "input_metric", that of the function, a change of a
            coordinate is one of the outputs of the same size.
        bounded: Whether weights, in these coordinates, pass a tanh.
        residual: Whether what is generated is added to one network that all tasks share.
        task_batch: Tasks a step.
        examples: Examples of each task a step.
        shift: In every step, the images of each task are moved by up to so many pixels, and mirrored or not, all alike;
            for photographs. 0 leaves them as they are.
        steps: Steps an epoch.
        epochs: Epochs.
        learning_rate: Adam's step size at the start; it falls to zero along a half cosine.
        weight_decay: Of Adam, decoupled.
        adapt_steps: Steps in which z is found for a task that was not trained on.
        adapt_learning_rate: Adam's step size then.
        adapt_prior: How much it counts then that z is to be expected where those of training tasks are: 1 is a Gaussian
            prior by Bayes' rule, so that it matters where labels are few; 0 is none.
        start: Where z starts for such a task: the "mean" of training tasks' vectors, or the "nearest": the one whose
            network has the smallest loss on the task's labeled examples. Where tasks are described, it starts at what
            is computed from the description.
        seed: Seed of everything random.
    """

    z: int = 100
    learn_z: bool = True
    one_hot: bool = False
    describe: str = ""
    described_by: int = 0
    embedded: int = 0
    hidden: int = 0
    head: str = "linear"
    rank: int = 32
    chunk: int = 256
    view: str = "fan_in"
    bounded: bool = False
    residual: bool = True
    task_batch: int = 32
    examples: int = 32
    shift: int = 0
    steps: int = 100
    epochs: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    adapt_steps: int = 200
    adapt_learning_rate: float = 3e-2
    adapt_prior: float = 0.0
    start: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.head in HEADS, self, "head", ", ".join(HEADS))
        require(self.start in STARTS, self, "start", ", ".join(STARTS))
        require(self.view in VIEWS, self, "view", ", ".join(VIEWS))
        require(self.describe in DESCRIPTIONS, self, "describe", "class-means, task2vec, or empty")
        require(not (self.describe and self.one_hot), self, "one_hot", "false where tasks are described")
        require(self.described_by >= 0, self, "described_by", "0 or more")
        of_means = self.describe == "class-means"
        require(of_means or not self.described_by, self, "described_by", "0 where describe is not class-means")
        require(self.embedded >= 0, self, "embedded", "0 or more")
        require(self.described_by > 0 or not self.embedded, self, "embedded", "0 where described_by is 0")
        for name in ("z", "rank", "chunk", "task_batch", "examples", "steps", "epochs"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        for name in ("hidden", "adapt_steps", "shift"):
            require(getattr(self, name) >= 0, self, name, "0 or more")
        for name in ("learning_rate", "adapt_learning_rate"):
            require(getattr(self, name) > 0, self, name, "more than 0")
        for name in ("weight_decay", "adapt_prior"):
            require(0 <= getattr(self, name) < math.inf, self, name, "0 or more, finite")
        require(0 <= self.seed < 2**32, self, "seed", "0 to 2^32 - 1")

    @property
    def batch_size(self) -> int:
        """Tasks a step, as ``trainables.gradient_fit`` calls it."""
        return self.task_batch
