"""Distances of task embeddings and what they are compared with."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from scipy.stats import spearmanr
from torch import nn

from analysis.statistics.intervals import Bootstrap
from analysis.tasks.distances import asymmetric_distance, symmetric_distance
from analysis.tasks.relations import choice_of_source, with_difficulty, with_taxonomy
from analysis.tasks.transfer import held_out_errors, transfer_errors
from trainables.tasks.config import ProbeConfig, Task2VecConfig
from trainables.tasks.embedding import embed_tasks
from trainables.tasks.probe import ProbeNetwork
from trainables.tasks.probe_training import train_probe
from zoo.data import load_dataset


@pytest.fixture
def values():
    return np.exp(np.random.default_rng(0).normal(size=(7, 40)))


def test_symmetric_distance_is_the_definition(values):
    found = symmetric_distance(values, values[:3])
    for a, first in enumerate(values):
        for b, second in enumerate(values[:3]):
            total = first + second
            assert found[a, b] == pytest.approx(cosine(first / total, second / total), abs=1e-12)


def test_symmetric_distance_is_a_dissimilarity(values):
    distances = symmetric_distance(values)
    assert np.allclose(np.diag(distances), 0)
    assert (distances[~np.eye(7, dtype=bool)] > 0.01).all()
    assert (distances <= 1).all()
    assert np.allclose(distances, distances.T)
    # Units of a filter do not count, nor does how hard a task is.
    units = np.exp(np.random.default_rng(1).normal(size=40))
    assert np.allclose(symmetric_distance(values * units), distances)
    assert symmetric_distance(values[:1], 9 * values[:1]).item() == pytest.approx(0, abs=1e-12)


def test_tasks_that_share_no_filter_are_as_far_as_can_be():
    apart = np.array([[1.0, 1e-12], [1e-12, 1.0]])
    assert symmetric_distance(apart)[0, 1] == pytest.approx(1)


def test_a_complex_source_is_nearer_than_a_trivial_one(values):
    prior_E = np.full(40, 0.01)
    complex_source, target = values[0] + prior_E, values[1] + prior_E
    sources = np.stack([complex_source, prior_E])
    found = asymmetric_distance(sources, target[None], prior_E)
    plain = symmetric_distance(sources, target[None])
    assert found[1] == pytest.approx(plain[1])  # the trivial source gets nothing off
    assert found[0] < plain[0]
    assert asymmetric_distance(sources, target[None], prior_E, 0.0) == pytest.approx(plain)
    both = asymmetric_distance(sources, sources, prior_E)
    assert both[0, 1] < both[1, 0]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_embeddings_without_a_distance_are_refused(values, bad):
    values[2, 3] = bad
    with pytest.raises(ValueError, match="not positive and finite"):
        symmetric_distance(values)
    with pytest.raises(ValueError, match=r"expected \[tasks, width\] of one width"):
        symmetric_distance(values, values[:, :4])


def grouped(between: float, seed: int = 0):
    """Distances of 20 tasks in 5 groups, ``between`` larger between groups, and the groups."""
    generator = np.random.default_rng(seed)
    groups = [f"group {number % 5}" for number in range(20)]
    differ = np.array([[one != other for other in groups] for one in groups])
    noise = generator.uniform(size=(20, 20))
    distances = noise + noise.T + between * differ
    np.fill_diagonal(distances, 0)
    return distances, groups, differ


def test_a_taxonomy_that_distances_follow_is_found():
    distances, groups, differ = grouped(3.0)
    found = with_taxonomy(distances, groups)
    assert found["taxonomy_order"].estimate == 1
    assert found["nearest_in_group"].estimate == 1
    pairs = np.triu_indices(20, 1)
    expected = spearmanr(distances[pairs], differ[pairs]).statistic
    assert found["taxonomy_correlation"].estimate == pytest.approx(expected)
    low = found["taxonomy_correlation"].low
    assert low is not None
    assert low > 0.3


def test_a_taxonomy_that_distances_know_nothing_of_is_not_found():
    found = with_taxonomy(*grouped(0.0)[:2])
    for name, chance in (("taxonomy_correlation", 0.0), ("taxonomy_order", 0.5)):
        assert found[name].low < chance < found[name].high
    assert found["nearest_in_group"].estimate < 0.5


def test_groups_that_say_nothing_are_refused():
    distances, groups, _ = grouped(1.0)
    with pytest.raises(ValueError, match="needs two tasks of one group, and tasks of two groups"):
        with_taxonomy(distances, ["one"] * 20)
    with pytest.raises(ValueError, match="needs two tasks of one group"):
        with_taxonomy(distances, [str(number) for number in range(20)])
    with pytest.raises(ValueError, match="expected one row and column for each group"):
        with_taxonomy(distances, groups[:3])


def test_difficulty_is_a_rank_correlation():
    norms = np.arange(30.0)
    found = with_difficulty(norms, np.exp(norms))
    assert (found.estimate, found.high) == (pytest.approx(1), pytest.approx(1))
    assert with_difficulty(norms, -norms).estimate == pytest.approx(-1)
    assert with_difficulty(norms, np.ones(30)).estimate == 0


def test_the_choice_of_a_source_lies_between_random_and_oracle():
    errors_ST = np.random.default_rng(0).uniform(size=(6, 30))
    found = choice_of_source(errors_ST, {"right": errors_ST, "wrong": -errors_ST}, Bootstrap(replicates=200))
    assert found["right"] == found["oracle"]
    assert found["wrong"].estimate == pytest.approx(errors_ST.max(0).mean())
    assert found["random"].estimate == pytest.approx(errors_ST.mean())
    assert found["gain of right"].low > 0
    assert found["gain of wrong"].high < 0
    assert found["oracle"].estimate < found["best on average"].estimate


def test_the_source_that_is_best_on_average_is_chosen_without_the_target():
    # Each source is good for one target alone, which must not choose it.
    found = choice_of_source(1 - np.eye(3), {})
    assert found["best on average"].estimate == 1
    assert found["oracle"].estimate == 0


def linear_source(weight: torch.Tensor) -> ProbeNetwork:
    layer = nn.Linear(64, 64, bias=False)
    layer.weight = nn.Parameter(weight)
    return ProbeNetwork("linear", nn.Sequential(nn.Flatten(), layer), (1, 8, 8))


def test_sources_serve_targets_by_their_features():
    digits = load_dataset("digits")
    sources = [linear_source(torch.eye(64)), linear_source(torch.zeros(64, 64))]
    targets = [(digits, "0-1-2"), (digits, "3-8")]
    errors_ST = transfer_errors(sources, targets, labels=5, draws=(0, 1))
    assert (errors_ST[0] < 0.2).all()
    assert errors_ST[1] == pytest.approx([2 / 3, 1 / 2])  # who sees nothing says one class
    more = transfer_errors(sources, targets, labels=40)
    assert more[0].mean() < errors_ST[0].mean()
    alone = [transfer_errors(sources, targets, labels=5, draws=(seed,)) for seed in (0, 1)]
    assert np.mean(alone, axis=0) == pytest.approx(errors_ST)


def test_errors_are_of_the_heads_on_test_images():
    digits = load_dataset("digits")
    probe = train_probe(digits, ProbeConfig(channels=(4,), epochs=1)).network
    found = embed_tasks(probe, [(digits, "0-1"), (digits, "3-rest")], Task2VecConfig(examples=20))
    errors_T = held_out_errors(probe, [digits], found)
    labels = (digits.test.targets != 3).long().numpy()
    wrong = found.heads[1].outputs(probe.features(digits.test)).argmax(1) != labels
    assert errors_T[1] == pytest.approx((wrong[labels == 0].mean() + wrong[labels == 1].mean()) / 2)
    with pytest.raises(ValueError, match="data sets digits of the tasks are not given"):
        held_out_errors(probe, [], found)
    other = train_probe(digits, ProbeConfig(channels=(4,), epochs=1, seed=1)).network
    with pytest.raises(ValueError, match="the tasks are embedded in"):
        held_out_errors(other, [digits], found)
