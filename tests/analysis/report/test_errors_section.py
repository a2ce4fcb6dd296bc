"""The report's section about where errors are: means and correlations by hand, the worst members, why it is absent."""

import dataclasses
import shlex

import numpy as np
import pytest
from example_analysis import make_analysis
from scipy.stats import kendalltau

from analysis.analyze import analyze
from analysis.evaluators.errors import OF_CLASSES
from analysis.pages.page import Chart, Grid
from analysis.pages.tables import Table
from analysis.report.error_figures import Errors
from analysis.report.errors import commands, where_errors_are, worst, worst_table
from analysis.report.page import render
from analysis.report.sections import View
from analysis.statistics.intervals import Bootstrap
from cluster.cli import run

OPTIONS = {"codecs": ["uniform"], "examples": 200, "bootstrap": Bootstrap(replicates=20)}


@pytest.fixture(scope="module")
def analysis(small_zoo):
    return analyze(small_zoo, evaluators=["errors"], **OPTIONS)


@pytest.fixture(scope="module")
def errors(analysis):
    result = next(result for result in analysis.results if result.name == "uniform")
    return Errors(result, analysis.members, "accuracy", Bootstrap(replicates=20), True)


def blocks(section):
    return [part for block in section.blocks for part in (block.blocks if isinstance(block, Grid) else (block,))]


def test_figures_come_first_and_layers_and_classes_follow(analysis):
    section = where_errors_are(View(analysis))
    parts = blocks(section)
    names = [part.name for part in parts if isinstance(part, Chart)]
    assert names[:3] == ["errors-by-0", "errors-by-1", "errors-by-2"]
    assert {"errors-along", "errors-by-name", "errors-by-layer", "class-disagreement", "class-accuracy-drop-pp"} <= set(
        names
    )
    captions = [part.caption for part in parts if isinstance(part, Table)]
    assert captions == ["Errors by layer", "Errors by class", "The networks that lose most"]
    assert "Where it goes wrong" in render(analysis)


def test_without_the_evaluator_there_are_members_alone(small_zoo):
    section = where_errors_are(View(analyze(small_zoo, **OPTIONS)))
    parts = blocks(section)
    assert [part.caption for part in parts if isinstance(part, Table)] == ["The networks that lose most"]
    assert any("analyze --evaluators errors" in getattr(part, "text", "") for part in parts)


def test_of_few_networks_there_are_no_boxes_of_categories(small_zoo):
    few = analyze(small_zoo, members=2, **OPTIONS)
    names = {part.name for part in blocks(where_errors_are(View(few))) if isinstance(part, Chart)}
    assert "errors-by-name" not in names


def test_correlations_are_kendall_s(errors):
    found = errors.correlations()
    assert {"original accuracy", "weight_norm", "epoch", "learning_rate"} <= set(found)
    for name, interval in found.items():
        expected = kendalltau(errors.result.values["kl"], errors.numeric[name]).statistic
        assert interval.estimate == pytest.approx(expected)
        assert -1 <= interval.low <= interval.estimate <= interval.high <= 1


def test_members_without_a_value_do_not_count(errors):
    values = {**errors.result.values, "class_kl 0": (np.nan, 1.0, *([3.0] * (len(errors.members) - 2)))}
    changed = dataclasses.replace(errors, result=dataclasses.replace(errors.result, values=values))
    metric = next(metric for metric in OF_CLASSES if metric.name == "class_kl")
    assert changed.intervals(metric)["0"].estimate == pytest.approx(np.nanmean(values["class_kl 0"]))


def test_the_worst_members_are_named_and_can_be_looked_at(errors, small_zoo, capsys):
    order = worst(errors)
    lost = np.array(errors.result.values["kl"])
    assert order[0] == lost.argmax()
    assert (np.diff(lost[order]) <= 0).all()
    table = worst_table(errors)
    assert [row.cells[0].text for row in table.rows] == [str(number) for number in errors.members["member"].iloc[order]]
    numbers = errors.members[["member", "epoch", "order_seed", "weight_norm"]]
    assert worst_table(dataclasses.replace(errors, members=numbers)).rows[0].cells[0] == table.rows[0].cells[0]
    first = commands(errors, small_zoo.name)[0]
    assert run([*shlex.split(first)[1:], "--store", small_zoo.store.uri]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"member {errors.members['member'].iloc[order[0]]} of {small_zoo.name}, in its test split")


def test_is_absent_where_nothing_is_known_of_members():
    assert where_errors_are(View(make_analysis())) == "what single networks lose was not measured"


def test_is_absent_where_nothing_is_lost(small_zoo):
    analysis = analyze(small_zoo, **OPTIONS)
    unchanged = [
        dataclasses.replace(result, values={**result.values, "kl": (0.0,) * result.members})
        for result in analysis.results
    ]
    said = where_errors_are(View(dataclasses.replace(analysis, results=unchanged)))
    assert said.endswith("changes no network")
