"""Spaces of aggregators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def learned_gradient(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """The network's width, its learning rate, and through how many steps it is differentiated."""
    return {
        "width": trial.suggest_categorical("width", [8, 16, 32]),
        "learning_rate": trial.suggest_float("learning_rate", 2e-3, 2e-2, log=True),
        "unroll": trial.suggest_categorical("unroll", [10, 20]),
    }
