"""Distances of weights: known answers, and that Fisher information tells divergence better than length."""

import pytest
import torch
from scipy.stats import kendalltau

from analysis.evaluators.distances import run
from analysis.evaluators.divergence import run as divergence
from analysis.evaluators.evaluator import EvaluationData, Subject
from trainables.encoders.augmentation import permuted


@pytest.fixture(scope="module")
def original(small_zoo):
    return Subject(next(iter(small_zoo.populations("train", epochs="last"))).select(range(24)))


@pytest.fixture(scope="module")
def data(small_zoo):
    dataset = small_zoo.dataset()
    return EvaluationData(dataset, dataset.test)


def test_of_a_network_from_itself_all_distances_are_zero(original, data):
    for values_M in run(Subject(original.population), original, data).values():
        torch.testing.assert_close(values_M, torch.zeros(24).double(), atol=1e-6, rtol=0)


def test_matching_takes_away_what_a_permutation_adds(original, data):
    population = original.population
    moved = torch.cat(
        [
            permuted(population.weights_MP[rows], architecture, torch.Generator().manual_seed(0))
            for architecture, rows in population.groups()
        ]
    )
    order = torch.cat([rows for _, rows in population.groups()])
    subject = Subject(population.with_weights(moved[order.argsort()]))
    found = run(subject, original, data)
    assert float(found["l2"].min()) > 1
    assert float(found["aligned_l2"].max()) < 1e-5


def test_fisher_distance_tells_divergence_better_than_length(original, data):
    generator = torch.Generator().manual_seed(1)
    population = original.population
    size_M1 = 0.01 + 0.05 * torch.rand(len(population), 1, generator=generator)
    noise_MP = size_M1 * torch.randn(population.weights_MP.shape, generator=generator)
    noise_MP[:12, :64] *= 20  # pixels of the upper rows, of which the first are always empty
    subject = Subject(population.with_weights(population.weights_MP + noise_MP))
    found, kl_M = run(subject, original, data), divergence(subject, original, data)["kl"].mean(1)
    taus = {name: kendalltau(values_M, kl_M).statistic for name, values_M in found.items()}
    assert taus["fisher_diagonal"] > taus["l2"]
    assert taus["fisher_kronecker"] > 0.6
    ratio = float((found["fisher_kronecker"] / kl_M).median())
    assert 0.3 < ratio < 3
