"""Noise on the weights: accuracy of networks that answer by the mean of several noisy inferences.

Shape letters: M members, N examples, C classes, K inferences, P parameters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, require_finite
from zoo.architecture import Architecture
from zoo.data.examples import Examples
from zoo.evaluation import outputs
from zoo.metric import Metric
from zoo.population import Population, single_architecture
from zoo.population.population import steps
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

    def logits(
        self,
        architecture: Architecture,
        weights_MP: Tensor,
        examples: int,
        apply: Callable[[Tensor], Tensor],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Logarithms of members' mean probabilities, finite where these vanish: ``[M, N, C]``.

        Args:
            architecture: The members'.
            weights_MP: Theirs, without noise.
            examples: N.
            apply: From the weights of any number of networks to their logits for the examples.
            generators: What each member's noise is drawn by.
        """
        deviation_MP = torch.zeros(weights_MP.shape)
        for spec in architecture.layout:
            deviation_MP[:, spec.span] = weights_MP[:, spec.span].square().mean(1, keepdim=True).sqrt()
        sums = []
        size = max(1, AT_ONCE // (len(weights_MP) * _numbers(architecture, examples)))
        for count in torch.ones(self.inferences).split(size):
            noise = [torch.randn(len(count), weights_MP.shape[1], generator=each) for each in generators]
            noisy_MKP = (self.ratio * torch.stack(noise)).mul_(deviation_MP[:, None]).add_(weights_MP[:, None])
            logs = apply(noisy_MKP.flatten(0, 1)).log_softmax(2)
            sums.append(logs.unflatten(0, (len(weights_MP), -1)).logsumexp(1))
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
        right_MN = torch.zeros(targets_MN.shape)
        for architecture, every in population.groups():
            apply = partial(_outputs, architecture, examples)
            size = max(1, AT_ONCE // (self.noise.inferences * _numbers(architecture, len(examples))))
            for rows in steps(every, size):
                weights_MP = population.weights_MP[rows]
                # By its place in the whole subject: what other members are in the block changes nothing.
                places = subject.places_M[rows].tolist()
                generators = [torch.Generator().manual_seed(SEED + place) for place in places]
                answers_MNC = self.noise.logits(architecture, weights_MP, len(examples), apply, generators)
                right_MN[rows] = (answers_MNC.argmax(2) == targets_MN[rows]).float()
        part_MN = targets_MN >= 0
        return {self.metric: (right_MN * part_MN).sum(1) / part_MN.sum(1)}


def _outputs(architecture: Architecture, examples: Examples, weights_KP: Tensor) -> Tensor:
    return outputs(single_architecture(architecture, weights_KP), examples)


def _numbers(architecture: Architecture, examples: int) -> int:
    """How many numbers one noisy network takes up, of its weights or of its answers."""
    return max(architecture.parameters, examples * architecture.classes)


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
        by_members=True,
        needs_original=False,
        judges="classes",
        measures=(Measure(metric=metric),),
        description="Accuracy with noise on the weights, the mean of so many inferences; other strengths likewise.",
    )
