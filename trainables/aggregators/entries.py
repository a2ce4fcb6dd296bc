"""The aggregators; free of torch."""

from __future__ import annotations

from trainables.aggregators.config import AggregatorConfig
from trainables.aggregators.metrics import AGGREGATOR_METRICS
from trainables.aggregators.presets import LEARNED_GRADIENT
from trainables.trainable import Trainable

AGGREGATORS: dict[str, Trainable] = {
    entry.name: entry
    for entry in (
        Trainable(
            name="learned-gradient",
            kind="aggregator",
            config=AggregatorConfig,
            metrics=AGGREGATOR_METRICS,
            begin="trainables.aggregators.aggregator:AggregatorFit",
            load="trainables.aggregators.aggregator:Aggregator.from_files",
            check="trainables.aggregators.aggregator:check",
            tasks="one",
            needs_classes=True,
            presets=LEARNED_GRADIENT,
            description="Weighs the examples of a minibatch for each neuron, in place of the mean of their gradients.",
        ),
    )
}
