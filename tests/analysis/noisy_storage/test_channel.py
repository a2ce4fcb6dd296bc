"""The analog cell: its moments, its mean over cells, and what it can hold at most."""

import math

import numpy as np
import pytest

from analysis.noisy_storage.channel import CellChannel

LEVELS = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
# The published equation by hand, in microsiemens of 25: at 0.5 it is 0.2635 + 0.9825 - 0.293275.
DEVIATIONS = np.array([0.2635, 0.609576, 0.952725, 1.081789, 1.0554]) / 25


def readings(channel, cells, count=40_000):
    return channel.read(np.tile(LEVELS, (count, 1)), cells, np.random.default_rng(0))


@pytest.mark.parametrize(("noise", "cells"), [(1.0, 1), (3.0, 1), (1.0, 9)])
def test_moments_are_those_of_the_published_cell(noise, cells):
    read = readings(CellChannel(noise=noise), cells)
    expected = noise * DEVIATIONS / math.sqrt(cells)
    assert read.std(0) == pytest.approx(expected, rel=0.02)
    assert np.abs(read.mean(0) - LEVELS).max() < 5 * expected.max() / math.sqrt(len(read))


def test_several_cells_are_the_mean_of_single_ones():
    channel, generator = CellChannel(), np.random.default_rng(1)
    levels = np.tile(LEVELS, (20_000, 1))
    one_by_one = np.mean([channel.read(levels, 1, generator) for _ in range(4)], axis=0)
    assert readings(channel, 4).std(0) == pytest.approx(one_by_one.std(0), rel=0.03)


def test_without_noise_levels_come_back():
    assert (CellChannel(noise=0.0).read(LEVELS, 1, np.random.default_rng(0)) == LEVELS).all()


def test_information_is_that_of_a_constant_deviation_where_it_is_small(monkeypatch):
    sigma = 0.02
    monkeypatch.setattr("analysis.noisy_storage.channel.DEVIATION", (25 * sigma, 0.0, 0.0))
    closed_form = -math.log2(sigma * math.sqrt(2 * math.pi * math.e))
    # Beyond the ends a little density spreads out, which adds less than 2 σ of bits.
    assert closed_form < CellChannel().information_bits() < closed_form + 0.1
    assert CellChannel(noise=2.0).information_bits() < CellChannel().information_bits()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: CellChannel(noise=-1.0), "noise is -1.0"),
        (lambda: CellChannel(noise=math.inf), "noise is inf"),
        (lambda: CellChannel().read(LEVELS, 0, np.random.default_rng(0)), "cells is 0; allowed: 1 or more"),
        (lambda: CellChannel().read(LEVELS + 0.1, 1, np.random.default_rng(0)), "levels go from 0.1 to 1.1"),
        (lambda: CellChannel().read(LEVELS * np.nan, 1, np.random.default_rng(0)), "a cell holds 0 to 1"),
        (lambda: CellChannel(noise=0.0).information_bits(), "any number of bits"),
    ],
)
def test_what_is_not_allowed_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()
