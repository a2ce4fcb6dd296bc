"""Slow, direct figures that the tests of the card compare with."""

import numpy as np
import pytest


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
