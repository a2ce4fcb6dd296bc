"""Networks read back from noisy memory through the whole analysis, beside digital storage."""

import pytest
from example_study import write_study

from analysis.analyze import analyze
from analysis.noisy_storage.bit_flips import PROTECTIONS
from analysis.noisy_storage.mapping import MAPPINGS
from analysis.noisy_storage.rows import BIT_ERROR_RATES, FLIPPED, NOISES
from analysis.noisy_storage.symbols import LATENTS
from analysis.plan import plan_analysis
from analysis.report.noisy_storage import noisy_storage
from analysis.report.page import render
from analysis.report.reproduce import commands
from analysis.statistics.intervals import Bootstrap
from analysis.tables import write_tables
from cluster.verbs.analyze import Analyze
from trainables.study_files import StudyRecord
from zoo.storage.store import Store

OPTIONS = {"codecs": ["uniform"], "members": 8, "examples": 60, "bootstrap": Bootstrap(replicates=20)}


@pytest.fixture(scope="module")
def analysis(small_zoo):
    return analyze(small_zoo, cells=[1, 256], **OPTIONS)


def test_every_mapping_is_measured_at_every_number_of_cells_and_noise(analysis):
    named = [(result.name, result.setting) for result in analysis.noisy_results]
    flips = len(FLIPPED) * len(PROTECTIONS) * len(BIT_ERROR_RATES)
    assert len(named) == len(set(named)) == (len(MAPPINGS) + 1) * (2 + len(NOISES)) + flips
    assert {result.name for result in analysis.results} == {
        "uniform",
        "mean weights",
        "constant member",
        "random network",
    }


def test_many_cells_give_the_network_back(analysis):
    agreement = {(r.name, r.setting): r.value("agreement") for r in analysis.noisy_results}
    for name in ("plain cells", "sign protection", "adaptive mapping"):
        assert agreement[name, "cells=256"] > 0.97
        assert agreement[name, "cells=1, noise=8"] < agreement[name, "cells=256"]


def test_symbols_of_many_cells_are_the_codec_s_networks(analysis, small_zoo):
    """And of one cell each they are read with noise: fewer cells for a weight than it, and less agreement."""
    rows = {r.setting.rpartition("cells=")[2]: r for r in analysis.noisy_results if r.name == "uniform in cells"}
    assert rows["256"].value("agreement") > rows["1"].value("agreement")
    assert rows["1"].value("cells_per_weight") < 2
    exact = analyze(small_zoo, cells=[2**24], **{**OPTIONS, "codecs": ["function-metric"]})
    coded = [r for r in exact.results if r.name == "function-metric" and r.setting == "step=0.015"]
    read = next(r for r in exact.noisy_results if r.name == "function-metric in cells")
    assert [read.value("kl")] == pytest.approx([r.value("kl") for r in coded], rel=1e-2)


@pytest.mark.parametrize("codec", FLIPPED)
def test_flips_lose_networks_and_the_code_saves_them(analysis, codec):
    lost = {(r.name, r.setting): r.value("lost_share") for r in analysis.noisy_results}
    plain, usual, strong = (f"flipped bits of {codec}, {protection.name}" for protection in PROTECTIONS)
    assert lost[plain, "rate=0.001"] > 0.4
    assert lost[usual, "rate=0.0001"] == 0
    assert lost[usual, "rate=0.01"] > lost[strong, "rate=0.01"]
    rates = {r.name: r.rate for r in analysis.noisy_results if "lost_share" in r.metrics}
    assert rates[plain] < rates[usual] < rates[strong]


def test_is_repeatable(analysis, small_zoo):
    again = analyze(small_zoo, cells=[1, 256], **OPTIONS).noisy_results
    assert [result.row() for result in again] == [result.row() for result in analysis.noisy_results]


def test_report_tables_and_command_show_it(analysis, small_zoo, tmp_path):
    section = noisy_storage(analysis)
    assert [block.name for block in section.blocks if block.kind == "chart"] == ["noisy-cells", "noise"]
    assert "Networks read back from analog and digital cells" in render(analysis)
    assert any(path.endswith("noisy_storage.csv") for path in write_tables(analysis, Store(tmp_path), "tables"))
    assert "--cells 1,256" in commands(analysis.summary)
    without = analyze(small_zoo, **OPTIONS)
    assert noisy_storage(without) == "networks were not read back from noisy memory (analyze --cells 1,2,4)"


@pytest.mark.parametrize("cells", [[0], [1.5], [True]])
def test_other_numbers_of_cells_are_refused(small_zoo, cells):
    with pytest.raises(ValueError, match=r"allowed: whole numbers from 1 on, as in 1,2,4"):
        plan_analysis(small_zoo, cells=cells)


@pytest.mark.parametrize("cells", ["1,x", "", "1.5", "-1"])
def test_the_option_takes_whole_numbers(small_zoo, cells):
    with pytest.raises(ValueError, match=r"--cells is .*; allowed: whole numbers with commas"):
        Analyze(zoo=small_zoo.name, store=str(small_zoo.store.join()), cells=cells).plan()


def test_latents_of_a_study_are_read_back_too(small_zoo, tmp_path):
    store = Store(tmp_path)
    write_study(store, small_zoo)
    found = analyze(small_zoo, StudyRecord.open(store, "small-search"), cells=[1, 2**24], **OPTIONS)
    rows = {(r.trial, r.setting.rpartition("cells=")[2]): r for r in found.noisy_results if r.name == LATENTS}
    learned = {r.trial: r for r in found.results if r.name == "autoencoder"}
    kinds = ("1", *(f"1, noise={noise:g}" for noise in NOISES), "16777216")
    assert sorted(rows) == [(trial, cells) for trial in sorted(learned) for cells in kinds]
    for trial, coded in learned.items():
        assert rows[trial, "16777216"].value("kl") == pytest.approx(coded.value("kl"), rel=1e-2)
        assert (
            rows[trial, "16777216"].value("kl") < rows[trial, "1"].value("kl") < rows[trial, "1, noise=8"].value("kl")
        )
        assert rows[trial, "1"].value("cells_per_weight") < 1
    assert LATENTS in render(found)
