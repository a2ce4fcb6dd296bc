"""The report's section about hidden layers: which rows it draws, its figures by hand, and why it is absent."""

import dataclasses

import numpy as np
import pytest

from analysis.analyze import analyze
from analysis.pages.page import Chart, Grid
from analysis.report.layers import OTHERS, Compared, bands, layers, nearest_to_target
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap

BOOTSTRAP = Bootstrap(replicates=20)


@pytest.fixture(scope="module")
def analysis(small_zoo):
    codecs = ["uniform", "kmeans"]
    return analyze(small_zoo, codecs=codecs, evaluators=["layers"], examples=100, bootstrap=BOOTSTRAP)


def test_of_each_codec_the_setting_nearest_to_the_target_is_drawn(analysis):
    chosen = nearest_to_target(analysis.results)
    assert sorted(result.name for result in chosen) == ["kmeans", "uniform"]
    for result in chosen:
        distances = [
            abs(each.metrics["agreement"].estimate - 0.97) for each in analysis.results if each.name == result.name
        ]
        assert abs(result.metrics["agreement"].estimate - 0.97) == min(distances)


def test_values_are_put_together_by_layer(analysis):
    result = next(result for result in analysis.results if result.name == "uniform")
    compared, others = Compared(result), Compared(result, OTHERS)
    assert compared.layers == ["layer 1", "outputs"]
    assert compared.by_layer("layer_cka")[1].tolist() == list(result.values["layer_cka 2 2"])
    assert compared.by_layer("layer_error")[0].tolist() == list(result.values["layer_error 1"])
    assert others.by_layer("layer_cka")[0].tolist() == list(result.values["layer_cka_others 1 1"])
    assert compared.crosswise().loc["layer 1", "outputs"] == pytest.approx(np.mean(result.values["layer_cka 1 2"]))


def test_lines_are_medians_of_what_is_missing(analysis):
    compared = Compared(nearest_to_target(analysis.results)[0])
    line = bands([compared], "layer_cka").data[-1]
    assert list(line.y) == pytest.approx(np.median(1 - compared.by_layer("layer_cka"), axis=1))
    line = bands([compared], "layer_error").data[-1]
    assert list(line.y) == pytest.approx(np.median(compared.by_layer("layer_error"), axis=1))


def test_figures_come_first_and_the_page_holds_them(analysis):
    section = layers(analysis)
    assert [type(block) for block in section.blocks[1:4]] == [Chart, Grid, Grid]
    assert "of two different networks of the zoo is" in section.blocks[0].text
    table = section.blocks[-1]
    assert len(table.rows) == 1 + len(analysis.results)
    assert "Layer by layer" in render(analysis)


def test_it_is_absent_with_the_reason(analysis, small_zoo):
    without = analyze(small_zoo, codecs=["float16"], examples=50, bootstrap=BOOTSTRAP)
    assert layers(without) == "hidden layers were not compared (analyze --evaluators layers)"
    bare = [dataclasses.replace(result, values={}) for result in analysis.results]
    straight = dataclasses.replace(analysis, results=bare)
    assert layers(straight) == "networks have no hidden layers, or not all of the same shapes"
