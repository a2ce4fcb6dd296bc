"""The report's section about autoencoders: its figures by hand, in the page with its maps, and why it is absent."""

import dataclasses

import numpy as np
import pytest
from example_analysis import make_analysis
from example_study import write_study

from analysis.analyze import analyze
from analysis.compression.headlines import targets
from analysis.measuring.results import declared
from analysis.pages.page import Chart, Grid, Heading, Text
from analysis.pages.tables import Table
from analysis.report import autoencoders
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap
from trainables.study_files import StudyRecord
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def analysis(tmp_path_factory, small_zoo):
    store = Store(tmp_path_factory.mktemp("study"))
    write_study(store, small_zoo)
    study = StudyRecord.open(store, "small-search", small_zoo)
    return analyze(small_zoo, study, codecs=["float16"], examples=60, inputs=(), bootstrap=Bootstrap(replicates=20))


def charts(section):
    for block in section.blocks:
        if isinstance(block, Grid):
            yield from (each for each in block.blocks if isinstance(each, Chart))


def test_figures_come_before_the_table_and_the_page_holds_them(analysis):
    section = autoencoders.autoencoders(analysis)
    assert [block.text for block in section.blocks if isinstance(block, Heading)] == [
        "What each latent does",
        "Between two networks",
        "Size of the encoding",
    ]
    assert isinstance(section.blocks[-1], Table)
    names = [chart.name for chart in charts(section)]
    assert len(names) == len(set(names)) == 2 + 2 + 2 + len(analysis.latent_results)
    page = render(analysis)
    assert "What latents hold" in page
    assert 'id="map-column"' in page
    assert '<option value="test_accuracy">' in page


def test_strongest_latents_are_drawn_first(analysis):
    told = analysis.latent_results[0].details["effects"]
    trace = autoencoders.effect_map(told).data[0]
    outputs = [row[-1] for row in trace.z]
    assert outputs == sorted(outputs, reverse=True)
    assert outputs[0] == max(told["of_outputs"])
    assert list(trace.x) == ["layer 1", "output layer", "outputs"]


def test_ways_begin_and_end_on_the_straight_line(analysis):
    lines = [trace for trace in autoencoders.along(analysis.latent_results, below=True).data if trace.fill is None]
    assert len(lines) == 3 + len(analysis.latent_results)
    for line in lines:
        assert [line.y[0], line.y[-1]] == [0, 0]
    means = autoencoders.along(analysis.latent_results, below=False).data
    told = analysis.latent_results[0].details["interpolation"]
    assert list(means[0].y) == pytest.approx(np.mean(told["matched"], axis=0))


def test_bits_are_those_of_the_rows(analysis):
    quality = declared(analysis.results)[targets(analysis.results)[0].metric]
    trials = [result for result in analysis.results if result.trial is not None and result.family == "learned"]
    points = autoencoders.bits_of_trials(trials, quality).data[0]
    assert list(points.x) == pytest.approx([result.rate * result.parameters for result in trials])
    alone = autoencoders.bits_of_networks(analysis.latent_results, quality).data[0]
    assert list(alone.x) == [8 * each for each in analysis.latent_results[0].details["alone"]["bytes"]]


def test_without_accuracy_on_the_way_it_says_why(analysis):
    bare = [
        dataclasses.replace(
            result,
            details={**result.details, "interpolation": {}},
            metrics={n: m for n, m in result.metrics.items() if not n.startswith(("halfway", "barrier"))},
        )
        for result in analysis.latent_results
    ]
    section = autoencoders.autoencoders(dataclasses.replace(analysis, latent_results=bare))
    said = [block.text for block in section.blocks if isinstance(block, Text)]
    assert any("there are no classes, or no such pairs" in text for text in said)
    assert len(section.blocks[-1].columns) == 3


def test_attention_is_drawn_where_there_is_any(analysis):
    told = {
        "name": "encoder, block 1",
        "readers": ["latent"],
        "read": ["latent", "layer 1"],
        "shares": [[0.5, 0.5]],
        "even": [0.1, 0.9],
    }
    first = analysis.latent_results[0]
    with_attention = dataclasses.replace(first, details={**first.details, "attention": [told]})
    section = autoencoders.autoencoders(dataclasses.replace(analysis, latent_results=[with_attention]))
    (chart,) = [chart for chart in charts(section) if chart.name.startswith("attention")]
    assert chart.figure.data[0].z[0] == pytest.approx([5, 5 / 9])


def test_it_is_absent_with_the_reason():
    assert autoencoders.autoencoders(make_analysis(study=False)) == (
        "no study of autoencoders was analyzed (analyze --study)"
    )
    assert autoencoders.autoencoders(make_analysis()) == "the study's codecs have no latents"
