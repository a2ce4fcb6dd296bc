"""Spaces of what makes networks: hypernetworks and generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainables.generators.config import DENSITIES, ENCODED, NOISES, PATHS
from trainables.hypernetworks.config import HEADS, STARTS
from trainables.hypernetworks.set_config import ATTENTIONS, OUTPUT_LAYERS

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def supernet(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Width of z, the generator's shape, how it is trained and how z is found for a new task."""
    head = trial.suggest_categorical("head", list(HEADS))
    suggested: dict[str, Any] = {
        "head": head,
        "z": trial.suggest_int("z", 4, 128, log=True),
        "hidden": trial.suggest_categorical("hidden", [0, 64, 256]),
        "residual": trial.suggest_categorical("residual", [False, True]),
        "bounded": trial.suggest_categorical("bounded", [False, True]),
        "view": trial.suggest_categorical("view", ["fan_in", "input_metric"]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 0.1, 1.0]),
        "start": trial.suggest_categorical("start", list(STARTS)),
        "adapt_learning_rate": trial.suggest_float("adapt_learning_rate", 3e-3, 0.3, log=True),
        "adapt_prior": trial.suggest_categorical("adapt_prior", [0.0, 0.1, 1.0]),
    }
    if head == "low-rank":
        suggested["rank"] = trial.suggest_int("rank", 4, 128, log=True)
    if head == "chunked":
        suggested["chunk"] = trial.suggest_categorical("chunk", [64, 256, 1024])
    return suggested


def component_density(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """How many components, how wide the kernels are, and which networks they are of."""
    return {
        "components": trial.suggest_int("components", 4, 512, log=True),
        "bandwidth": trial.suggest_float("bandwidth", 0.0, 2.0),
        "best": trial.suggest_categorical("best", [0.3, 1.0]),
        "view": trial.suggest_categorical("view", ["standardized", "input_metric"]),
    }


def latent_density(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """How wide latents are, what they are drawn from, and how the autoencoder is fitted."""
    return {
        "latent": trial.suggest_int("latent", 8, 128, log=True),
        "encoded": trial.suggest_categorical("encoded", list(ENCODED)),
        "density": trial.suggest_categorical("density", list(DENSITIES)),
        "bandwidth": trial.suggest_float("bandwidth", 0.0, 2.0),
        "best": trial.suggest_categorical("best", [0.3, 1.0]),
        "rate_loss": trial.suggest_float("rate_loss", 0.03, 1.0, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
    }


def flow(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """The flow's path, in how many components it lives, the module's size, and whether it is trained on the task."""
    suggested: dict[str, Any] = {
        "path": trial.suggest_categorical("path", list(PATHS)),
        "components": trial.suggest_categorical("components", [0, 32, 128, 512]),
        "best": trial.suggest_categorical("best", [0.3, 1.0]),
        "view": trial.suggest_categorical("view", ["standardized", "input_metric", "input_basis"]),
        "jitter": trial.suggest_float("jitter", 0.0, 0.3),
        "width": trial.suggest_categorical("width", [128, 256, 512]),
        "depth": trial.suggest_int("depth", 1, 4),
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
    }
    suggested["task_loss"] = trial.suggest_categorical("task_loss", [0.0, 0.03, 0.1, 0.3])
    if suggested["task_loss"]:
        suggested |= {"noise": trial.suggest_float("noise", 0.0, 0.5), "solver": "euler", "integration_steps": 4}
        suggested["noise_kind"] = trial.suggest_categorical("noise_kind", list(NOISES))
    return suggested


def dataset_hypernetwork(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """How sets are read, and what makes the last layer and the others."""
    return {
        "width": trial.suggest_categorical("width", [32, 64, 128]),
        "attention": trial.suggest_categorical("attention", list(ATTENTIONS)),
        "output_layer": trial.suggest_categorical("output_layer", list(OUTPUT_LAYERS)),
        "head": trial.suggest_categorical("head", ["linear", "low-rank"]),
        "support_loss": trial.suggest_categorical("support_loss", [0.0, 0.3]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True),
    }
