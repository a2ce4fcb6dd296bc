"""Intervals against closed forms, a slow loop, and their own promise of coverage."""

import numpy as np
import pytest
from scipy.stats import t

from analysis.statistics.intervals import Bootstrap, Interval

NORMAL_95 = 1.959964


def width(interval):
    return interval.high - interval.low


def test_members_alone_give_the_standard_error_of_their_mean():
    member_M = np.random.default_rng(0).normal(size=400)
    interval = Bootstrap(replicates=4000).interval(np.repeat(member_M[:, None], 20, axis=1))
    assert interval.estimate == pytest.approx(member_M.mean(), abs=1e-6)
    assert width(interval) == pytest.approx(2 * NORMAL_95 * member_M.std() / 20, rel=0.05)


def test_images_alone_give_the_standard_error_of_their_mean():
    image_N = np.random.default_rng(1).normal(size=400)
    interval = Bootstrap(replicates=4000).interval(np.repeat(image_N[None], 20, axis=0))
    assert width(interval) == pytest.approx(2 * NORMAL_95 * image_N.std() / 20, rel=0.05)


@pytest.mark.parametrize("absolute", [False, True])
def test_equals_a_loop_that_resamples_rows_and_columns(absolute):
    generator = np.random.default_rng(2)
    values_SMN = generator.normal(size=(3, 12, 15)) + generator.normal(size=(3, 1, 1)) + generator.normal(size=(12, 1))
    slow, of_images, judged = [], [], np.abs if absolute else np.asarray
    for _ in range(4000):
        fits, rows, columns = (generator.integers(count, size=count) for count in (3, 12, 15))
        means_SM = values_SMN[np.ix_(fits, rows, columns)].mean(2)  # all fits code the same members
        slow.append((np.abs(means_SM) if absolute else means_SM).mean())
        of_images.append(judged(values_SMN[:, :, columns].mean(2)).mean())
    fast = Bootstrap(replicates=4000).interval(values_SMN, absolute=absolute)
    means_SM = judged(values_SMN.mean(2))
    estimate = means_SM.mean()
    parts = [means_SM.mean(1).var() / 3, means_SM.mean(0).var() / 12, np.var(of_images)]
    unbiased = [part * n / (n - 1) for part, n in zip(parts, (3, 12, 15), strict=True)]
    freedom = sum(unbiased) / sum(part / (n - 1) for part, n in zip(unbiased, (3, 12, 15), strict=True))
    wide = t.ppf(0.975, freedom) * np.sqrt(sum(unbiased))
    ends = np.quantile(slow, (0.025, 0.975)) - np.mean(slow)
    low, high = ends * wide / (NORMAL_95 * np.sqrt(sum(parts)))
    low, high = min(low, -wide) + estimate, max(high, wide) + estimate
    assert fast.estimate == pytest.approx(estimate, abs=1e-5)
    assert fast.low == pytest.approx(max(low, 0) if absolute else low, abs=0.05 * (high - low))
    assert fast.high == pytest.approx(high, abs=0.05 * (high - low))


def covered(fits, groups, *, seeds, members, images, trials=400):
    """How often the interval holds the true mean 0; ``seeds``, ``members`` and ``images`` are standard deviations.

    Groups have four members each, that share most of what they have.
    """
    generator, hits = np.random.default_rng(3), 0
    groups_M = np.arange(4 * groups) // 4
    for trial in range(trials):
        values_SMN = (
            seeds * generator.normal(size=(fits, 1, 1))
            + members * generator.normal(size=groups)[groups_M][:, None]
            + 0.3 * members * generator.normal(size=(len(groups_M), 1))
            + images * generator.normal(size=60)
            + generator.normal(size=(fits, len(groups_M), 60))
        )
        found = Bootstrap(replicates=300, seed=trial).interval(values_SMN, groups_M=groups_M)
        hits += found.low <= 0 <= found.high
    return hits / trials


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fits", "groups", "parts"),
    [
        (1, 40, {"seeds": 0, "members": 1, "images": 1}),
        (3, 30, {"seeds": 0, "members": 1, "images": 1}),
        (3, 30, {"seeds": 0.1, "members": 1, "images": 0}),
        (3, 30, {"seeds": 1, "members": 1, "images": 1}),
        (2, 15, {"seeds": 0.3, "members": 1, "images": 0.3}),
        (5, 6, {"seeds": 1, "members": 1, "images": 1}),
        (1, 5, {"seeds": 0, "members": 1, "images": 0}),
        (3, 2, {"seeds": 0, "members": 1, "images": 0}),
        (1, 3, {"seeds": 0, "members": 1, "images": 1}),
    ],
)
def test_covers_the_truth_as_often_as_promised(fits, groups, parts):
    assert 0.93 <= covered(fits, groups, **parts) <= 0.99


def test_one_group_tells_nothing_of_others():
    values_MN = np.random.default_rng(9).normal(size=(16, 10))
    found = Bootstrap().interval(values_MN, groups_M=np.zeros(16))
    assert found == Interval(pytest.approx(values_MN.mean(), abs=1e-6), None, None)
    statistics = Bootstrap().of_statistics(lambda fit, rows: {"size": len(rows)}, 16, groups_M=np.zeros(16))
    assert statistics["size"] == Interval(16, None, None)


def test_few_groups_widen_as_student_does():
    group_G = np.random.default_rng(10).normal(size=4)
    values_MN, groups_M = np.repeat(group_G, 8)[:, None] + np.zeros((32, 5)), np.repeat(np.arange(4), 8)
    found = Bootstrap(replicates=4000).interval(values_MN, groups_M=groups_M)
    assert width(found) == pytest.approx(2 * t.ppf(0.975, 3) * group_G.std(ddof=1) / 2, rel=0.1)


def test_members_of_one_group_are_resampled_together():
    values_MN = np.random.default_rng(4).normal(size=(50, 1)) + np.zeros((50, 10))
    fourfold, groups_M = np.repeat(values_MN, 4, axis=0), np.repeat(np.arange(50) * 7, 4)
    bootstrap = Bootstrap(replicates=4000)
    once = width(bootstrap.interval(values_MN))
    assert width(bootstrap.interval(fourfold, groups_M=groups_M)) == pytest.approx(once, rel=0.05)
    apart = 2 * t.ppf(0.975, 199) * fourfold[:, 0].std(ddof=1) / np.sqrt(200)
    assert width(bootstrap.interval(fourfold)) == pytest.approx(apart, rel=0.05)


def test_seeds_widen_the_interval():
    values_MN = np.random.default_rng(5).normal(size=(30, 30)) * 0.01
    apart = np.stack([values_MN + shift for shift in (-1.0, 0.0, 1.0)])
    interval = Bootstrap(replicates=4000).interval(apart)
    # Student's t with two degrees of freedom; the standard deviation of -1, 0 and 1 is 1.
    assert interval.low == pytest.approx(-t.ppf(0.975, 2) / np.sqrt(3), rel=0.1)
    assert interval.high == pytest.approx(t.ppf(0.975, 2) / np.sqrt(3), rel=0.1)
    assert width(Bootstrap().interval(np.stack([values_MN] * 3))) < 0.02


def test_an_absolute_value_keeps_its_estimate_inside():
    values_MN = np.random.default_rng(6).choice([-1, 0, 1], size=(50, 100), p=[0.05, 0.9, 0.05])
    interval = Bootstrap().interval(values_MN, absolute=True)
    assert interval.estimate == pytest.approx(np.abs(values_MN.mean(1)).mean(), abs=1e-6)
    assert 0 <= interval.low < interval.estimate < interval.high


def test_same_seed_same_interval_other_seed_another():
    values_MN = np.random.default_rng(7).random((20, 20))
    assert Bootstrap(seed=1).interval(values_MN) == Bootstrap(seed=1).interval(values_MN)
    assert Bootstrap(seed=1).interval(values_MN) != Bootstrap(seed=2).interval(values_MN)


@pytest.mark.parametrize("absolute", [False, True])
def test_images_that_are_no_part_of_a_members_task_do_not_count(absolute):
    generator = np.random.default_rng(8)
    values_MN = generator.normal(size=(30, 40)) + generator.normal(size=(30, 1))
    part_MN = np.arange(40) % 2 == np.arange(30)[:, None] % 2
    found = Bootstrap(replicates=2000).interval(np.where(part_MN, values_MN, 1e6), absolute=absolute, part_MN=part_MN)
    means_M = np.where(part_MN, values_MN, 0).sum(1) / 20
    assert found.estimate == pytest.approx((np.abs(means_M) if absolute else means_M).mean(), abs=1e-5)
    # All of one half of the images beside members of the other: as if there were so many images and no more.
    halves = np.where(
        part_MN[::2, ::2].any(), values_MN[:, ::2] * part_MN[:, ::2] + values_MN[:, 1::2] * part_MN[:, 1::2], 0
    )
    alone = Bootstrap(replicates=2000).interval(halves, absolute=absolute)
    assert width(found) == pytest.approx(width(alone), rel=0.15)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="replicates is 1"):
        Bootstrap(replicates=1)
    with pytest.raises(ValueError, match=r"level is 1\.5"):
        Bootstrap(level=1.5)
    with pytest.raises(ValueError, match="shape"):
        Bootstrap().interval(np.zeros((0, 4)))
    with pytest.raises(ValueError, match="one image or more for each member"):
        Bootstrap().interval(np.zeros((2, 3)), part_MN=np.array([[True, True, True], [False, False, False]]))
    with pytest.raises(ValueError, match="not finite"):
        Bootstrap().interval(np.array([[0.0, np.nan]]))
