"""Spaces of encoders of networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainables.encoders.config import STATISTICS
from trainables.encoders.graph.config import MESSAGES
from trainables.encoders.probing.config import PROBES
from trainables.encoders.sane.config import READ

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def weights(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Whether hidden units are matched to a reference."""
    return {"aligned": trial.suggest_categorical("aligned", [False, True])}


def weight_statistics(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Which statistics."""
    return {"statistics": trial.suggest_categorical("statistics", list(STATISTICS))}


def hyper_representation(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Widths and depth of the transformer, its latent, what is augmented and how the losses are weighed."""
    width = trial.suggest_categorical("width", [64, 128, 256])
    return {
        "width": width,
        "feedforward": 2 * width,
        "blocks": trial.suggest_int("blocks", 1, 4),
        "latent": trial.suggest_int("latent", 16, 256, log=True),
        "contrast": trial.suggest_float("contrast", 0.0, 1.0),
        "temperature": trial.suggest_float("temperature", 0.05, 0.5, log=True),
        "erase": trial.suggest_categorical("erase", [0.0, 0.5]),
        "layer_loss": trial.suggest_categorical("layer_loss", [False, True]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "projection": width,
    }


def probing(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Where probes begin and how many there are, what is read of hidden layers, and the readout network."""
    return {
        "probes": trial.suggest_categorical("probes", list(PROBES)),
        "count": trial.suggest_categorical("count", [16, 32, 64]),
        "hidden": trial.suggest_categorical("hidden", ["moments", "profiles", "both"]),
        "width": trial.suggest_categorical("width", [128, 256]),
        "layers": trial.suggest_int("layers", 1, 4),
        "latent": trial.suggest_int("latent", 16, 128, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
    }


def neural_graph(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Widths and rounds, how messages are normalized, and regularization."""
    return {
        "width": trial.suggest_categorical("width", [32, 64, 128]),
        "edge_width": trial.suggest_categorical("edge_width", [16, 32, 64]),
        "blocks": trial.suggest_int("blocks", 1, 5),
        "messages": trial.suggest_categorical("messages", list(MESSAGES)),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "noise": trial.suggest_categorical("noise", [0.0, 0.01, 0.1]),
        "latent": trial.suggest_categorical("latent", [32, 64, 128]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
    }


def weights_and_behavior(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """How many inputs are stored, whether agreement on them counts, and the head's size."""
    head = trial.suggest_categorical("head", [True, False])
    sizes = {}
    if head:
        sizes["width"] = trial.suggest_categorical("width", [64, 128, 256])
        sizes["passes"] = trial.suggest_int("passes", 10, 60)
        sizes["graph_passes"] = trial.suggest_categorical("graph_passes", [0, 20, 40])
    return {
        "inputs": trial.suggest_int("inputs", 64, 1024, log=True),
        "consensus": trial.suggest_categorical("consensus", [True, False]),
        "head": head,
        **sizes,
    }


def sane(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """How networks are cut, widths and depth of the transformer, latents, and how the losses are weighed."""
    width = trial.suggest_categorical("width", [64, 128, 256])
    return {
        "token": trial.suggest_categorical("token", [32, 80, 160, 289]),
        "window": trial.suggest_categorical("window", [32, 64, 128]),
        "width": width,
        "feedforward": 2 * width,
        "blocks": trial.suggest_int("blocks", 1, 4),
        "latent": trial.suggest_int("latent", 16, 128, log=True),
        "embedding": trial.suggest_categorical("embedding", list(READ)),
        "contrast": trial.suggest_float("contrast", 0.01, 0.5, log=True),
        "noise": trial.suggest_categorical("noise", [0.0, 0.1]),
        "layer_loss": trial.suggest_categorical("layer_loss", [False, True]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
    }


def sne(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Widths of the sets, how networks are cut, and how much invariance is asked for."""
    return {
        "chunk": trial.suggest_categorical("chunk", [16, 32, 64]),
        "element_width": trial.suggest_categorical("element_width", [8, 16]),
        "width": trial.suggest_categorical("width", [32, 64]),
        "blocks": trial.suggest_int("blocks", 1, 2),
        "invariance": trial.suggest_float("invariance", 1e-3, 1.0, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
    }
