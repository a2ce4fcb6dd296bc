"""Rows of an analysis, measured side by side on Ray: the same results, and nothing lost where a process dies."""

import dataclasses
import io
import os
import pickle
import textwrap

import pandas as pd
import pytest
from example_study import write_study

from analysis.kept_rows import KeptRows
from analysis.plan import plan_analysis
from cluster.distributed import rows as distributed
from cluster.distributed.rows import measure_on_ray
from cluster.verbs.analyze import write_report
from trainables.study_files import StudyRecord
from zoo.generation.build import generate_zoo
from zoo.population.population import BLOCK
from zoo.storage.store import Store

FEW = {"members": 6, "codecs": ["float16", "uniform"]}
# Kills the process that measures it, unless it is the one that the test runs in.
DEADLY = """
    import os
    import torch
    from analysis.evaluators.evaluator import Evaluator, Measure
    from zoo.metric import Metric

    def run(subject, original, data):
        if os.getpid() != int(os.environ["ZOOSCALE_TEST_SPARED"]):
            os._exit(1)
        return {"deadly": torch.ones(len(subject))}

    METRIC = Metric(name="deadly", label="deadly", description="One.")
    MEASURES = (Measure(metric=METRIC),)
    DEADLY = Evaluator(name="deadly", run=run, measures=MEASURES, by_members=True, needs_original=False,
        description="-")
"""


def quiet(done, total, name):
    """Progress that nobody looks at."""


def table(store, report):
    name = report.tables.rpartition("tables/")[2]
    frame = pd.read_parquet(io.BytesIO(store.read(f"tables/{name}/results.parquet")))
    return frame.drop(columns=[name for name in frame if name.endswith("_s")])  # seconds are never the same


def test_small_analyses_start_no_ray(small_zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "runtime", None)
    store = Store(tmp_path)
    plan = plan_analysis(small_zoo, **FEW)
    every = range(len(plan.rows))
    assert measure_on_ray(plan, every, store, workers=None, progress=quiet) == {}
    monkeypatch.setattr(distributed, "remembered_rows_s", lambda plan, rows: 0.1)
    assert measure_on_ray(plan, every, store, workers=None, progress=quiet) == {}
    kept = KeptRows(store, small_zoo.name)
    for row in plan.rows:
        kept.measured(row)
    missing = [place for place, row in enumerate(plan.rows) if row not in kept]
    assert measure_on_ray(plan, missing, store, workers=2, progress=quiet) == {}, "all rows are there"


def test_what_takes_longer_than_ray_starts_goes_there_by_itself(small_zoo, tmp_path, monkeypatch):
    class LetThroughError(Exception):
        pass

    def runtime(*arguments, **options):
        raise LetThroughError

    monkeypatch.setattr(distributed, "runtime", runtime)
    monkeypatch.setattr(distributed, "remembered_rows_s", lambda plan, rows: 1e4)
    monkeypatch.setattr(distributed.os, "cpu_count", lambda: 4)
    plan = plan_analysis(small_zoo, **FEW)
    with pytest.raises(LetThroughError):
        measure_on_ray(plan, range(len(plan.rows)), Store(tmp_path), workers=None, progress=quiet)


@pytest.mark.slow
def test_workers_measure_what_one_process_measures(small_recipe, tmp_path):
    zoo = generate_zoo(dataclasses.replace(small_recipe, members=960), Store(tmp_path / "zoo"))
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    asked = {"codecs": ["float16"], "evaluators": ["pgd-0.1x3x1"], "examples": 100, "inputs": []}
    reports = []
    for store, workers in ((here, None), (there, 2)):
        write_study(store, zoo)
        study = StudyRecord.open(store, "small-search")
        reports.append(table(store, write_report(zoo, [study], store, asked, workers=workers)))
    assert reports[0]["members"].min() > BLOCK, "each row has several blocks"
    pd.testing.assert_frame_equal(*reports)


def test_groups_of_networks_are_measured_alike_by_another_process(small_zoo):
    plan = plan_analysis(small_zoo, by=["optimizer"], evaluators=["accuracy", "transfer-0.1x3x1"], examples=60)
    sent = pickle.loads(pickle.dumps(plan))
    for place in (0, 1, len(plan.rows) - 1):
        assert sent.rows[place].measure() == plan.rows[place].measure()


@pytest.mark.slow
def test_rows_of_a_process_that_dies_are_measured_here(small_zoo, tmp_path, monkeypatch, capfd):
    module = tmp_path / "deadly_module.py"
    module.write_text(textwrap.dedent(DEADLY))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ZOOSCALE_TEST_SPARED", str(os.getpid()))
    store = Store(tmp_path / "store")
    asked = {"members": 6, "codecs": ["float16"], "evaluators": ["deadly_module:DEADLY"]}
    report = write_report(small_zoo, (), store, asked, workers=2)
    assert "a process that measured rows died" in capfd.readouterr().err
    assert set(table(store, report)["deadly"]) == {1.0}
