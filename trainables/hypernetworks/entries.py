"""The hypernetworks, a line or two each; free of torch."""

from __future__ import annotations

from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.metrics import HYPERNETWORK_METRICS, SET_METRICS
from trainables.hypernetworks.presets import DATASET_HYPERNETWORK, SUPERNET
from trainables.hypernetworks.set_config import DatasetHypernetworkConfig
from trainables.trainable import Trainable

HYPERNETWORKS: dict[str, Trainable] = {
    entry.name: entry
    for entry in (
        Trainable(
            name="supernet",
            kind="hypernetwork",
            config=HypernetworkConfig,
            metrics=HYPERNETWORK_METRICS,
            begin="trainables.hypernetworks.hypernetwork:HypernetworkFit",
            load="trainables.hypernetworks.hypernetwork:Hypernetwork.from_files",
            tasks="several",
            presets=SUPERNET,
            description="A small vector a task becomes the weights of its network; new tasks learn the vector alone.",
        ),
        Trainable(
            name="dataset-hypernetwork",
            kind="hypernetwork",
            config=DatasetHypernetworkConfig,
            metrics=SET_METRICS,
            begin="trainables.hypernetworks.set_hypernetwork:DatasetHypernetworkFit",
            load="trainables.hypernetworks.set_hypernetwork:DatasetHypernetwork.from_files",
            check="trainables.hypernetworks.set_hypernetwork:check",
            tasks="one",
            needs_classes=True,
            presets=DATASET_HYPERNETWORK,
            description="A set of labeled examples becomes the weights of a network in one pass.",
        ),
    )
}
