"""Tasks: what networks are trained for on a data set, and what judges them.

Shape letters: N examples, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.config import lookup, require
from zoo.metric import Metric

# Outputs of a network, float32 ``[N, C]``, and targets, ``[N]`` or ``[N, C]``, to the loss of each example, ``[N]``.
Loss = Callable[[Tensor, Tensor], Tensor]

LOSS_METRIC = Metric(
    name="loss",
    label="loss",
    direction="min",
    description="The mean over examples of what the networks were trained to make small.",
)
CROSS_ENTROPY = Metric(
    name="loss", label="cross-entropy", unit="nats", direction="min", description="Mean cross-entropy over examples."
)
SQUARED_ERROR = Metric(
    name="loss", label="squared error", direction="min", description="Mean squared error over examples and outputs."
)
ACCURACY = Metric(
    name="accuracy",
    label="accuracy",
    unit="share",
    direction="max",
    description="Share of examples whose class has the largest output.",
)
LABEL_ACCURACY = Metric(
    name="accuracy",
    label="label accuracy",
    unit="share",
    direction="max",
    description="Share of labels, over examples and outputs, on whose side of one half the sigmoid output is.",
)
COUNT_ACCURACY = Metric(
    name="accuracy",
    label="accuracy of rounded counts",
    unit="share",
    direction="max",
    description="Share of examples whose output, rounded, is the label.",
)
R2 = Metric(
    name="r2",
    label="R²",
    direction="max",
    description="Share of the targets' variance that the outputs explain, the mean over outputs; 0 is the mean target.",
)


@dataclass(frozen=True, slots=True)
class Task:
    """What networks are trained for.

    Attributes:
        loss: "softmax": cross-entropy of one class of several, targets are class labels. "sigmoid": binary
            cross-entropy of each output, targets are float32 ``[N, outputs]`` from 0 to 1. "squared": squared error,
            targets are float32 ``[N, outputs]``. These two are means over outputs. "count": squared error of one
            output about a label taken as a number, targets are labels. Or ``module:attribute`` of a function of
            your own from outputs float32 ``[N, outputs]`` and targets to the loss of each example ``[N]``.
        outputs: Number of outputs of a network: classes, labels or numbers.
    """

    loss: str
    outputs: int

    def __post_init__(self) -> None:
        require(self.loss in LOSSES or ":" in self.loss, self, "loss", f"{', '.join(LOSSES)}, or module:attribute")
        require(type(self.outputs) is int and self.outputs > 0, self, "outputs", "a whole number, 1 or more")
        require(self.loss != "count" or self.outputs == 1, self, "outputs", "1 where the loss is count")

    @property
    def has_classes(self) -> bool:
        """Whether each example is of one class of several, and a network chooses one."""
        return self.loss == "softmax"

    @property
    def has_labels(self) -> bool:
        """Whether targets are labels, of classes or of numbers of things, so that a task can be about some of them."""
        return self.has_classes or self.loss == "count"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What judges a network: the loss first, then its :attr:`score`, if it has one, then others."""
        return METRICS.get(self.loss, (LOSS_METRIC,))

    @property
    def score(self) -> Metric | None:
        """The metric that people quote: accuracy or R²; ``None`` for a loss of the user's own."""
        return self.metrics[1] if len(self.metrics) > 1 else None

    def losses(self) -> Loss:
        """The loss as a function.

        Raises:
            ValueError: It is one of the user's own, and cannot be found.
        """
        found: Loss = lookup(LOSSES, self.loss, "loss")
        return found

    def allows(self, outputs: int) -> bool:
        """Whether networks with so many outputs can be trained for it: they may have some for classes that lack."""
        return outputs >= self.outputs if self.has_classes else outputs == self.outputs

    def of_classes(self, classes: Sequence[int]) -> Task:
        """The task of telling only some classes apart, as in ``zoo.data.class_tasks``; itself where there are none.

        Where labels are counted, it is the task of saying which of them it is: 0 for the first, 1 for the second.

        Raises:
            ValueError: Its targets are no labels.
        """
        if not classes:
            return self
        if not self.has_labels:
            raise ValueError(
                f"classes {', '.join(map(str, classes))} are to be told apart, but the loss is {self.loss!r}; allowed: "
                "softmax and count, whose targets are labels"
            )
        return Task(self.loss, len(classes)) if self.has_classes else self

    def check(self, targets: Tensor, where: str) -> None:
        """Raises ``ValueError`` where targets are not of this task; ``where`` says whose they are."""
        if self.has_labels:
            if targets.dtype != torch.int64:
                raise ValueError(f"{where}: targets are {targets.dtype}; loss {self.loss!r} needs labels, int64 [N]")
            most = self.outputs - 1 if self.has_classes else math.inf
            if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) <= most:
                raise ValueError(
                    f"{where}: labels go from {int(targets.min())} to {int(targets.max())}; allowed: 0 "
                    f"{'or more' if most == math.inf else f'to {most}'}"
                )
        elif self.loss in LOSSES:
            if targets.dtype != torch.float32 or targets.shape[1:] != (self.outputs,):
                raise ValueError(
                    f"{where}: targets are {targets.dtype} {tuple(targets.shape)}; loss {self.loss!r} with "
                    f"{self.outputs} outputs needs float32 [N, {self.outputs}]"
                )
            if self.loss == "sigmoid" and len(targets) and not 0 <= float(targets.min()) <= float(targets.max()) <= 1:
                raise ValueError(
                    f"{where}: targets go from {float(targets.min())} to {float(targets.max())}; "
                    "loss 'sigmoid' allows 0 to 1"
                )


def softmax_loss(outputs_NC: Tensor, targets_N: Tensor) -> Tensor:
    """Cross-entropy in nats of each example: ``[N]``."""
    return F.cross_entropy(outputs_NC, targets_N, reduction="none")


def sigmoid_loss(outputs_NC: Tensor, targets_NC: Tensor) -> Tensor:
    """Binary cross-entropy in nats of each example, the mean over its labels: ``[N]``."""
    return F.binary_cross_entropy_with_logits(outputs_NC, targets_NC, reduction="none").mean(1)


def squared_loss(outputs_NC: Tensor, targets_NC: Tensor) -> Tensor:
    """Squared error of each example, the mean over its outputs: ``[N]``."""
    return F.mse_loss(outputs_NC, targets_NC, reduction="none").mean(1)


def count_loss(outputs_N1: Tensor, targets_N: Tensor) -> Tensor:
    """Squared error of each example's output about its label: ``[N]``."""
    return (outputs_N1.squeeze(1) - targets_N).square()


LOSSES: dict[str, Loss] = {
    "softmax": softmax_loss,
    "sigmoid": sigmoid_loss,
    "squared": squared_loss,
    "count": count_loss,
}
METRICS: dict[str, tuple[Metric, ...]] = {
    "softmax": (CROSS_ENTROPY, ACCURACY),
    "sigmoid": (CROSS_ENTROPY, LABEL_ACCURACY),
    "squared": (SQUARED_ERROR, R2),
    "count": (SQUARED_ERROR, COUNT_ACCURACY, R2),
}
