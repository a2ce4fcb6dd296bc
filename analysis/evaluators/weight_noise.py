"""Noise on the weights: accuracy of networks that answer by the mean of several noisy inferences.

Shape letters: M members, N examples, C classes, K inferences, P parameters.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, require_finite
from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.evaluation import outputs
from zoo.metric import Metric
from zoo.population import Population
from zoo.words import counted

# Test examples that are answered by noisy networks, or attacked; and numbers of inputs or weights in one step.
EXAMPLES, AT_ONCE = 256, 2**22
SEED = 0
WEIGHT_NOISE = re.compile(r"weight-noise-(\d*\.?\d+)(?:x(\d+))?")
MOST_INFERENCES = 100_000


class NoisyInference(NamedTuple):
    """How networks with noise answer: by the mean of so many inferences.

    Attributes:
        ratio: Deviation of the noise, in root mean squares of each tensor.
        inferences: How many, each with fresh noise on all weights.
    """

    ratio: float
    inferences: int

    def logits(self, architecture: Architecture, weights_1P: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
        """Logarithms of one member's mean probabilities: ``[N, C]``, differentiable in x, finite where these vanish."""
        deviation_P = torch.zeros(weights_1P.shape[1])
        for spec in architecture.layout:
            deviation_P[spec.span] = weights_1P[0, spec.span].square().mean().sqrt()
        sums = []
        size = max(1, AT_ONCE // max(weights_1P.shape[1], len(x) * architecture.classes))
        for count in torch.ones(self.inferences).split(size):
            noise_KP = torch.randn(len(count), weights_1P.shape[1], generator=generator)
            noisy_KP = weights_1P + self.ratio * deviation_P * noise_KP
            sums.append(architecture.logits(noisy_KP, x).log_softmax(2).logsumexp(0))
        return torch.stack(sums).logsumexp(0) - math.log(self.inferences)


@dataclass(frozen=True)
class WeightNoise:
    """Accuracy with noise on the weights.

    Attributes:
        noise: How networks answer.
        metric: Name of the metric.
    """

    noise: NoisyInference
    metric: str

    @torch.no_grad()
    def run(self, subject: Subject, original: Subject | None, data: EvaluationData) -> Values:  # noqa: ARG002
        """The share of examples that the mean of every member's noisy answers has right: ``[M]``."""
        population, examples = subject.population, data.examples.first(EXAMPLES)
        require_answers(subject, examples)
        targets_MN = first_targets(population, data, len(examples))
        generator, right = torch.Generator().manual_seed(SEED), []
        for row in range(len(population)):
            architecture = population.architectures[int(population.architecture_M[row])]
            weights_1P = population.weights_MP[row : row + 1]
            answers_NC = self.noise.logits(architecture, weights_1P, examples.inputs, generator)
            part_N = targets_MN[row] >= 0
            right.append((answers_NC.argmax(1) == targets_MN[row])[part_N].double().mean())
        return {self.metric: torch.stack(right)}


def require_answers(subject: Subject, examples: Examples) -> None:
    """Raises a ``ValueError`` where a network's outputs for these examples, which are few of all, are not finite."""
    require_finite(outputs(subject.population, examples), subject.name)


def first_targets(population: Population, data: EvaluationData, count: int) -> Tensor:
    """Right answers to the first examples, ``[M, N]``; -1 for classes that a member does not know."""
    targets_MN = data.targets(population)[..., :count].expand(len(population), -1)
    return torch.where(targets_MN < population.architecture.classes, targets_MN, -1)


def identifier(name: str) -> str:
    """An evaluator's name as part of that of a metric."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)


def weight_noise(name: str) -> Evaluator:
    """The evaluator of a name such as "weight-noise-0.1", or of several inferences "weight-noise-0.1x100".

    Raises:
        ValueError: The number of inferences is out of range, or it is no such name.
    """
    match = WEIGHT_NOISE.fullmatch(name)
    ratio, inferences = (float(match[1]), int(match[2] or 1)) if match else (0.0, 0)
    if not 1 <= inferences <= MOST_INFERENCES:
        raise ValueError(
            f"evaluator {name!r}: allowed are weight-noise-R and weight-noise-RxK with K from 1 to {MOST_INFERENCES:,}"
        )
    metric = Metric(
        name=f"accuracy_{identifier(name)}",
        label=f"accuracy with weight noise {ratio:g}" + (f", mean of {inferences}" if inferences > 1 else ""),
        unit="share",
        direction="max",
        description=f"Accuracy on {EXAMPLES} test examples by the mean of {counted(inferences, 'inference')}, each "
        f"with Gaussian noise on the weights of {ratio:g} root mean squares of their tensor.",
    )
    return Evaluator(
        name=name,
        run=WeightNoise(NoisyInference(ratio, inferences), metric.name).run,
        needs_original=False,
        judges="classes",
        measures=(Measure(metric=metric),),
        description="Accuracy with noise on the weights, the mean of so many inferences; other strengths likewise.",
    )
