"""Configurations of aggregators; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import require

# Between which learning rates are drawn in fitting.
RATES: dict[str, tuple[float, float]] = {"sgd": (0.03, 3.0), "adam": (1e-3, 3e-2)}


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregatorConfig:
    """A network that weighs the examples of a minibatch, and the trainings that it is fitted in.

    Attributes:
        width: Of its two hidden layers.
        label_noise: Shares of wrong labels; each set of examples has one of them.
        outliers: Shares of examples whose inputs are noise; each set has one of them.
        set_size: Examples of each set, which an inner network is trained on again and again.
        batch_sizes: Examples a step of an inner network.
        optimizers: What takes the update: "sgd", "adam" or both.
        horizon: Steps after which an inner network starts anew; the first time at random before that.
        unroll: Inner steps that the aggregator is differentiated through in a step of its own.
        task_batch: Inner networks a step, each with a set, a corruption and a learning rate of its own.
        queries: Examples with right labels, beside its set, on which each inner network is judged while fitting.
        steps: Steps of the aggregator an epoch.
        epochs: Epochs; in each, inner networks begin from their initialization.
        learning_rate: Adam's step size at the start; it falls to zero along a half cosine.
        seed: Seed of everything random.
    """

    width: int = 16
    label_noise: tuple[float, ...] = (0.0, 0.1, 0.3)
    outliers: tuple[float, ...] = (0.0, 0.0, 0.1)
    set_size: int = 400
    batch_sizes: tuple[int, ...] = (8, 32)
    optimizers: tuple[str, ...] = ("sgd", "adam")
    horizon: int = 300
    unroll: int = 20
    task_batch: int = 16
    queries: int = 64
    steps: int = 100
    epochs: int = 6
    learning_rate: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "set_size", "horizon", "unroll", "task_batch", "queries", "steps", "epochs"):
            require(getattr(self, name) >= 1, self, name, "1 or more")
        require(self.unroll <= self.horizon, self, "unroll", f"up to horizon, which is {self.horizon}")
        for name in ("label_noise", "outliers", "batch_sizes", "optimizers"):
            require(isinstance(getattr(self, name), tuple), self, name, "several values, as in (0.1, 0.3)")
        for name in ("label_noise", "outliers"):
            shares = getattr(self, name)
            require(bool(shares) and all(0 <= share < 1 for share in shares), self, name, "shares from 0 to below 1")
        sizes = self.batch_sizes
        require(bool(sizes) and all(size >= 2 for size in sizes), self, "batch_sizes", "one or more, each 2 or more")
        known = 0 < len(self.optimizers) == len(set(self.optimizers)) and set(self.optimizers) <= set(RATES)
        require(known, self, "optimizers", f"one or more of {', '.join(RATES)}, each once")
        require(self.learning_rate > 0, self, "learning_rate", "more than 0")
        require(0 <= self.seed < 2**32, self, "seed", "0 to 2^32 - 1")

    @property
    def batch_size(self) -> int:
        """Inner networks a step, as ``trainables.gradient_fit`` calls it."""
        return self.task_batch
