"""Leads by hand: both encoders on the same resamples of networks, and what several fits tell of theirs."""

import dataclasses

import numpy as np
import pytest
from scipy.special import stdtrit
from scored_rows import REPLICATES, scored

from analysis.measuring.results import Question, sum_of_means
from analysis.reading.column_means import column_means
from analysis.reading.members import ZooMembers
from analysis.reading.scopes import scopes_of
from analysis.reading.zoo_matrix import ZooMatrix
from analysis.statistics.groups import chosen_members
from analysis.statistics.intervals import Bootstrap
from trainables.readouts.metrics import R2

BOOTSTRAP = Bootstrap(replicates=REPLICATES)
T3 = float(stdtrit(3, 0.975))


@pytest.fixture(scope="module")
def held_out(small_zoo):
    (scope, *_) = scopes_of(ZooMembers(zoo=small_zoo, members=chosen_members(small_zoo, None)), (), BOOTSTRAP)
    return scope


def told(held_out, name, *predictions, target="test_accuracy"):
    zoo = held_out.fitted.name
    question = Question(target=target, snapshots=held_out.snapshots, fitted_on=zoo, told_of=zoo)
    return held_out.row(name, target, "learned", question, lambda: list(predictions), {}).measure()


def test_an_encoder_whose_errors_are_a_tenth_larger_is_behind_by_what_that_costs_on_every_resample(held_out):
    """R² is 1 - a and 1 - 1.21 a on the same networks: the lead is .21 a, with the interval of a."""
    true_M = held_out.known("test_accuracy")
    error_M = 0.2 * true_M.std() * np.random.default_rng(0).normal(size=len(true_M))
    rows = [told(held_out, name, true_M + share * error_M) for name, share in (("exact", 1.0), ("rough", 1.1))]
    (found,) = column_means(rows, held_out.fitted.name, BOOTSTRAP, fewest=1)
    exact, rough = found["means"]
    assert (found["first"], rough["name"]) == ("exact", "rough")
    assert exact["mean_high"] - exact["mean_low"] > 0.01
    assert rough["lead"] == pytest.approx(0.21 * (1 - exact["mean"]), abs=1e-9)
    assert rough["lead_high"] == pytest.approx(0.21 * (1 - exact["mean_low"]), abs=2e-4)
    assert rough["lead_high"] == pytest.approx(0.21 / 1.21 * (1 - rough["mean_low"]), abs=2e-4)
    # The upper ends of the means are cut off at 1.
    assert rough["lead_high"] - rough["lead_low"] < 0.5 * (exact["mean_high"] - exact["mean_low"])


def test_columns_that_are_told_alike_are_resampled_alike(held_out):
    """A column twice says no more of other networks than once."""
    true_M = held_out.known("test_accuracy")
    error_M = 0.2 * true_M.std() * np.random.default_rng(0).normal(size=len(true_M))
    row = told(held_out, "one", true_M + error_M)
    twice = [row, dataclasses.replace(row, question=dataclasses.replace(row.question, target="again"))]
    (once,), (both,) = (column_means(rows, held_out.fitted.name, BOOTSTRAP, fewest=1) for rows in ([row], twice))
    ends = ("mean", "mean_low", "mean_high")
    assert [both["means"][0][end] for end in ends] == pytest.approx([once["means"][0][end] for end in ends])


def fits_noise(deviation):
    """How much the mean over fits that are drawn changes, with that deviation to the last digit."""
    noise = np.random.default_rng(1).normal(size=REPLICATES)
    return deviation * (noise - noise.mean()) / noise.std()


def test_leads_over_an_encoder_of_one_fit_cover_what_the_fits_of_the_first_differ_by():
    """Four fits whose mean has a deviation of .02: Student's t of 3 degrees with the unbiased deviation."""
    spread = {"fits": 4, "fits_spread": {R2.name: 0.02**2}}
    rows = [scored("first", "a", 0.60, noise=fits_noise(0.02), **spread), scored("second", "a", 0.55)]
    (found,) = column_means(rows, "zoo", BOOTSTRAP, fewest=1)
    second = found["means"][1]
    half = T3 * 0.02 * (4 / 3) ** 0.5
    assert second["lead_low"] <= 0.05 - half + 1e-9 < 0
    assert second["lead_high"] >= 0.05 + half - 1e-9
    assert second["ahead"] == []
    matrix = ZooMatrix(
        target="a",
        zoos=("zoo", "other"),
        cells={
            name: {("other", "zoo"): scored(name, "a", value, metric="kendall_tau", **more)}
            for name, value, more in (
                ("first", 0.60, {"noise": fits_noise(0.02), "fits": 4, "fits_spread": {"kendall_tau": 0.02**2}}),
                ("second", 0.55, {}),
            )
        },
    )
    assert matrix.margin("first", "second", BOOTSTRAP).low < 0


def test_fits_that_differ_below_the_least_that_counts_do_not_widen():
    """A column with R² of -3 in all fits counts 0 in each, and leaves the interval to the other columns."""
    known = scored("first", "a", 0.6, noise=fits_noise(0.01), fits=2, fits_spread={R2.name: 0.0})
    far = scored("first", "b", -3.0, noise=fits_noise(0.5), fits=2, fits_spread={R2.name: 0.25})
    with_far = sum_of_means([(1.0, [(known, R2.name), (far, R2.name)])], 2, BOOTSTRAP, least=0.0)
    alone = sum_of_means([(1.0, [(known, R2.name)])], 2, BOOTSTRAP, least=0.0)
    assert with_far == alone


def test_a_lead_is_at_most_1_where_scores_are_from_0_to_1():
    wide = {"fits": 2, "fits_spread": {R2.name: 0.3**2}}
    rows = [(w, [(scored("x", "a", v, noise=fits_noise(0.3), **wide), R2.name)]) for w, v in ((1.0, 0.9), (-1.0, 0.2))]
    found = sum_of_means(rows, 1, BOOTSTRAP, least=0.0)
    assert (found.low, found.high) == (-1.0, 1.0)
    assert sum_of_means(rows, 1, BOOTSTRAP).high == 2.0, "of those from -1 to 1"
