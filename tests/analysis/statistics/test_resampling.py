"""Scores of resamples, all at once, against the same scores of each resample's own rows."""

import numpy as np
import pytest

from analysis.statistics import resampling
from analysis.statistics.resampling import ResampledScores, some_of_each
from trainables.readouts.scores import scores


def drawn(kind, members=60, groups=18):
    generator = np.random.default_rng(0)
    group_M = np.concatenate([np.arange(groups), generator.integers(groups, size=members - groups)])
    true_M = np.round(generator.normal(size=members), 1)  # with ties
    seen_M = np.round(true_M + generator.normal(size=members), 1)
    strata_M = np.array([f"stratum {number}" for number in generator.integers(6, size=members)])
    if kind == "categories":
        true_M, seen_M = (np.array(["a", "b", "c"])[np.digitize(values, [-0.5, 0.5])] for values in (true_M, seen_M))
    return true_M, seen_M, group_M, strata_M


@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_scores_of_resamples_are_those_of_their_rows(kind):
    true_M, seen_M, group_M, strata_M = drawn(kind)
    strata_M = strata_M if kind == "numbers" else None
    counts_BG = np.random.default_rng(1).multinomial(18, np.full(18, 1 / 18), size=12)
    found = ResampledScores(true_M, seen_M, group_M, strata_M).resampled(counts_BG)
    for number, counts_G in enumerate(counts_BG):
        rows = np.repeat(np.arange(len(true_M)), counts_G[group_M])
        expected = scores(true_M[rows], seen_M[rows], None if strata_M is None else strata_M[rows])
        assert {name: values_B[number] for name, values_B in found.items()} == pytest.approx(expected, abs=1e-5)


def test_where_snapshots_are_many_some_of_each_group_stand_for_all(monkeypatch):
    true_M, seen_M, group_M, _ = drawn("numbers", members=3000, groups=30)
    # Snapshots of a member are alike.
    effects_SG = np.random.default_rng(4).normal(size=(2, 30))
    true_M, seen_M = true_M + 3 * effects_SG[0][group_M], seen_M + 3 * effects_SG.mean(0)[group_M]
    counts_BG = np.random.default_rng(2).multinomial(30, np.full(30, 1 / 30), size=200)
    exact = ResampledScores(true_M, seen_M, group_M)
    monkeypatch.setattr(resampling, "PAIRED", 900)
    some = ResampledScores(true_M, seen_M, group_M)
    ones = np.ones((1, 30))
    assert some.resampled(ones)["kendall_tau"][0] == pytest.approx(some.whole["kendall_tau"], abs=1e-6)
    spreads = [each.resampled(counts_BG)["kendall_tau"].std() for each in (exact, some)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.3)
    assert np.array_equal(some.resampled(counts_BG)["r2"], exact.resampled(counts_BG)["r2"])


def test_of_each_group_there_is_one_and_of_none_more_than_its_share():
    group_M = np.repeat([0, 1, 2, 3], [1, 50, 200, 3])
    rows = some_of_each(group_M, 40)
    assert np.bincount(group_M[rows]).tolist() == [1, 10, 10, 3]
    assert np.array_equal(some_of_each(group_M, 254), np.arange(254))
