"""The hypernetworks, a line or two each; free of torch."""

from __future__ import annotations

from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.metrics import HYPERNETWORK_METRICS
from trainables.hypernetworks.presets import SUPERNET
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
    )
}
