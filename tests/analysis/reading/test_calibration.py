"""Predictions brought to another zoo's scale by a few labelled networks."""

import numpy as np
import pytest

from analysis.reading.calibration import recalibrated


def test_an_exact_relation_is_found_by_three_networks():
    predicted_M = np.linspace(0, 1, 50)
    labelled_K = np.array([0.1, 0.4, 0.9])
    assert recalibrated(predicted_M, labelled_K, 3 - 2 * labelled_K) == pytest.approx(3 - 2 * predicted_M)


def test_without_a_relation_the_mean_of_the_labelled_is_predicted():
    predicted_K, true_K = np.array([-1.0, 0.0, 1.0, 0.0]), np.array([1.0, 2.0, 1.0, 4.0])
    assert recalibrated(np.arange(5.0), predicted_K, true_K) == pytest.approx(np.full(5, 2.0))
    for same in (0.0, 0.1, 1 / 3):
        assert recalibrated(np.full(5, same), np.full(4, same), true_K) == pytest.approx(np.full(5, 2.0))


@pytest.mark.parametrize("count", [5, 10, 50])
def test_noise_is_shrunk(count):
    """On average over draws, calibrated predictions of noise spread less than those by least squares."""
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(300):
        noise_M, predicted_K, true_K = (generator.normal(size=size) for size in (200, count, count))
        errors.append(recalibrated(noise_M, predicted_K, true_K).std())
    plain = [abs(np.polyfit(*generator.normal(size=(2, count)), 1)[0]) for _ in range(300)]
    assert np.mean(errors) < 0.6 * np.mean(plain)
