"""Statistics of weights by hand."""

import numpy as np
import torch

from trainables.encoders.statistics import NAMES, places_of, weight_statistics
from zoo.architecture import mlp
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture


def population_of(architecture, members, seed):
    specs = [Member(id=i, seed=seed + i) for i in range(members)]
    return single_architecture(architecture, initial_weights(architecture, specs), specs)


def test_statistics_are_those_of_each_tensor():
    population = population_of(mlp((1, 8, 8), (6,), 10), 3, 0)
    places = places_of([population])
    assert places == ("0.weight", "0.bias", "last.weight", "last.bias")
    features_MF = weight_statistics(population, places)
    bias_MH = population.weights_MP[:, population.architecture.layout[1].span].double()
    width = len(NAMES["all"])
    expected = torch.cat(
        [
            bias_MH.mean(1, keepdim=True),
            bias_MH.var(1, correction=0, keepdim=True),
            torch.quantile(bias_MH, torch.tensor([0.01, 0.25, 0.5, 0.75, 0.99], dtype=torch.float64), dim=1).T,
        ],
        dim=1,
    )
    np.testing.assert_allclose(features_MF[:, width : 2 * width], expected, rtol=1e-12)
    parts = [weight_statistics(population, places, which) for which in ("moments", "quantiles")]
    assert sum(part.shape[1] for part in parts) == features_MF.shape[1]


def test_statistics_do_not_see_the_order_of_units():
    population = population_of(mlp((1, 8, 8), (6,), 10), 3, 0)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    first, bias, last, _ = (spec.span for spec in population.architecture.layout)
    permuted_MP = population.weights_MP.clone()
    permuted_MP[:, first] = permuted_MP[:, first].reshape(3, 6, 64)[:, order].flatten(1)
    permuted_MP[:, bias] = permuted_MP[:, bias][:, order]
    permuted_MP[:, last] = permuted_MP[:, last].reshape(3, 10, 6)[:, :, order].flatten(1)
    places = places_of([population])
    np.testing.assert_allclose(
        weight_statistics(population.with_weights(permuted_MP), places),
        weight_statistics(population, places),
        rtol=1e-12,
        atol=1e-15,
    )


def test_layers_of_several_layouts_are_aligned_by_depth():
    shallow, deep = (population_of(mlp((1, 8, 8), hidden, 10), 4, 0) for hidden in ((6,), (9, 5)))
    places = places_of([shallow, deep])
    assert places == ("0.weight", "0.bias", "1.weight", "1.bias", "last.weight", "last.bias")
    features_MF = weight_statistics(shallow, places).reshape(4, len(places), -1)
    assert np.isnan(features_MF).all(axis=(0, 2)).tolist() == [False, False, True, True, False, False]
    assert not np.isnan(weight_statistics(deep, places)).any()
