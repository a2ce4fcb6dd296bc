"""Sets of values as rows and bins, with nothing in them and with what is not finite."""

import numpy as np
import pandas as pd
import pytest

from analysis.pages.distributions import QUANTILES, described, described_each, even_edges


def test_a_set_of_values_against_numpy():
    values = np.random.default_rng(0).normal(3, 2, (20, 5))
    row = described(values)
    assert (row["count"], row["missing"], row["mean"]) == (100, 0, pytest.approx(values.mean()))
    assert row["sd"] == pytest.approx(values.std())
    assert [row[name] for name in QUANTILES] == np.percentile(values, list(QUANTILES.values())).tolist()
    pd.testing.assert_frame_equal(described_each([values, values]), pd.DataFrame([row, row]))


def test_nothing_and_what_is_not_finite():
    found = described_each([[np.nan, np.inf], [], [1.0, np.nan, 3.0], np.ones(5)])
    assert found["count"].tolist() == [0, 0, 2, 5]
    assert found["missing"].tolist() == [2, 0, 1, 0]
    assert found["mean"].fillna(-1).tolist() == [-1, -1, 2, 1]
    assert found["median"].fillna(-1).tolist() == [-1, -1, 2, 1]


def test_edges_hold_all_finite_values():
    for values in ([np.nan, np.inf], [], [1.0, np.nan, 3.0], np.ones(5), np.arange(1000.0)):
        edges = even_edges(values, 40)
        finite = np.isfinite(values)
        assert np.histogram(np.asarray(values)[finite], edges)[0].sum() == finite.sum()
        assert len(edges) - 1 == min(40, max(8, round(2 * finite.sum() ** 0.5)))
    assert even_edges([1, 10, 100], 2, logarithmic=True)[[0, -1]] == pytest.approx([1, 100])
