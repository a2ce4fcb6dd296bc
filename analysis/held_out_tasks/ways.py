"""Ways of coming to a network for a task: what is fitted to its labeled examples, and what is not fitted at all.

Shape letters: T tasks, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from trainables.hypernetworks.adaptation import (
    Adapted,
    AdaptedLastLayer,
    AdaptedLowRank,
    AdaptedVector,
    AdaptedWeights,
    VectorPrior,
)
from trainables.hypernetworks.generator import WeightGenerator, tensor_scales
from trainables.hypernetworks.hypernetwork import Hypernetwork
from trainables.tasks.task_examples import TaskExamples

EXAMPLES = 32
LEARNING_RATES = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
PRIORS = (0.1, 1.0)
# Of weights: a Gaussian of the deviation with which they are drawn.
WEIGHT_PRIORS = (0.01, 0.1)
SMALL_LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
LOW_RANK = 1
VECTOR = "vector alone"

Begin = Callable[[Hypernetwork, TaskExamples, int], Adapted]


@dataclass(frozen=True)
class Way:
    """A way of coming to a network for a task.

    Attributes:
        name: Its name in tables.
        begin: From the hypernetwork, the tasks' labeled examples and a seed to what is fitted.
        learning_rates: To choose from on validation tasks.
        description: What it is.
        variants: Other ways to begin, one of which is chosen on validation tasks too.
    """

    name: str
    begin: Begin
    learning_rates: tuple[float, ...]
    description: str
    variants: tuple[Begin, ...] = ()


def _vector(made: Hypernetwork, examples: TaskExamples, seed: int, prior: float = 0.0) -> Adapted:
    return made.adapted(examples, prior, seed)


def _scratch(made: Hypernetwork, examples: TaskExamples, seed: int, prior: float = 0.0) -> Adapted:
    generator = torch.Generator().manual_seed(seed)
    start_TP = torch.randn(len(examples), made.architecture.parameters, generator=generator)
    scale_P = tensor_scales(made.architecture)
    return AdaptedWeights(start_TP * scale_P, VectorPrior(torch.zeros(()), scale_P, prior))


def _start(made: Hypernetwork, examples: TaskExamples, seed: int) -> Tensor:
    return made.make(made.start(examples, seed)).weights_MP


def _all_weights(made: Hypernetwork, examples: TaskExamples, seed: int) -> Adapted:
    return AdaptedWeights(_start(made, examples, seed))


def _last_layer(made: Hypernetwork, examples: TaskExamples, seed: int) -> Adapted:
    return AdaptedLastLayer(made.architecture, _start(made, examples, seed))


def _low_rank(made: Hypernetwork, examples: TaskExamples, seed: int) -> Adapted:
    return AdaptedLowRank(made.architecture, _start(made, examples, seed), LOW_RANK, seed)


def _random_generator(made: Hypernetwork, examples: TaskExamples, seed: int) -> Adapted:
    config = made.module.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        coordinates = made.module.generator.coordinates
        generator = WeightGenerator(config, made.architecture, coordinates).requires_grad_(False)
    return AdaptedVector(generator, torch.zeros(len(examples), config.z))


LEARNED = Way(
    VECTOR,
    _vector,
    LEARNING_RATES,
    "the vector z of the frozen generator, under the prior that training tasks' vectors suggest or none",
    tuple(partial(_vector, prior=strength) for strength in PRIORS),
)
OTHERS = (
    Way(
        "all weights, from scratch",
        _scratch,
        SMALL_LEARNING_RATES,
        "a network of its own, drawn at random, with weight decay or none",
        tuple(partial(_scratch, prior=strength) for strength in WEIGHT_PRIORS),
    ),
    Way("all weights, fine-tuned", _all_weights, SMALL_LEARNING_RATES, "all weights of the network where z starts"),
    Way("last layer, fine-tuned", _last_layer, LEARNING_RATES, "the last layer of the network where z starts"),
    Way("low-rank change", _low_rank, LEARNING_RATES, "a change of rank 1 of each tensor of that network (LoRA)"),
    Way("vector of a random generator", _random_generator, LEARNING_RATES, "z of a generator that was never trained"),
)
CONSTANT, DESCRIBED = "constant answer", "vector from the description"
UNADAPTED = {
    CONSTANT: "the label that most training examples of the task have",
    "mean network": "the mean of the networks of the training tasks, not adapted",
    "shared network": "one network that was trained on all training tasks, not adapted",
    "nearest training task": "the training task's network with the smallest loss on the labeled examples, not adapted",
}
COMPUTED = {DESCRIBED: "z computed from a description of the task, without a step"}
WAYS = {way.name: way.description for way in (LEARNED, *OTHERS)} | UNADAPTED | COMPUTED


def adapted_weights(
    begin: Begin, made: Hypernetwork, examples: TaskExamples, steps: int, learning_rate: float, seed: int
) -> Tensor:
    """The weights to which one comes for each task from a beginning: ``[T, P]``.

    Raises:
        DivergedError: A loss is not finite.
    """
    adapted = begin(made, examples, seed)
    made.adapt(adapted, examples, steps=steps, learning_rate=learning_rate, batch=EXAMPLES, seed=seed)
    return adapted.weights().detach()
