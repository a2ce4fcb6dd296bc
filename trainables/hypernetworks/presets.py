"""Settings that were published with hypernetworks; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SUPERNET: Mapping[str, Mapping[str, Any]] = {
    # Ours: z is computed from five examples of each class, and fitted from there.
    "few-labels": {
        "describe": "class-means",
        "described_by": 5,
        "embedded": 64,
        "z": 60,
        "epochs": 40,
        "learning_rate": 2e-3,
    },
    # As published: one linear map and a tanh for each tensor of a convolutional network, z one-hot for training tasks.
    "one-hot": {"z": 100, "one_hot": True, "learn_z": False, "head": "linear", "bounded": True, "residual": False},
}

# A hundred examples, one branch each, attention across them and their mean; what it writes is compared with the weights
# of networks that memorised such sets, or judged on the set and on other examples.
_NOTES: Mapping[str, Any] = {
    "embedding": "slots",
    "width": 256,
    "head": "linear",
    "output_layer": "pooled",
    "permute": False,
}
DATASET_HYPERNETWORK: Mapping[str, Mapping[str, Any]] = {
    "weights": {**_NOTES, "weight_loss": 1.0, "query_loss": 0.0},
    "branches": _NOTES,
    # Ours: of a kind of images that it was not fitted to, networks are made by regression.
    "regressed": {"span": True, "regressed": True, "learning_rate": 3e-3, "steps": 50, "epochs": 6},
    "set-transformer": {"attention": "induced", "blocks": 2, "width": 128, "output_layer": "pooled", "permute": False},
}
