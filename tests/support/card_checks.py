"""What the tests of the card compare with: slow, direct figures, and the charts of a small zoo's page."""

import numpy as np
import pytest

# Of ``small_zoo``.
CHARTS = [
    "accuracy", "final", "loss", "gap", "frequencies", "explained", "effects", "classes", "calibration", "agreement",
    "matrix", "values-0", "norms-0", "histograms-0", "distances-0",
]  # fmt: skip


def slow(values):
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values)),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "maximum": float(np.max(values)),
    }


def matches(facts, values, tolerance=1e-6):
    assert facts.count == len(values)
    for name, value in slow(values).items():
        assert getattr(facts, name) == pytest.approx(value, abs=tolerance), name
