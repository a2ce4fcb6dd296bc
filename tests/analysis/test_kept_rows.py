"""Rows are measured once: after an interruption, for a second report, in a copied store; not where anything differs."""

import dataclasses
import shutil
import sys

import pytest
from example_study import write_study

from analysis.analyze import analyze, carry_out
from analysis.compression import measurement
from analysis.kept_rows import KeptRows, our_code, own_code
from analysis.measuring import evaluated
from analysis.measuring.evaluating import Evaluating
from analysis.plan import plan_analysis
from analysis.statistics.intervals import Bootstrap
from trainables.study_files import StudyRecord
from zoo.population import population as of_populations
from zoo.storage.store import Store
from zoo.storage.zoo import Zoo

OPTIONS = {
    "codecs": ("float16", "zstd", "uniform"),
    "members": 8,
    "examples": 60,
    "bootstrap": Bootstrap(replicates=20),
}
MODULE = """
import dataclasses
from analysis.evaluators.registry import EVALUATORS
{}
def run(subject, original, data):
    return {{"weight_mse": EVALUATORS["weights"].run(subject, original, data)["weight_mse"]}}

MINE = dataclasses.replace(EVALUATORS["weights"], name="mine", run=run, measures=EVALUATORS["weights"].measures[:1])
MINE = dataclasses.replace(MINE, measures=(dataclasses.replace(
    MINE.measures[0], of="weight_mse", metric=dataclasses.replace(MINE.measures[0].metric, name="mine")),))
"""


@pytest.fixture
def coded(monkeypatch):
    """Names of the codecs that code something, in order."""
    names, really = [], measurement.code

    def code(codec, population):
        names.append(codec.name)
        return really(codec, population)

    monkeypatch.setattr(measurement, "code", code)
    return names


@pytest.fixture(scope="module")
def kept(small_zoo, tmp_path_factory):
    """The rows of an analysis."""
    store = Store(tmp_path_factory.mktemp("kept"))
    carry_out(plan_analysis(small_zoo, **OPTIONS), keep=store)
    return KeptRows(store, small_zoo.name)


def same(first, second):
    return [result.to_record() for result in first.results] == [result.to_record() for result in second.results]


def test_a_second_analysis_measures_nothing(small_zoo, tmp_path, coded):
    store = Store(tmp_path)
    write_study(store, small_zoo)
    study = StudyRecord.open(store, "small-search")
    first = analyze(small_zoo, study, keep=store, **OPTIONS)
    assert len(coded) > len(first.results)  # those on untrained networks too
    coded.clear()
    second = analyze(small_zoo, StudyRecord.open(store, "small-search"), keep=store, **OPTIONS)
    assert coded == []
    assert same(first, second)
    assert [r.to_record() for r in first.random_results] == [r.to_record() for r in second.random_results]
    without = analyze(small_zoo, study, **OPTIONS)
    assert coded, "nothing is looked for where nobody says where"
    assert [r.value("agreement") for r in without.results] == [r.value("agreement") for r in first.results]


def test_a_stopped_analysis_continues(small_zoo, tmp_path, coded):
    store = Store(tmp_path)

    def stop(done, total, name):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze(small_zoo, keep=store, progress=stop, **OPTIONS)
    assert len(coded) == 3
    found = analyze(small_zoo, keep=store, **OPTIONS)
    assert len(coded) == len(found.results) + len(found.random_results)
    coded.clear()
    other = analyze(small_zoo, keep=store, **{**OPTIONS, "codecs": ("float16", "kmeans")})
    assert set(coded) == {"kmeans"}, "another report has the rows of this one"
    float16 = [next(r for r in analysis.results if r.name == "float16") for analysis in (found, other)]
    assert float16[0].metrics["agreement"] == float16[1].metrics["agreement"]


def test_a_stopped_row_continues_at_the_block(small_zoo, tmp_path, coded, monkeypatch):
    monkeypatch.setattr(of_populations, "BLOCK", 3)
    monkeypatch.setattr(evaluated, "KEEP_EVERY_S", 0)
    done, really = [], Evaluating.values

    def stops(self, unit):
        if len(done) == 10:
            raise KeyboardInterrupt
        done.append(unit)
        return really(self, unit)

    options = {**OPTIONS, "codecs": ("uniform",), "evaluators": ("pgd-0.1",)}
    expected = analyze(small_zoo, **options).results[0]
    coded.clear()
    store, (row, *_) = Store(tmp_path), plan_analysis(small_zoo, **options).rows
    kept = KeptRows(store, small_zoo.name)
    monkeypatch.setattr(Evaluating, "values", stops)
    with pytest.raises(KeyboardInterrupt):
        kept.measured(row)
    assert 0 < len(kept.parts(row).found) == len(done)
    monkeypatch.setattr(Evaluating, "values", lambda self, unit: done.append(unit) or really(self, unit))
    damaged = next(path for path in store.list("rows") if evaluated.NETWORKS not in path)
    store.put(damaged, store.read(damaged)[:7])
    found = kept.measured(row)
    assert coded == ["uniform"], "networks are not made again"
    assert len(done) == len(set(done)) + 1, "but for the damaged one no unit is done again"
    exact = {name for name in found.metrics if not name.endswith("_s")}  # seconds are never the same
    assert {name: found.metrics[name] for name in exact} == {name: expected.metrics[name] for name in exact}
    assert found.values == expected.values
    assert len(store.list("rows")) == 1, "parts are let go of"


def test_a_copied_store_has_its_rows(small_zoo, tmp_path, coded):
    shutil.copytree(small_zoo.store.uri, tmp_path / "first")
    store = Store(tmp_path / "first")
    write_study(store, small_zoo)
    first = analyze(Zoo.open(small_zoo.name, store), StudyRecord.open(store, "small"), keep=store, **OPTIONS)
    (tmp_path / "first").rename(tmp_path / "second")
    coded.clear()
    copy = Store(tmp_path / "second")
    second = analyze(Zoo.open(small_zoo.name, copy), StudyRecord.open(copy, "small"), keep=copy, **OPTIONS)
    assert coded == []
    assert same(first, second)


@pytest.mark.parametrize(
    "other",
    [
        {"members": 7},
        {"examples": 59},
        {"bootstrap": Bootstrap(replicates=20, seed=1)},
        {"inputs": ("noise-0.1",)},
        {"evaluators": ("accuracy",)},
        {"training_snapshots": 5},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_options_are_other_rows(small_zoo, kept, other):
    assert all(row in kept for row in plan_analysis(small_zoo, **OPTIONS).rows)
    assert not any(row in kept for row in plan_analysis(small_zoo, **{**OPTIONS, **other}).rows)


def test_other_code_of_the_users_own_is_another_row(small_zoo, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    options = {**OPTIONS, "codecs": ("float16",), "evaluators": ("my_kept_evaluator:MINE",)}
    for source, known in (("", False), ("", True), ("ZERO = 0", False)):
        (tmp_path / "my_kept_evaluator.py").write_text(MODULE.format(source))
        plan, kept = plan_analysis(small_zoo, **options), KeptRows(Store(tmp_path), small_zoo.name)
        assert all((row in kept) == known for row in plan.rows)
        carry_out(plan, keep=Store(tmp_path))


def test_code_without_a_file_is_not_kept(monkeypatch):
    notebook = type(sys)("my_notebook")
    monkeypatch.setitem(sys.modules, "my_notebook", notebook)
    assert own_code(["my_notebook"]) is None
    assert own_code(["analysis.analyze", "not.loaded"]) == {}
    assert our_code() == our_code()


def test_a_damaged_row_is_measured_again(small_zoo, tmp_path, coded):
    store = Store(tmp_path)
    first = analyze(small_zoo, keep=store, **OPTIONS)
    paths = store.list("rows")
    for path, content in zip(paths, (b"", b"{}", b"[1]", b'{"name": 1}'), strict=False):
        store.put(path, content)
    coded.clear()
    again = analyze(small_zoo, keep=store, **OPTIONS)
    assert len(coded) == 4
    assert [r.value("agreement") for r in again.results] == [r.value("agreement") for r in first.results]


def test_names_are_those_of_the_row(small_zoo, tmp_path):
    store = Store(tmp_path)
    row = plan_analysis(small_zoo, **OPTIONS).rows[0]
    KeptRows(store, small_zoo.name).measured(row)
    renamed = dataclasses.replace(row, name="other", trial=3, measure=lambda: pytest.fail("it is kept"))
    found = KeptRows(store, small_zoo.name).measured(renamed)
    assert (found.name, found.trial) == ("other", 3)
