"""Spaces of predictors from statistics of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainables.encoders.config import STATISTICS

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def statistics_ridge(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Which statistics; the penalty is chosen on validation members by each fit itself."""
    return {"statistics": trial.suggest_categorical("statistics", list(STATISTICS))}


def statistics_boosting(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Which statistics, and the size, number and pace of the trees."""
    return {
        "statistics": trial.suggest_categorical("statistics", list(STATISTICS)),
        "iterations": trial.suggest_int("iterations", 50, 500, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "leaves": trial.suggest_int("leaves", 4, 64, log=True),
        "leaf_members": trial.suggest_int("leaf_members", 5, 50, log=True),
        "l2": trial.suggest_float("l2", 1e-3, 10.0, log=True),
    }
