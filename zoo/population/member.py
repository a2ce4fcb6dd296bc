"""Members: how one network of a population is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from zoo.config import require
from zoo.data.class_tasks import parse_task
from zoo.population.distributions import INITIALIZATIONS
from zoo.population.optimizers import OPTIMIZERS

# Fields that few recipes vary: shards of the others have no column of them, and their zoos stay what they are.
OPTIONAL = {"optional": True}
# Of an attack: a step of it costs as much as one of training.
MOST_STEPS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """How one network is trained; every field is a column of the zoo.

    Attributes:
        id: Number of the member in its zoo.
        seed: Seed of its initialization, and of all noise in training: dropout masks, weight noise, starts of attacks.
        initialization: Name of the initial distribution, or ``module:attribute`` of an ``Initialization`` of your own.
        init_scale: Factor on the initial weights.
        optimizer: Name of the optimizer, or ``module:attribute`` of a ``PopulationOptimizer`` of your own.
        learning_rate: Step size.
        weight_decay: L2 penalty (decoupled for AdamW), as in ``torch.optim``.
        dropout: Probability of zeroing a hidden unit in training, after each activation.
        weight_noise: Strength of Gaussian noise on the parameters in training: its standard deviation, in root mean
            squares of the tensor. Drawn anew for each step, in which values and gradients are those of the noisy
            network; the parameters themselves, which the step moves, have none.
        weight_noise_share: Probability that a neuron, or a channel of a convolution, has noise on its incoming
            parameters in a step.
        adversarial_epsilon: If not 0, the member is trained on adversarial examples alone: how far each input may move.
        adversarial_steps: Steps of the attack by which they are made: 1 is FGSM, more are PGD from a random start.
        batch_size: Examples a step; the last, smaller batch of an epoch is dropped.
        training_fraction: Share of the training images that the member sees.
        order_seed: Seed of the minibatch order; members with equal order and subset share products.
        subset_seed: Seed of the choice of the training fraction or subset.
        subset_size: If not 0, the member sees exactly so many training images: one of the disjoint pieces into
            which ``subset_seed`` divides them.
        subset_index: Which piece.
        task: What it is to tell apart, as in ``zoo.data.class_tasks``; the whole data set where empty.
    """

    id: int
    seed: int
    initialization: str = "kaiming_uniform"
    init_scale: float = 1.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    dropout: float = 0.0
    weight_noise: float = field(default=0.0, metadata=OPTIONAL)
    weight_noise_share: float = field(default=1.0, metadata=OPTIONAL)
    adversarial_epsilon: float = field(default=0.0, metadata=OPTIONAL)
    adversarial_steps: int = field(default=1, metadata=OPTIONAL)
    batch_size: int = 64
    training_fraction: float = 1.0
    order_seed: int = 0
    subset_seed: int = 0
    subset_size: int = 0
    subset_index: int = 0
    task: str = ""

    def __post_init__(self) -> None:
        require(self.id >= 0, self, "id", "0 or more")
        for field_name in ("seed", "order_seed", "subset_seed"):
            seed = getattr(self, field_name)
            require(type(seed) is int and 0 <= seed < 2**63, self, field_name, "a whole number, 0 to 2**63 - 1")
        for field_name, registry in (("initialization", INITIALIZATIONS), ("optimizer", OPTIMIZERS)):
            name = getattr(self, field_name)
            allowed = f"{', '.join(registry)}, or module:attribute of your own"
            require(type(name) is str and (name in registry or ":" in name), self, field_name, allowed)
        require(0 < self.init_scale < math.inf, self, "init_scale", "more than 0 and finite")
        require(0 < self.learning_rate < math.inf, self, "learning_rate", "more than 0 and finite")
        require(0 <= self.weight_decay < math.inf, self, "weight_decay", "0 or more and finite")
        require(0 <= self.dropout < 1, self, "dropout", "0 <= dropout < 1")
        require(0 <= self.weight_noise < math.inf, self, "weight_noise", "0 or more and finite")
        require(0 < self.weight_noise_share <= 1, self, "weight_noise_share", "0 < weight_noise_share <= 1")
        require(0 <= self.adversarial_epsilon < math.inf, self, "adversarial_epsilon", "0 or more and finite")
        steps = self.adversarial_steps
        require(type(steps) is int and 0 < steps <= MOST_STEPS, self, "adversarial_steps", f"1 to {MOST_STEPS}")
        require(type(self.batch_size) is int and self.batch_size > 0, self, "batch_size", "a whole number, 1 or more")
        require(0 < self.training_fraction <= 1, self, "training_fraction", "0 < training_fraction <= 1")
        for field_name in ("subset_size", "subset_index"):
            value = getattr(self, field_name)
            require(type(value) is int and value >= 0, self, field_name, "a whole number, 0 or more")
        if self.subset_size:
            require(self.training_fraction == 1, self, "training_fraction", "1 where there is a subset_size")
        else:
            require(self.subset_index == 0, self, "subset_index", "0 where there is no subset_size")
        parse_task(self.task)

    @property
    def attack_steps(self) -> int:
        """Steps of the attack on each of its minibatches; 0 where it is trained on examples as they are."""
        return self.adversarial_steps if self.adversarial_epsilon else 0
