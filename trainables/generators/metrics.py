"""What generators are judged by, each metric declared once; free of torch."""

from __future__ import annotations

from zoo.metric import Metric

GENERATED_ACCURACY = Metric(
    name="generated_accuracy",
    label="accuracy of generated networks",
    unit="share",
    direction="max",
    description="Accuracy of generated networks as they are, without a step of training; the mean over networks.",
)
GENERATED_LOSS = Metric(
    name="generated_loss",
    label="loss of generated networks",
    direction="min",
    description="Mean loss of generated networks as they are, without a step of training.",
)
NOVELTY = Metric(
    name="novelty",
    label="novelty",
    direction="max",
    description="Median distance of a generated network to its nearest training network, over the median distance of a "
    "training network to its nearest other, hidden units matched; 0 are copies, 1 or more as far as training networks "
    "are from each other.",
)
GENERATOR_METRICS = (GENERATED_ACCURACY, GENERATED_LOSS, NOVELTY)
