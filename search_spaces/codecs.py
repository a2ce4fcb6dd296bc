"""Spaces of codecs in closed form: their constants, chosen on validation members and validation examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def function_metric(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Step and price of a bit of ``trainables.codecs.function_metric.config.FunctionMetricConfig``."""
    return {
        "step": trial.suggest_float("step", 0.003, 0.1, log=True),
        "bit_price": trial.suggest_float("bit_price", 0.0, 0.2),
    }
