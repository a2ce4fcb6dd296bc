"""What the networks of held-out trainings are trained on: corruption, length, architecture, data set."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.aggregators.corruption import Corruption
from trainables.aggregators.metrics import GAINS
from trainables.aggregators.rules import RULES
from zoo.architecture import Architecture, cnn, mlp
from zoo.data.examples import Dataset

BATCH, SMALL_BATCH, LONGER = 32, 8, 3
NOISE = Corruption(label_noise=0.2)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What networks are trained on, and which.

    Attributes:
        name: In tables.
        corruption: Of each network's set.
        batch: Examples a step.
        longer: Times the longest training fitted on.
        hidden: Widths of the hidden layers of an MLP, or channels of a CNN; empty for the zoo's own architecture.
        convolutional: Whether it is a CNN.
        dataset: Its name; empty for the zoo's own.
        rules: What is compared with; those that sort every coordinate take most of the time, on large inputs too much.
    """

    name: str
    corruption: Corruption = NOISE
    batch: int = BATCH
    longer: int = 1
    hidden: tuple[int, ...] = ()
    convolutional: bool = False
    dataset: str = ""
    rules: tuple[str, ...] = tuple(GAINS)

    def architecture(self, own: Architecture, dataset: Dataset) -> Architecture:
        """That of its networks, which have the activation of the zoo's own."""
        if not self.hidden:
            return own if not self.dataset else mlp(dataset.input_shape, (16,), dataset.classes)
        build = cnn if self.convolutional else mlp
        return build(dataset.input_shape, self.hidden, dataset.classes, activation=own.activation.partition(",")[0])


EVERY, QUICK = tuple(RULES), tuple(name for name in GAINS if name != "trimmed mean")
MAIN = Scenario(name="20 % wrong labels", rules=EVERY)
SCENARIOS = (
    MAIN,
    Scenario(name="all labels right", corruption=Corruption(), rules=EVERY),
    Scenario(name="10 % wrong labels", corruption=Corruption(label_noise=0.1)),
    Scenario(name="30 % wrong labels", corruption=Corruption(label_noise=0.3)),
    Scenario(name="40 % wrong labels", corruption=Corruption(label_noise=0.4), rules=EVERY),
    Scenario(name="20 % outliers", corruption=Corruption(outliers=0.2), rules=EVERY),
    Scenario(name=f"{SMALL_BATCH} examples a step", batch=SMALL_BATCH),
    Scenario(name=f"{LONGER} times as long", longer=LONGER),
    Scenario(name="MLP of 64 units", hidden=(64,)),
    Scenario(name="MLP of 32 + 32 units", hidden=(32, 32)),
    Scenario(name="CNN of 8 channels", hidden=(8,), convolutional=True),
)
