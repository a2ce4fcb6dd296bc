"""The dropout hash: its rate, its scale, and that nothing about one draw tells another."""

import numpy as np
import pytest
from reference_dropout import dropout_factors

from zoo.population import Member
from zoo.training.dropout import drop_thresholds, dropout_keys, require_counters

UNITS, BATCH = 64, 128


def kept(seed: int = 0, epoch: int = 1, step: int = 0, rate: float = 0.5) -> np.ndarray:
    return dropout_factors([Member(id=0, seed=seed, dropout=rate)], epoch, step, UNITS, BATCH)[0] > 0


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_factors_are_zero_at_the_rate_and_keep_the_mean(rate):
    members = [Member(id=i, seed=i, dropout=rate) for i in range(20)]
    factors = dropout_factors(members, 3, 7, UNITS, BATCH)
    assert factors.shape == (20, UNITS, BATCH)
    assert factors.dtype == np.float32
    assert set(np.unique(factors).tolist()) == {0.0, float(np.float32(1 / (1 - rate)))}
    spread = np.sqrt(rate * (1 - rate) / factors.size)
    assert abs((factors == 0).mean() - rate) < 4 * spread
    # Each member, unit and example has the rate too, not only all together.
    for axes, size in (((1, 2), UNITS * BATCH), ((0, 2), 20 * BATCH), ((0, 1), 20 * UNITS)):
        rates = (factors == 0).mean(axis=axes)
        assert abs(rates - rate).max() < 4.5 * np.sqrt(rate * (1 - rate) / size)


def test_members_without_dropout_are_left_alone():
    factors = dropout_factors([Member(id=0, seed=0), Member(id=1, seed=1, dropout=0.5)], 1, 0, UNITS, BATCH)
    assert (factors[0] == 1).all()
    assert (factors[1] != 1).all()


def test_a_draw_depends_on_the_member_alone_not_on_its_company():
    members = [Member(id=i, seed=1000 + i, dropout=0.2 + 0.1 * i) for i in range(5)]
    together = dropout_factors(members, 2, 5, UNITS, BATCH)
    for row, member in enumerate(members):
        assert np.array_equal(together[row], dropout_factors([member], 2, 5, UNITS, BATCH)[0])


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"seed": 1 << 32}, {"seed": 2**63 - 1}, {"epoch": 2}, {"step": 1}, {"seed": 1, "epoch": 0}],
    ids=str,
)
def test_another_seed_epoch_or_step_is_another_mask(other):
    bound = 4.5 / np.sqrt(UNITS * BATCH)
    first, second = kept(), kept(**other)
    assert abs(correlation(first, second)) < bound
    # Nor is it the same mask from another place, which one bijection with shifted counters would give.
    flat, moved = first.ravel().astype(float) - 0.5, second.ravel().astype(float) - 0.5
    everywhere = np.fft.irfft(np.fft.rfft(flat) * np.conj(np.fft.rfft(moved))) * 4 / flat.size
    assert abs(everywhere).max() < 6 / np.sqrt(flat.size)


@pytest.mark.parametrize("distance", [1, 2, 3, 16, 63, 64, 128, 129, 1024, 4096])
def test_neighboring_draws_are_independent(distance):
    flat = np.concatenate([kept(seed=seed).ravel() for seed in range(4)])
    assert abs(correlation(flat[:-distance], flat[distance:])) < 4.5 / np.sqrt(flat.size)


def test_pairs_of_neighbors_are_equally_frequent():
    flat = np.concatenate([kept(seed=seed).ravel() for seed in range(16)])
    words = flat[: flat.size // 8 * 8].reshape(-1, 8) @ (1 << np.arange(8))
    counts = np.bincount(words, minlength=256)
    statistic = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
    assert 160 < statistic < 370  # chi-square with 255 degrees of freedom: outside with probability below 1e-5


def test_every_bit_of_the_key_words_moves_with_every_coordinate():
    base = dropout_keys([0], 1, np.array([0]))[0, 0]
    changes = [([1 << bit], 1, 0) for bit in range(63)]
    changes += [([0], 1 ^ (1 << bit), 0) for bit in range(1, 16)] + [([0], 1, 1 << bit) for bit in range(16)]
    flips = np.array(
        [
            np.unpackbits((dropout_keys(seeds, epoch, np.array([step]))[0, 0] ^ base).view(np.uint8))
            for seeds, epoch, step in changes
        ]
    )
    assert abs(flips.mean() - 0.5) < 0.03
    assert (flips.mean(axis=0) > 0.25).all()
    assert (flips.mean(axis=1) > 0.2).all()


def test_steps_together_and_alone_have_the_same_keys():
    together = dropout_keys([3, 4], 5, np.arange(10))
    assert together.shape == (10, 2, 2)
    assert np.array_equal(together[7], dropout_keys([3, 4], 5, np.array([7]))[0])
    assert len({tuple(key) for key in together.reshape(-1, 2).tolist()}) == 20


def test_thresholds_round_the_probability_to_the_nearest_word():
    assert drop_thresholds([0.0, 0.5, 0.25, 1 - 2**-40]).tolist() == [0, 2**31, 2**30, 2**32 - 1]


def test_the_masks_are_fixed_for_ever():
    """A zoo's masks are part of its identity; this changes only together with the recipes' digests."""
    factors = dropout_factors([Member(id=0, seed=42, dropout=0.5)], 3, 2, 4, 8)[0]
    assert [int("".join("01"[int(f > 0)] for f in row), 2) for row in factors] == [151, 93, 41, 248]


def test_more_draws_than_counters_are_refused():
    require_counters(1 << 20, 1 << 12)
    with pytest.raises(ValueError, match=r"allowed: up to 2\*\*32"):
        require_counters((1 << 20) + 1, 1 << 12)
