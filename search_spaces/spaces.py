"""The registry of search spaces: functions that suggest values for fields of a trainable's configuration.

A space asks the trial for values under the names of the fields and returns those that it suggests; fields that it
leaves out keep their defaults, and a study's settings win over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.aggregators import learned_gradient
from search_spaces.autoencoders import (
    channel_autoencoder,
    network_autoencoder,
    neuron_autoencoder,
    transformer_autoencoder,
)
from search_spaces.codecs import function_metric
from search_spaces.encoders import (
    hyper_representation,
    neural_graph,
    probing,
    sane,
    sne,
    weight_statistics,
    weights,
    weights_and_behavior,
)
from search_spaces.making import component_density, dataset_hypernetwork, flow, latent_density, supernet
from search_spaces.predictors import statistics_boosting, statistics_ridge
from zoo.config import lookup

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Space = Callable[["BaseTrial", Mapping[str, Any]], dict[str, Any]]
"""``space(trial, settings) -> suggested``; ``settings`` are the fields that the study fixes."""

SPACES: dict[str, Space] = {
    "neuron-autoencoder": neuron_autoencoder,
    "channel-autoencoder": channel_autoencoder,
    "network-autoencoder": network_autoencoder,
    "transformer-autoencoder": transformer_autoencoder,
    "function-metric": function_metric,
    "statistics-ridge": statistics_ridge,
    "statistics-boosting": statistics_boosting,
    "weights": weights,
    "weights-and-behavior": weights_and_behavior,
    "weight-statistics": weight_statistics,
    "hyper-representation": hyper_representation,
    "probing": probing,
    "neural-graph": neural_graph,
    "sane": sane,
    "sne": sne,
    "supernet": supernet,
    "dataset-hypernetwork": dataset_hypernetwork,
    "component-density": component_density,
    "latent-density": latent_density,
    "flow": flow,
    "learned-gradient": learned_gradient,
}


def find_space(name: str) -> Space:
    """A space by its name in ``SPACES``, or the user's own by ``module:attribute``.

    Raises:
        ValueError: There is no such space.
    """
    space: Space = lookup(SPACES, name, "search space")
    return space


class Prefixed:
    """A trial that puts the name of a trainable before every parameter: parameters that exist for it alone.

    Args:
        trial: The trial.
        prefix: The name of the trainable.
    """

    def __init__(self, trial: BaseTrial, prefix: str) -> None:
        self._trial, self._prefix = trial, prefix

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._trial, name)
        if not name.startswith("suggest_"):
            return attribute

        def suggest(parameter: str, *arguments: Any, **options: Any) -> Any:
            return attribute(f"{self._prefix}.{parameter}", *arguments, **options)

        return suggest
