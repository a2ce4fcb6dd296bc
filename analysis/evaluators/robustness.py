"""Robustness: accuracy under attacks on the inputs, and with noise on the weights.

FGSM: Goodfellow, Shlens and Szegedy (ICLR 2015, arXiv 1412.6572, section 4). PGD: Madry et al. (ICLR 2018, arXiv
1706.06083, section 2.1): steps along the gradient's sign, projected onto the ball, from several random starts; an
example counts as right only if no start succeeds. Every network is attacked by its own gradient.

Shape letters: M members, N examples, C classes, K inferences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values
from zoo.architecture import Architecture
from zoo.metric import Metric
from zoo.population import Population
from zoo.training.adversary import pixel_limits
from zoo.words import counted

# Test examples that are attacked, or answered by noisy networks; and numbers of inputs or weights in one step.
EXAMPLES, AT_ONCE = 256, 2**22
# A step of PGD, in shares of the ball's radius divided by the number of steps.
STEP_SHARE = 2.5
SEED = 0
ATTACK = re.compile(r"(fgsm|pgd)-(\d*\.?\d+)")
WEIGHT_NOISE = re.compile(r"weight-noise-(\d*\.?\d+)(?:x(\d+))?")
PGD_STEPS, PGD_RESTARTS = 20, 3
MOST_INFERENCES = 100_000


@dataclass(frozen=True)
class Attack:
    """Attacks inputs within a ball of the largest norm.

    Attributes:
        epsilon: Radius, in the networks' inputs (pixels go from 0 to 1).
        steps: How many; 1 with ``restarts`` 0 is FGSM.
        restarts: Random starts; 0 to start at the example itself.
        metric: Name of the metric.
    """

    epsilon: float
    steps: int
    restarts: int
    metric: str

    def run(self, subject: Subject, original: Subject | None, data: EvaluationData) -> Values:  # noqa: ARG002
        """The share of examples that every member still answers correctly: ``[M]``."""
        population, examples = subject.population, data.examples.first(EXAMPLES)
        targets = _targets(population, data, len(examples))
        limits = pixel_limits(data.dataset.train.values, data.dataset.train.scale)
        right_MN = torch.zeros(targets.shape)
        size = max(1, AT_ONCE // (examples.inputs[0].numel() * len(examples)))
        for architecture, every in population.groups():
            for rows in every.split(size):
                right_MN[rows] = self.survived(
                    architecture, population.weights_MP[rows], examples.inputs, targets[rows], limits
                ).float()
        part_MN = targets >= 0
        return {self.metric: (right_MN * part_MN).sum(1) / part_MN.sum(1).clamp_min(1)}

    def survived(
        self,
        architecture: Architecture,
        weights_MP: Tensor,
        x: Tensor,
        targets_MN: Tensor,
        limits: tuple[float, float] | None,
    ) -> Tensor:
        """Which examples no attack has changed the answer to, bool ``[M, N]``.

        Args:
            architecture: The members'.
            weights_MP: Members.
            x: Examples ``[N, *input_shape]``.
            targets_MN: Right answers; -1 for none.
            limits: The least and the largest value of an input; ``None`` for any.
        """
        clean = x.expand(len(weights_MP), *x.shape)
        with torch.no_grad():
            right_MN = architecture.logits(weights_MP, x).argmax(2) == targets_MN
        generator = torch.Generator().manual_seed(SEED)
        for _ in range(max(self.restarts, 1)):
            moved = clean.clone()
            if self.restarts:
                moved += self.epsilon * (2 * torch.rand(clean.shape, generator=generator) - 1)
                moved = moved if limits is None else moved.clamp(*limits)
            for _ in range(self.steps):
                moved = self._stepped(architecture, weights_MP, moved, clean, targets_MN, limits)
            with torch.no_grad():
                right_MN &= architecture.logits(weights_MP, moved).argmax(2) == targets_MN
        return right_MN

    def _stepped(
        self,
        architecture: Architecture,
        weights_MP: Tensor,
        moved: Tensor,
        clean: Tensor,
        targets_MN: Tensor,
        limits: tuple[float, float] | None,
    ) -> Tensor:
        moved = moved.detach().requires_grad_()
        logits_MNC = architecture.logits(weights_MP, moved)
        loss = F.cross_entropy(logits_MNC.flatten(0, 1), targets_MN.flatten(), ignore_index=-1, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, moved)
        step = self.epsilon if self.steps == 1 else STEP_SHARE * self.epsilon / self.steps
        moved = moved.detach() + step * gradient.sign()
        moved = clean + (moved - clean).clamp(-self.epsilon, self.epsilon)
        return moved if limits is None else moved.clamp(*limits)


@dataclass(frozen=True)
class WeightNoise:
    """Answers by the mean of several inferences, each with fresh noise on all weights.

    Attributes:
        ratio: Deviation of the noise, in root mean squares of each tensor.
        inferences: How many.
        metric: Name of the metric.
    """

    ratio: float
    inferences: int
    metric: str

    def run(self, subject: Subject, original: Subject | None, data: EvaluationData) -> Values:  # noqa: ARG002
        """The share of examples that the mean of every member's noisy answers has right: ``[M]``."""
        population, examples = subject.population, data.examples.first(EXAMPLES)
        targets = _targets(population, data, len(examples))
        generator, right = torch.Generator().manual_seed(SEED), []
        for row in range(len(population)):
            probabilities_NC = self.mean_probabilities(population.select([row]), examples.inputs, generator)
            part_N = targets[row] >= 0
            right.append((probabilities_NC.argmax(1) == targets[row])[part_N].double().mean())
        return {self.metric: torch.stack(right)}

    @torch.no_grad()
    def mean_probabilities(self, member: Population, x: Tensor, generator: torch.Generator) -> Tensor:
        """The mean over noisy copies of one member of the predicted probabilities: ``[N, C]``."""
        architecture, weights_1P = member.architectures[int(member.architecture_M[0])], member.weights_MP
        deviation_P = torch.zeros(member.parameters)
        for spec in architecture.layout:
            deviation_P[spec.span] = weights_1P[0, spec.span].square().mean().sqrt()
        total_NC = torch.zeros(len(x), architecture.classes)
        size = max(1, AT_ONCE // max(member.parameters, len(x) * architecture.classes))
        for count in torch.ones(self.inferences).split(size):
            noise_KP = torch.randn(len(count), member.parameters, generator=generator)
            noisy_KP = weights_1P + self.ratio * deviation_P * noise_KP
            total_NC += architecture.logits(noisy_KP, x).softmax(2).sum(0)
        return total_NC / self.inferences


def _targets(population: Population, data: EvaluationData, count: int) -> Tensor:
    """Right answers to the first examples, ``[M, N]``; -1 for classes that a member does not know."""
    targets_MN = data.targets(population)[..., :count].expand(len(population), -1)
    return torch.where(targets_MN < population.architecture.classes, targets_MN, -1)


def attack(name: str) -> Evaluator:
    """The evaluator of a name such as "fgsm-0.1" or "pgd-0.03".

    Raises:
        ValueError: The radius is out of range, or it is no such name.
    """
    match = ATTACK.fullmatch(name)
    kind, epsilon = (match[1], float(match[2])) if match else ("", 0.0)
    if not 0 < epsilon <= 1:
        raise ValueError(f"evaluator {name!r}: allowed are fgsm-E and pgd-E with E more than 0, at most 1")
    steps, restarts = (1, 0) if kind == "fgsm" else (PGD_STEPS, PGD_RESTARTS)
    metric = Metric(
        name=f"accuracy_{_identifier(name)}",
        label=f"accuracy under {kind.upper()}, ε = {epsilon:g}",
        unit="share",
        direction="max",
        description=f"Share of {EXAMPLES} test examples that are still answered correctly when each input may move by "
        f"{epsilon:g}, {f'by {PGD_STEPS} steps from {PGD_RESTARTS} random starts' if restarts else 'by one step'}.",
    )
    return Evaluator(
        name=name,
        run=Attack(epsilon, steps, restarts, metric.name).run,
        needs_original=False,
        judges="classes",
        measures=(Measure(metric=metric),),
        description=f"Accuracy under attack ({kind.upper()}), each network by its own gradient; other radii likewise.",
    )


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
        name=f"accuracy_{_identifier(name)}",
        label=f"accuracy with weight noise {ratio:g}" + (f", mean of {inferences}" if inferences > 1 else ""),
        unit="share",
        direction="max",
        description=f"Accuracy on {EXAMPLES} test examples by the mean of {counted(inferences, 'inference')}, each "
        f"with Gaussian noise on the weights of {ratio:g} root mean squares of their tensor.",
    )
    return Evaluator(
        name=name,
        run=WeightNoise(ratio, inferences, metric.name).run,
        needs_original=False,
        judges="classes",
        measures=(Measure(metric=metric),),
        description="Accuracy with noise on the weights, the mean of so many inferences; other strengths likewise.",
    )


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)
