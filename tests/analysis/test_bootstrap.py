"""Intervals against closed forms, a slow loop, and their own promise of coverage."""

import numpy as np
import pytest

from analysis.intervals import Bootstrap

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
    slow = []
    for _ in range(4000):
        columns, fits = generator.integers(15, size=15), generator.integers(3, size=3)
        means = []
        for fit in fits:
            mean_M = values_SMN[fit][generator.integers(12, size=12)][:, columns].mean(1)
            means.append((np.abs(mean_M) if absolute else mean_M).mean())
        slow.append(np.mean(means))
    fast = Bootstrap(replicates=4000).interval(values_SMN, absolute=absolute)
    means_SM = values_SMN.mean(2)
    estimate = (np.abs(means_SM) if absolute else means_SM).mean()
    low, high = np.quantile(slow, (0.025, 0.975)) - np.mean(slow) + estimate
    assert fast.estimate == pytest.approx(estimate, abs=1e-5)
    assert fast.low == pytest.approx(max(low, 0) if absolute else low, abs=0.05 * (high - low))
    assert fast.high == pytest.approx(high, abs=0.05 * (high - low))


def test_covers_the_truth_as_often_as_promised():
    generator, hits, trials = np.random.default_rng(3), 0, 200
    for trial in range(trials):
        values_MN = (
            0.3 + generator.normal(size=(40, 1)) + generator.normal(size=(1, 50)) + generator.normal(size=(40, 50))
        )
        interval = Bootstrap(replicates=300, seed=trial).interval(values_MN)
        hits += interval.low <= 0.3 <= interval.high
    assert 0.90 <= hits / trials <= 0.99


def test_members_of_one_group_are_resampled_together():
    values_MN = np.random.default_rng(4).normal(size=(50, 1)) + np.zeros((50, 10))
    fourfold, groups_M = np.repeat(values_MN, 4, axis=0), np.repeat(np.arange(50) * 7, 4)
    bootstrap = Bootstrap(replicates=4000)
    once = width(bootstrap.interval(values_MN))
    assert width(bootstrap.interval(fourfold, groups_M=groups_M)) == pytest.approx(once, rel=0.05)
    assert width(bootstrap.interval(fourfold)) == pytest.approx(once / 2, rel=0.05)


def test_seeds_widen_the_interval():
    values_MN = np.random.default_rng(5).normal(size=(30, 30)) * 0.01
    apart = np.stack([values_MN + shift for shift in (-1.0, 0.0, 1.0)])
    interval = Bootstrap(replicates=4000).interval(apart)
    # Of 27 equally likely draws of three fits, one has the mean -1 and one +1: both beyond the 2.5 % tails.
    assert interval.low == pytest.approx(-1, abs=0.02)
    assert interval.high == pytest.approx(1, abs=0.02)
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
