"""Means over a matrix of zoos, and margins between encoders on the same networks."""

import dataclasses

import numpy as np
import pytest

from analysis.measuring.results import Measured, Question, Result
from analysis.reading.scopes import LAST
from analysis.reading.zoo_matrix import ZooMatrix
from analysis.report.zoo_matrices import verdict
from analysis.statistics.intervals import Bootstrap
from trainables.readouts.metrics import KENDALL_TAU

ZOOS = ("a", "b", "c")


def result(name, source, zoo, tau, noise=0.0, refusal="", labelled=0, family="learned"):
    generator = np.random.default_rng([ord(zoo), 7])  # the same networks are drawn alike
    replicates = tau + 0.05 * generator.normal(size=500) + noise * np.random.default_rng(ord(name[0])).normal(size=500)
    question = Question(target="y", snapshots=LAST, fitted_on=source, told_of=zoo, labelled=labelled)
    measured = {KENDALL_TAU.name: Measured(metric=KENDALL_TAU, estimate=tau)}
    return Result(
        name=name, family=family, setting="", trial=0, fits=1, members=50, groups=50, parameters=0, examples=0,
        metrics={} if refusal else measured, question=question, refusal=refusal,
        replicates={} if refusal else {KENDALL_TAU.name: tuple(replicates)}, fits_spread={KENDALL_TAU.name: 0.0},
    )  # fmt: skip


def matrix(*results):
    return ZooMatrix.of(results, ZOOS, "y")


def every(name, tau, **options):
    return [result(name, source, zoo, 0.9 if source == zoo else tau, **options) for source in ZOOS for zoo in ZOOS]


def test_the_mean_is_over_cells_of_other_zoos():
    found = matrix(*every("one", 0.4), *every("two", 0.3))
    assert found.average("one", Bootstrap()).estimate == pytest.approx(0.4)
    assert np.diag(found.table("one")) == pytest.approx(0.9)
    assert found.ranked() == ["one", "two"]


def test_a_margin_on_the_same_networks_is_narrower_than_the_means():
    found = matrix(*every("one", 0.40), *every("two", 0.39))
    mean, margin = found.average("one", Bootstrap()), found.margin("one", "two", Bootstrap())
    assert margin.estimate == pytest.approx(0.01)
    assert 0 < margin.low <= margin.high
    assert mean.high - mean.low > 10 * (margin.high - margin.low)
    noisy = matrix(*every("one", 0.40, noise=0.1), *every("two", 0.39, noise=0.1)).margin("one", "two", Bootstrap())
    assert noisy.low < 0 < noisy.high


def test_where_the_networks_of_one_zoo_are_one_group_there_is_a_mean_and_no_interval():
    one_group = {"groups": 1, "replicates": {KENDALL_TAU.name: ()}}
    rows = [
        dataclasses.replace(each, **one_group) if each.question.told_of == "b" else each for each in every("one", 0.4)
    ]
    mean = matrix(*rows).average("one", Bootstrap())
    assert mean.estimate == pytest.approx(0.4)
    assert mean.low is mean.high is None


def test_what_cannot_be_embedded_counts_as_no_order():
    cells = every("one", 0.4)
    cells[1] = result("one", "a", "b", 0.4, refusal="cannot embed: other layers")
    found = matrix(*cells, *every("two", 0.4))
    assert found.average("one", Bootstrap()).estimate == pytest.approx(0.4 * 5 / 6)
    assert found.table("one")[0, 1] == 0


def test_a_cell_in_which_nothing_could_be_measured_does_not_count():
    """As where its networks are training networks of the other zoo: that says nothing of encoders."""
    rows = [*every("one", 0.4), *every("two", 0.3)]
    refused = [
        dataclasses.replace(row, metrics={}, replicates={}, refusal="they are training networks")
        if (row.question.fitted_on, row.question.told_of) == ("a", "b")
        else row
        for row in rows
    ]
    found = matrix(*refused)
    assert ("a", "b") not in found.others
    assert found.average("one", Bootstrap()).estimate == pytest.approx(0.4)


def test_labelled_networks_and_later_trials_do_not_count_nor_encoders_of_one_zoo():
    rows = [*every("one", 0.4), *every("one", 0.8), *every("one", 0.7, labelled=10), result("two", "a", "b", 0.9)]
    found = matrix(*rows)
    assert found.average("one", Bootstrap()).estimate == pytest.approx(0.4)
    assert list(found.cells) == ["one"]


def test_the_verdict_names_the_best_encoder_though_a_baseline_is_better():
    found = matrix(*every("measured", 0.9, family="control"), *every("one", 0.4), *every("two", 0.3))
    said = verdict(found, Bootstrap())
    assert said.startswith("Best encoder on average: one")
    assert "next, two" in said
    assert "measured" not in said
    assert verdict(matrix(*every("measured", 0.9, family="control")), Bootstrap()).startswith("Best baseline")
