"""Weights written to cells: exact without noise, signs that stay, and what it costs."""

import numpy as np
import pytest

from analysis.noisy_storage.channel import CellChannel
from analysis.noisy_storage.mapping import MAPPINGS, CellMapping, pruned, read_back
from zoo.architecture import mlp

LAYOUT = mlp((1, 3, 3), (8,), 10, activation="relu").layout
PARAMETERS = sum(spec.size for spec in LAYOUT)


@pytest.fixture(scope="module")
def weights():
    weights_MP = np.random.default_rng(5).laplace(size=(6, PARAMETERS)).astype(np.float32)
    weights_MP[:, LAYOUT[1].span] = 0  # biases that were never moved
    return weights_MP


def read(weights_MP, mapping, noise=1.0, cells=1, seed=0):
    return read_back(weights_MP, LAYOUT, mapping, CellChannel(noise=noise), cells, np.random.default_rng(seed))


@pytest.mark.parametrize("name", MAPPINGS)
def test_without_noise_weights_come_back(weights, name):
    mapping = MAPPINGS[name]
    expected = pruned(weights, mapping.keep)
    assert read(weights, mapping, noise=0.0) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["sign protection", "adaptive mapping", "sparsity-driven"])
def test_protected_signs_never_flip(weights, name):
    loud = read(weights, MAPPINGS[name], noise=30.0)
    assert (loud * weights >= 0).all()
    assert (read(weights, MAPPINGS["plain cells"], noise=30.0) * weights < 0).any()


def test_each_protection_lowers_the_error(weights):
    names = ("plain cells", "sign protection", "adaptive mapping")
    errors = [np.square(read(weights, MAPPINGS[name], noise=2.0) - weights).mean() for name in names]
    assert errors == sorted(errors, reverse=True)


def test_more_cells_lower_the_error_as_their_number(weights):
    many = np.tile(weights, (20, 1))
    errors = [np.square(read(many, MAPPINGS["plain cells"], cells=cells) - many).mean() for cells in (1, 16)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)


def test_pruned_weights_stay_zero_and_the_largest_are_kept(weights):
    found = read(weights, MAPPINGS["sparsity-driven"])
    zero = pruned(weights, 0.5) == 0
    assert (found[zero] == 0).all()
    assert (~zero).sum(1).tolist() == [round(0.5 * PARAMETERS)] * len(weights)
    assert np.abs(weights[zero]).max() > 0
    for kept, row in zip(~zero, np.abs(weights), strict=True):
        assert row[kept].min() >= row[~kept].max()


def test_the_same_seed_reads_the_same(weights):
    mapping = MAPPINGS["adaptive mapping"]
    first = read(weights, mapping, seed=3)
    assert (first == read(weights, mapping, seed=3)).all()
    assert (first != read(weights, mapping, seed=4)).any()


def test_cells_are_counted_with_what_is_digital():
    scales, kept = 32 * len(LAYOUT), round(0.5 * PARAMETERS)
    by_hand = {
        "plain cells": 3 * PARAMETERS + scales / 2,
        "sign protection": 3 * PARAMETERS + (scales + PARAMETERS) / 2,
        "adaptive mapping": 3 * PARAMETERS + (2 * scales + 2 * PARAMETERS) / 2,
        "sparsity-driven": 3 * kept + (2 * scales + 2 * kept + PARAMETERS) / 2,
    }
    for name, mapping in MAPPINGS.items():
        assert mapping.cells_per_weight(LAYOUT, 3) == pytest.approx(by_hand[name] / PARAMETERS)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: CellMapping(large=0.1), "0 without protected signs"),
        (lambda: CellMapping(signs=True, large=1.0), "0 <= large < 1"),
        (lambda: CellMapping(keep=0.0), "0 < keep <= 1"),
        (lambda: read(np.full((1, PARAMETERS), np.nan), CellMapping()), f"{PARAMETERS} weights are not finite"),
    ],
)
def test_what_is_not_allowed_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()
