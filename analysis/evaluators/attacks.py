"""Attacks on the inputs: accuracy that is left, by each network's own gradient or by that of another one.

FGSM: Goodfellow, Shlens and Szegedy (ICLR 2015, arXiv 1412.6572, section 4). PGD: Madry et al. (ICLR 2018, arXiv
1706.06083, section 2.1): steps along the gradient's sign, projected onto the ball, from several random starts; an
example counts as right only if no start succeeds. Transfer: PGD on another network (Papernot, McDaniel and Goodfellow,
arXiv 1605.07277). Networks that answer by the mean of noisy inferences are attacked by the gradient of such a mean with
fresh noise in each step: expectation over transformation (Athalye, Carlini and Wagner, ICML 2018, arXiv 1802.00420,
section 4.2), who also say what betrays gradients that are masked: that transfer, or more steps, succeed where few
steps by the own gradient do not.

Shape letters: M members, N examples, C classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.evaluators.evaluator import EvaluationData, Evaluator, Measure, Subject, Values, required
from analysis.evaluators.weight_noise import (
    AT_ONCE,
    EXAMPLES,
    SEED,
    NoisyInference,
    first_targets,
    identifier,
    require_answers,
)
from zoo.architecture import Architecture
from zoo.metric import Metric
from zoo.population import Population
from zoo.training.adversary import STEP_SHARE, pixel_limits
from zoo.words import counted

ATTACK = re.compile(r"(fgsm|pgd|transfer)-(\d*\.?\d+)(?:x(\d+)(?:x(\d+))?)?(?:-noise-(\d*\.?\d+)x(\d+))?")
STEPS, RESTARTS = 20, 3
# The most steps and starts, and the most noisy inferences in each step.
MOST_STEPS, MOST_INFERENCES = 10_000, 1000
# What members answer to examples of their own: ``[M, N, *input]`` to logits ``[M, N, C]``.
Answers = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Attacks inputs within a ball of the largest norm.

    Attributes:
        epsilon: Radius, in the networks' inputs (pixels go from 0 to 1).
        steps: How many; 1 with ``restarts`` 0 is FGSM.
        restarts: Random starts; 0 to start at the example itself.
        metric: Name of the metric.
        transferred: Whether examples are made on the originals, which may be any other networks.
        noise: How networks answer; ``None`` of those that have no noise.
    """

    epsilon: float
    steps: int
    restarts: int
    metric: str
    transferred: bool = False
    noise: NoisyInference | None = None

    def run(self, subject: Subject, original: Subject | None, data: EvaluationData) -> Values:
        """The share of examples that every member still answers correctly: ``[M]``."""
        population, examples = subject.population, data.examples.first(EXAMPLES)
        source = required(original) if self.transferred else subject
        for networks in (subject, source):
            require_answers(networks, examples)
        attacked = source.population
        targets_MN = first_targets(population, data, len(examples))
        limits = pixel_limits(data.dataset.train.values, data.dataset.train.scale)
        right_MN = torch.zeros(targets_MN.shape)
        size = 1 if self.noise else max(1, AT_ONCE // (examples.inputs[0].numel() * len(examples)))
        for architecture, other, rows in _alike(population, attacked, size):
            answers = self._answers(architecture, population.weights_MP[rows])
            made_on = self._answers(other, attacked.weights_MP[rows]) if self.transferred else answers
            right_MN[rows] = self.survived(made_on, answers, examples.inputs, targets_MN[rows], limits).float()
        part_MN = targets_MN >= 0
        return {self.metric: (right_MN * part_MN).sum(1) / part_MN.sum(1).clamp_min(1)}

    def _answers(self, architecture: Architecture, weights_MP: Tensor) -> Answers:
        noise = self.noise
        if noise is None:
            return lambda x: architecture.logits(weights_MP, x)
        generator = torch.Generator().manual_seed(SEED)
        return lambda x: noise.logits(
            architecture, weights_MP, x.shape[1], lambda noisy_KP: architecture.logits(noisy_KP, x[0]), [generator]
        )

    def survived(
        self, made_on: Answers, answers: Answers, x: Tensor, targets_MN: Tensor, limits: tuple[float, float] | None
    ) -> Tensor:
        """Which examples no attack has changed the answer to, bool ``[M, N]``.

        Args:
            made_on: Networks by whose gradients inputs are moved.
            answers: Those that are judged.
            x: Examples ``[N, *input_shape]``.
            targets_MN: Right answers; -1 for none.
            limits: The least and the largest value of an input; ``None`` for any.
        """
        with torch.no_grad():
            right_MN = answers(x.expand(len(targets_MN), *x.shape)).argmax(2) == targets_MN
        generator = torch.Generator().manual_seed(SEED)
        for _ in range(max(self.restarts, 1)):
            # Those that are wrong already stay so: each member's others, and as many for all members of a step.
            count = int(right_MN.sum(1).max())
            if not count:
                break
            rows_MN = right_MN.int().argsort(dim=1, descending=True, stable=True)[:, :count]
            clean, targets = x[rows_MN], targets_MN.gather(1, rows_MN)
            low, high = clean - self.epsilon, clean + self.epsilon
            if limits is not None:
                low, high = low.clamp_(min=limits[0]), high.clamp_(max=limits[1])
            if self.restarts:
                # The same for all members, so that each is attacked alike whatever others there are.
                drawn = torch.rand(x.shape, generator=generator).mul_(2).sub_(1)
                clean = torch.clamp(clean.add_(drawn[rows_MN], alpha=self.epsilon), low, high)
            moved = self._moved(made_on, clean, targets, low, high)
            with torch.no_grad():
                kept = right_MN.gather(1, rows_MN) & (answers(moved).argmax(2) == targets)
            right_MN = right_MN.scatter(1, rows_MN, kept)
        return right_MN

    def _moved(self, answers: Answers, start: Tensor, targets: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Examples after all steps, each within its limits."""
        size, moved = self.epsilon if self.steps == 1 else STEP_SHARE * self.epsilon / self.steps, start
        for _ in range(self.steps):
            logits_MNC = answers(moved.requires_grad_())
            (gradient,) = torch.autograd.grad(logits_MNC, moved, _of_loss(logits_MNC.detach(), targets))
            moved = moved.detach().add_(gradient.sign_(), alpha=size)
            torch.maximum(torch.minimum(moved, high, out=moved), low, out=moved)
        return moved


def _of_loss(logits_MNC: Tensor, targets_MN: Tensor) -> Tensor:
    """The gradient of the cross-entropy in the logits, each example's times a positive number, ``[M, N, C]``.

    That number is 1 over the probability of all wrong classes: where networks are sure, the gradient itself is lost in
    rounding, and its sign is all that counts.
    """
    targets_MN1 = targets_MN.clamp_min(0).unsqueeze(2)
    wrong_MNC = logits_MNC.scatter(2, targets_MN1, -torch.inf)
    wrong_MNC = wrong_MNC.sub_(wrong_MNC.amax(2, keepdim=True)).exp_()
    return wrong_MNC.scatter_(2, targets_MN1, -wrong_MNC.sum(2, keepdim=True))


def _alike(one: Population, other: Population, size: int) -> Iterator[tuple[Architecture, Architecture, Tensor]]:
    """At most so many rows at a time, of one block, that have one architecture in either population, with these."""
    for every in one.blocks():
        for others, theirs in other.groups():
            both = every[torch.isin(every, theirs)]
            for start in range(0, len(both), size):
                yield one.architectures[int(one.architecture_M[every[0]])], others, both[start : start + size]


def attack(name: str) -> Evaluator:
    """The evaluator of a name such as "fgsm-0.1", "pgd-0.03" or "transfer-0.1".

    PGD and transfer have 20 steps and 3 starts, "pgd-0.1x100" has 100 steps and "pgd-0.1x100x10" also 10 starts. By
    "pgd-0.1-noise-0.5x20" networks are attacked that answer by the mean of 20 inferences with weight noise 0.5.

    Raises:
        ValueError: A number is out of range, or it is no such name.
    """
    match = ATTACK.fullmatch(name)
    kind, epsilon, steps, restarts, ratio, inferences = match.groups() if match else ("",) * 6
    if not match or not 0 < float(epsilon) <= 1 or (kind == "fgsm" and steps) or (kind == "transfer" and ratio):
        raise ValueError(
            f"evaluator {name!r}: allowed are fgsm-E, pgd-E, pgd-ExSTEPSxSTARTS and transfer-E with E more than 0, at "
            "most 1, and of the first three -noise-RxK after that"
        )
    for what, given, most in (
        ("steps", steps, MOST_STEPS),
        ("starts", restarts, MOST_STEPS),
        ("inferences", inferences, MOST_INFERENCES),
    ):
        if given and not 1 <= int(given) <= most:
            raise ValueError(f"evaluator {name!r} has {given} {what}; allowed: 1 to {most:,}")
    attacked = Attack(
        epsilon=float(epsilon),
        steps=1 if kind == "fgsm" else int(steps or STEPS),
        restarts=0 if kind == "fgsm" else int(restarts or RESTARTS),
        metric=f"accuracy_{identifier(name)}",
        transferred=kind == "transfer",
        noise=NoisyInference(float(ratio), int(inferences)) if ratio else None,
    )
    return Evaluator(
        name=name,
        run=attacked.run,
        by_members=True,
        needs_original=attacked.transferred,
        any_original=attacked.transferred,
        judges="classes",
        measures=(Measure(metric=_metric(attacked, kind, usual=not steps)),),
        description="Accuracy under adversarial examples made on the original (PGD); other radii likewise."
        if attacked.transferred
        else f"Accuracy under attack ({kind.upper()}), each network by its own gradient; other radii likewise.",
    )


def _metric(attacked: Attack, kind: str, *, usual: bool) -> Metric:
    """What is measured, in words; ``usual`` without numbers of steps and starts in the label."""
    noise, starts = attacked.noise, counted(attacked.restarts, "random start")
    label = "adversarial examples of another" if attacked.transferred else kind.upper()
    by = f"by {attacked.steps} steps from {starts}" if attacked.restarts else "by one step"
    on = " that are made on another network" if attacked.transferred else ""
    averaged = f", mean of {noise.inferences} with weight noise {noise.ratio:g}" if noise else ""
    fresh = (
        f" Networks answer by the mean of {noise.inferences} inferences with weight noise {noise.ratio:g}, and each"
        " step follows the gradient of such a mean with fresh noise."
        if noise
        else ""
    )
    return Metric(
        name=attacked.metric,
        label=f"accuracy under {label}, ε = {attacked.epsilon:g}"
        + ("" if usual else f", {attacked.steps} steps, {starts}")
        + averaged,
        unit="share",
        direction="max",
        description=f"Share of {EXAMPLES} test examples that are still answered correctly when each input may move by"
        f" {attacked.epsilon:g}, {by}{on}.{fresh}",
    )
