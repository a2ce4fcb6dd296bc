"""Statistics of weights: a few numbers for each weight and bias tensor, whatever its size.

Unterthiner et al., "Predicting Neural Network Accuracy from Weights" (2020): mean, variance and quantiles of each
layer are most of what is needed. Networks of several layouts are aligned by depth: layers are numbered from the
input, and the last one is always "last", so that the first and the last layers of all networks stand in the same
columns. What a network does not have is NaN there.

Shape letters: M members, P parameters, F features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.architecture import Architecture, TensorSpec
from zoo.population import Population

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
MOMENTS = ("mean", "variance")
NAMES = {
    "moments": MOMENTS,
    "quantiles": tuple(f"q{100 * share:g}" for share in QUANTILES),
}
NAMES["all"] = (*NAMES["moments"], *NAMES["quantiles"])


def tensor_places(architecture: Architecture) -> dict[str, TensorSpec]:
    """The tensors of an architecture by depth and kind: "0.weight", "0.bias" … "last.bias"."""
    layers = list(dict.fromkeys(spec.name.rpartition(".")[0] for spec in architecture.layout))
    depth = {layer: str(number) for number, layer in enumerate(layers[:-1])} | {layers[-1]: "last"}
    places = {}
    for spec in architecture.layout:
        layer, _, kind = spec.name.rpartition(".")
        places[f"{depth[layer]}.{kind}"] = spec
    return places


def places_of(populations: Sequence[Population]) -> tuple[str, ...]:
    """The places that occur among populations, those of the deepest networks in order and the last layer's last."""
    found = dict.fromkeys(place for population in populations for place in tensor_places(population.architecture))
    of_last = [place for place in found if place.startswith("last.")]
    others = sorted((place for place in found if place not in of_last), key=lambda place: int(place.partition(".")[0]))
    return (*others, *of_last)


def weight_statistics(population: Population, places: Sequence[str], which: str = "all") -> np.ndarray:
    """Statistics of each member's tensors: float64 ``[M, F]``, NaN for places that its networks do not have.

    Args:
        population: The members.
        places: Names of tensors, as :func:`places_of` gives them; each has so many columns.
        which: "moments", "quantiles" or "all".
    """
    specs = tensor_places(population.architecture)
    weights_MP = population.weights_MP.numpy().astype(np.float64)
    width = len(NAMES[which])
    features_MF = np.full((len(population), len(places) * width), np.nan)
    for number, place in enumerate(places):
        if place in specs:
            features_MF[:, number * width : (number + 1) * width] = _statistics(weights_MP[:, specs[place].span], which)
    return features_MF


def _statistics(values_MP: np.ndarray, which: str) -> np.ndarray:
    parts = []
    if which != "quantiles":
        parts += [values_MP.mean(1), values_MP.var(1)]
    if which != "moments":
        parts += list(np.quantile(values_MP, QUANTILES, axis=1))
    return np.stack(parts, axis=1)
