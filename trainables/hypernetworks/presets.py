"""Settings that were published with hypernetworks; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# One linear map and a tanh for each tensor of a convolutional network, z of 100 numbers, one-hot for training tasks.
SUPERNET: Mapping[str, Mapping[str, Any]] = {
    "one-hot": {"z": 100, "one_hot": True, "learn_z": False, "head": "linear", "bounded": True, "residual": False},
}
