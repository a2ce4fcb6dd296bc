"""Means over columns and leads: of cases whose answer is known."""

import dataclasses

import numpy as np
import pytest
from scored_rows import REPLICATES, scored

from analysis.reading.column_means import best_first, called, column_means
from analysis.statistics.intervals import Bootstrap

BOOTSTRAP = Bootstrap(replicates=REPLICATES)


@pytest.fixture
def noise():
    return 0.05 * np.random.default_rng(0).normal(size=REPLICATES)


def test_means_are_over_columns_that_all_encoders_tell_with_r2_at_least_0(noise):
    rows = [
        scored("good", "accuracy", 0.9, noise=noise),
        scored("good", "rate", -3.0),
        scored("good", "optimizer", 0.6, metric="accuracy"),
        scored("poor", "accuracy", 0.5, noise=noise),
        scored("poor", "rate", 0.1),
        scored("poor", "optimizer", 0.6, metric="accuracy"),
        scored("good", "epoch", 1.0),
        scored("good", "accuracy", 0.0, told_of="another zoo"),
        scored("hyper-parameters", "accuracy", 1.0, family="control"),
    ]
    (found,) = column_means(rows, "zoo", BOOTSTRAP)
    assert found["columns"] == ["accuracy", "rate", "optimizer"]
    assert [each["name"] for each in found["means"]] == ["good 0", "poor 0"]
    good, poor = found["means"]
    assert good["mean"] == pytest.approx((0.9 + 0.0 + 0.6) / 3)
    assert poor["mean"] == pytest.approx((0.5 + 0.1 + 0.6) / 3)
    assert poor["lead"] == pytest.approx(0.1)
    assert "lead" not in good
    assert good["mean_low"] < good["mean"] < good["mean_high"]
    assert poor["lead_high"] - poor["lead_low"] < 1e-3, "both are measured on the same networks"
    assert (poor["ahead"], poor["behind"]) == (["accuracy"], ["rate"])


def test_leads_that_may_be_chance_name_no_column(noise):
    rows = [scored("first", name, 0.62, noise=noise) for name in ("a", "b")]
    rows += [scored("second", name, 0.60, noise=-noise) for name in ("a", "b")]
    (found,) = column_means(rows, "zoo", BOOTSTRAP)
    second = found["means"][1]
    assert found["first"] == "first 0"
    assert second["lead"] == pytest.approx(0.02)
    assert second["lead_low"] < 0 < second["lead_high"]
    assert second["ahead"] == second["behind"] == []


def test_baselines_are_ranked_and_never_the_first_and_one_group_has_no_interval():
    rows = [scored("encoder", name, 0.5, groups=1, replicates={"r2": ()}) for name in ("a", "b")]
    rows += [scored("known", name, 0.9, family="control", groups=1, replicates={"r2": ()}) for name in ("a", "b")]
    (found,) = column_means(rows, "zoo", BOOTSTRAP)
    assert found["first"] == "encoder 0"
    known, encoder = found["means"]
    assert known["name"] == "known"
    assert known["lead"] == pytest.approx(-0.4)
    assert known["lead_low"] is known["lead_high"] is encoder["mean_low"] is None
    assert known["ahead"] == known["behind"] == []


def test_the_best_stands_first_and_baselines_last():
    rows = [
        scored("named first", "a", 0.9),
        scored("named first", "b", -5.0),
        scored("best", "a", 0.5),
        scored("best", "b", 0.5),
        scored("known", "a", 1.0, family="control"),
        scored("known", "b", 1.0, family="control"),
        scored("cannot", "a", 0.0, metrics={}, refusal="it has convolutions"),
        scored("mean", "a", 0.0, family="control"),
    ]
    assert best_first(rows) == ["best 0", "named first 0", "cannot 0", "known", "mean"]


def test_of_one_column_there_is_no_mean_and_readouts_are_told_apart():
    row = scored("encoder", "a", 0.5)
    boosted = dataclasses.replace(row, question=dataclasses.replace(row.question, readout="boosting"))
    assert column_means([row, boosted], "zoo", BOOTSTRAP) == []
    assert [called(each) for each in (row, boosted)] == ["encoder 0", "encoder 0, boosting"]
