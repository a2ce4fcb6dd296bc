"""Named settings of aggregators; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEARNED_GRADIENT: Mapping[str, Mapping[str, Any]] = {
    # What there is to learn where every label is right: a control.
    "clean": {"label_noise": (0.0,), "outliers": (0.0,)},
}
