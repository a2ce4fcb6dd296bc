"""Spaces of autoencoders: suggested fields of ``trainables.autoencoders.config.AutoencoderConfig``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def neuron_autoencoder(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """Latents of neurons that start at the principal components of the function metric: the strong ones."""
    latent = trial.suggest_int("latent", 16, 64, step=8)
    bits = trial.suggest_float("bits_per_latent", 0.5, 3.0)
    start = {"latent": latent, "bits_per_latent": bits, "linear_path": True}
    return {**start, **_bottleneck(trial), **_shape(trial), **_fitting(trial, 5e-4, 1e-2)}


def channel_autoencoder(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """The same for convolutional networks, whose rows are shorter and fewer."""
    latent = trial.suggest_int("latent", 8, 48, step=8)
    bits = trial.suggest_float("bits_per_latent", 1.0, 5.0)
    start = {"latent": latent, "bits_per_latent": bits, "linear_path": True}
    return {**start, **_bottleneck(trial), **_shape(trial), **_fitting(trial, 5e-4, 1e-2)}


def network_autoencoder(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """One latent for all weights of a network."""
    latent = trial.suggest_int("latent", 32, 256, step=32)
    bits = trial.suggest_float("bits_per_latent", 1.0, 5.0)
    start = {"latent": latent, "bits_per_latent": bits, "linear_path": True}
    return {**start, **_bottleneck(trial), **_shape(trial), **_fitting(trial, 1e-4, 2e-3)}


def transformer_autoencoder(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """One latent for all weights of a network, by attention among its neurons."""
    width = trial.suggest_categorical("width", [32, 64, 128])
    return {
        "latent": trial.suggest_int("latent", 32, 256, step=32),
        "bits_per_latent": trial.suggest_float("bits_per_latent", 1.0, 5.0),
        "width": width,
        "feedforward": 2 * width,
        "blocks": trial.suggest_int("blocks", 1, 3),
        **_bottleneck(trial),
        **_fitting(trial, 1e-4, 3e-3),
    }


def _bottleneck(trial: BaseTrial) -> dict[str, Any]:
    # The identity's 16 bits a latent are never on the front.
    return {"bottleneck": trial.suggest_categorical("bottleneck", ["quantized", "gaussian"])}


def _shape(trial: BaseTrial) -> dict[str, Any]:
    return {
        "encoder_depth": trial.suggest_int("encoder_depth", 0, 2),
        "encoder_width": trial.suggest_categorical("encoder_width", [32, 64, 128]),
        "decoder_depth": trial.suggest_int("decoder_depth", 0, 2),
        "decoder_width": trial.suggest_categorical("decoder_width", [32, 64, 128]),
    }


def _fitting(trial: BaseTrial, slowest: float, fastest: float) -> dict[str, Any]:
    # The behavioral loss has weight 1: only ratios matter to Adam.
    return {
        "weight_loss": trial.suggest_float("weight_loss", 0.03, 1.0, log=True),
        "rate_loss": trial.suggest_float("rate_loss", 0.03, 2.0, log=True),
        "learning_rate": trial.suggest_float("learning_rate", slowest, fastest, log=True),
    }
