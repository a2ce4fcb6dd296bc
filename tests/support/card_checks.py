"""What the tests of the card compare with: slow, direct figures, and the charts of a small zoo's page."""

import numpy as np
import pytest

# Of ``small_zoo``, beside one for each hyper-parameter.
CHARTS = [
    "scores", "final", "loss", "gap", "classes", "calibration", "agreement", "matrix", "entries-0", "norms-0",
    "distances-0",
]  # fmt: skip


def slow(values):
    return {
        "count": len(values),
        "mean": float(np.mean(values)),
        "sd": float(np.std(values)),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "maximum": float(np.max(values)),
    }


def matches(rows, values, tolerance=1e-6):
    """Whether a table has one row, and it describes the values."""
    assert len(rows) == 1
    for name, value in slow(values).items():
        assert rows.iloc[0][name] == pytest.approx(value, abs=tolerance), name


def row_of(rows, value):
    """The rows of a group."""
    return rows[rows["value"] == value]
