"""Search spaces: from an Optuna trial to the complete configuration of that trial.

A space suggests values under the names of the configuration's fields and returns all fields, so that
``optuna.trial.FixedTrial`` can test it and a stored trial can be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trainables.autoencoders.config import AutoencoderConfig
from zoo.config import from_json, lookup, to_json

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Space = Callable[["BaseTrial", Mapping[str, Any]], dict[str, Any]]


def neuron_autoencoder(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Autoencoders of neurons that start at the principal components of the function metric: the strong ones.

    Args:
        trial: Asked for values.
        settings: Fields that are fixed.

    Returns:
        A value for every field of ``AutoencoderConfig``.
    """
    latent = trial.suggest_int("latent", 16, 64, step=8)
    bits = trial.suggest_float("bits_per_latent", 0.5, 3.0)
    suggested = {"family": "neuron", "latent": latent, "bits_per_latent": bits, "linear_path": True}
    return complete({**suggested, **_bottleneck(trial), **_shape(trial), **_fitting(trial, 5e-4, 1e-2)}, settings)


def network_autoencoder(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Autoencoders with one latent for all weights of a network; arguments as for :func:`neuron_autoencoder`."""
    latent = trial.suggest_int("latent", 32, 256, step=32)
    bits = trial.suggest_float("bits_per_latent", 1.0, 5.0)
    suggested = {"family": "mlp", "latent": latent, "bits_per_latent": bits, "linear_path": True}
    return complete({**suggested, **_bottleneck(trial), **_shape(trial), **_fitting(trial, 1e-4, 2e-3)}, settings)


def any_autoencoder(trial: BaseTrial, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that can be chosen, for long studies; arguments as for :func:`neuron_autoencoder`."""
    suggested = {
        "family": trial.suggest_categorical("family", ["neuron", "mlp"]),
        "view": trial.suggest_categorical("view", ["input_metric", "standardized", "flat"]),
        "canonical": trial.suggest_categorical("canonical", ["aligned", "sorted", "given"]),
        "gain": trial.suggest_categorical("gain", [True, False]),
        "linear_path": trial.suggest_categorical("linear_path", [True, False]),
        "bottleneck": trial.suggest_categorical("bottleneck", ["quantized", "gaussian", "identity"]),
        "latent": trial.suggest_int("latent", 8, 256, log=True),
        "bits_per_latent": trial.suggest_float("bits_per_latent", 0.5, 6.0),
        "behavior_loss": trial.suggest_float("behavior_loss", 0.1, 10.0, log=True),
        "logit_spread": trial.suggest_float("logit_spread", 1.0, 8.0, log=True),
    }
    return complete({**suggested, **_shape(trial), **_fitting(trial, 1e-4, 1e-2)}, settings)


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
    # The behavioral loss has weight 1 unless a space says otherwise: only ratios matter to Adam.
    return {
        "weight_loss": trial.suggest_float("weight_loss", 0.03, 1.0, log=True),
        "rate_loss": trial.suggest_float("rate_loss", 0.03, 2.0, log=True),
        "learning_rate": trial.suggest_float("learning_rate", slowest, fastest, log=True),
    }


def complete(suggested: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of the configuration: the settings, then what was suggested, then defaults.

    Raises:
        ValueError: A setting is not a field, or a value is not allowed.
    """
    configuration: dict[str, Any] = to_json(from_json(AutoencoderConfig, {**suggested, **settings}))
    return configuration


SPACES: dict[str, Space] = {
    "neuron-autoencoder": neuron_autoencoder,
    "network-autoencoder": network_autoencoder,
    "any-autoencoder": any_autoencoder,
}


def find_space(name: str) -> Space:
    """A space by its name in ``SPACES``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such space.
    """
    space: Space = lookup(SPACES, name, "search space")
    return space
