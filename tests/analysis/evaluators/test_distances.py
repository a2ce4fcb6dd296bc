"""Distances of weights: known answers, and that those of functions tell divergence better than length."""

import dataclasses

import pytest
import torch
from scipy.stats import kendalltau

from analysis.evaluators import distances, fisher
from analysis.evaluators.divergence import run as divergence
from analysis.evaluators.evaluator import EvaluationData, Subject
from trainables.encoders.augmentation import permuted
from zoo.views.fisher import spectrum

# Networks that are changed so much that their units are told apart no longer.
FEW = 12


@pytest.fixture(scope="module")
def original(small_zoo):
    return Subject(next(iter(small_zoo.populations("train", epochs="last"))).select(range(24)))


@pytest.fixture(scope="module")
def data(small_zoo):
    dataset = small_zoo.dataset()
    return EvaluationData(dataset, dataset.test)


@pytest.fixture(scope="module")
def noisy(original):
    generator = torch.Generator().manual_seed(1)
    population = original.population
    size_M1 = 0.01 + 0.05 * torch.rand(len(population), 1, generator=generator)
    noise_MP = size_M1 * torch.randn(population.weights_MP.shape, generator=generator)
    noise_MP[:FEW, :64] *= 20  # pixels of the upper rows, of which the first are always empty
    return Subject(population.with_weights(population.weights_MP + noise_MP))


def both(subject, original, data):
    return {**distances.run(subject, original, data), **fisher.run(subject, original, data)}


def test_of_a_network_from_itself_all_distances_are_zero(original, data):
    for values_M in both(Subject(original.population), original, data).values():
        torch.testing.assert_close(values_M, torch.zeros(24).double(), atol=1e-6, rtol=0)


def test_units_are_matched_once_for_all_evaluators(original, data, monkeypatch):
    matched, really = [], distances.align
    monkeypatch.setattr(distances, "align", lambda *given: matched.append(1) or really(*given))
    subject = Subject(original.population)
    both(subject, original, data)
    assert len(matched) == 24
    fisher.run(subject, Subject(original.population), data)
    assert len(matched) == 48, "another original is another matter"


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
    found = both(subject, original, data)
    assert float(found.pop("l2").min()) > 1
    assert float(found.pop("cosine_distance").min()) > 0.1
    for values_M in found.values():
        assert float(values_M.max()) < 1e-5


def test_distances_of_functions_tell_divergence_better_than_length(original, noisy, data):
    found, kl_M = both(noisy, original, data), divergence(noisy, original, data)["kl"].mean(1)
    taus = {name: kendalltau(values_M, kl_M).statistic for name, values_M in found.items()}
    for name in ("fisher_diagonal", "fisher_monte_carlo", "fisher_empirical", "function_metric"):
        assert taus[name] > taus["l2"], name
    assert taus["fisher_kronecker"] > 0.6
    ratio = float((found["fisher_kronecker"] / kl_M).median())
    assert 0.3 < ratio < 3


def test_twice_the_change_is_twice_the_length_and_four_times_the_divergence(original, noisy, data):
    before_MP = original.population.weights_MP
    doubled = Subject(original.population.with_weights(2 * noisy.population.weights_MP - before_MP))
    once, twice = (both(subject, original, data) for subject in (noisy, doubled))
    for name, factor in {"l2": 2, "function_metric": 2, "fisher_diagonal": 4, "fisher_kronecker": 4}.items():
        torch.testing.assert_close(twice[name][FEW:], factor * once[name][FEW:], rtol=1e-3, atol=1e-6)


def test_spectra_are_of_the_same_networks_before_and_after(original, noisy, data):
    found = fisher.spectra(noisy, original, data)
    assert found["rows"] == sorted(set(found["rows"]))
    assert len(found["rows"]) == fisher.SPECTRA
    row = found["rows"][3]
    x = data.examples.first(fisher.SPECTRUM_EXAMPLES).inputs
    for name, networks in (("original", original), ("reconstructed", noisy)):
        population = networks.population.select([row])
        architecture = population.architectures[int(population.architecture_M[0])]
        values = spectrum(architecture, population.weights_MP[0], x)[: fisher.EIGENVALUES]
        assert found[name][3] == pytest.approx(values.tolist())
        assert found[name][3] == sorted(found[name][3], reverse=True)


def test_labels_are_not_taken_where_networks_have_labels_of_their_own(original, noisy, data):
    members = [dataclasses.replace(member, task="3-8") for member in original.population.members]
    own = Subject(dataclasses.replace(original.population, members=tuple(members)))
    assert "fisher_empirical" not in fisher.run(noisy, own, data)
