import math
import re

import pytest
from example_analysis import CONTROLS, CURVES, PARAMETERS, TRIALS, make_analysis, make_result

from analysis.compression.headlines import TARGETS
from analysis.compression.rates import total_bits_per_weight
from analysis.pages.figures import PALETTE
from analysis.pages.page import ASSETS
from analysis.report.figures import COLORS, style
from analysis.report.rate_figures import rate_quality
from analysis.report.scatter_panels import scatter_data

AGREEMENT, SHIFT, OUTPUTS = TARGETS
PAIR = ("accuracy_original", "accuracy_reconstructed")


def traces(figure, role):
    return [trace for trace in figure.data if (trace.meta or {}).get("role") == role]


def test_a_codec_looks_the_same_in_every_figure():
    results = make_analysis().results
    looks = {}
    for figure in (
        rate_quality(results, AGREEMENT),
        rate_quality(results, SHIFT),
        rate_quality(results, AGREEMENT, amortized=True),
    ):
        for trace in (*traces(figure, "codec"), *traces(figure, "control")):
            assert looks.setdefault(trace.name, (trace.marker.color, trace.marker.symbol)) == (
                trace.marker.color,
                trace.marker.symbol,
            )
    assert len(set(looks.values())) == len(looks) == len(CURVES) + 2
    data = scatter_data(results, PAIR)["results"]
    assert {row["color"] for row, r in zip(data, results, strict=True) if r.name == "sz3"} == {looks["sz3"][0]}


def test_a_codec_looks_the_same_in_every_report():
    everything = make_analysis().results
    alone = [result for result in everything if result.name in ("sz3", "index", "autoencoder")]
    looks = []
    for results in (everything, alone[::-1]):
        found = {trace.name: trace.marker for trace in rate_quality(results, AGREEMENT).data}
        looks.append([(found[name].color, found[name].symbol) for name in ("sz3", "index", "autoencoder")])
    assert looks[0] == looks[1]
    assert style("my_codec:BYTES", "classical").color == "#a9744f"
    assert style("uniform", "control") == style("uniform", "classical")  # on untrained networks
    assert style("uniform (searched)", "learned") != style("uniform", "classical")


def luminance(color):
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", sorted({*PALETTE, *(color for colors in COLORS.values() for color in colors)}))
def test_colors_are_legible_on_light_and_dark_ground(color):
    css = (ASSETS / "page.css").read_text()
    grounds = re.findall(r"--paper: (#\w+)", css)
    assert len(grounds) == 2
    for ground in (f"#{''.join(2 * digit for digit in each[1:])}" if len(each) == 4 else each for each in grounds):
        dim, bright = sorted((luminance(color), luminance(ground)))
        assert (bright + 0.05) / (dim + 0.05) >= 3


def test_points_intervals_and_controls_are_where_they_belong():
    results = make_analysis().results
    figure = rate_quality(results, AGREEMENT)
    uniform = next(trace for trace in traces(figure, "codec") if trace.name == "uniform")
    measured = [r for r in results if r.name == "uniform"]
    assert list(uniform.x) == [r.rate for r in measured]
    assert list(uniform.y) == pytest.approx([100 * (1 - r.value("agreement")) for r in measured])
    upper = [y + up for y, up in zip(uniform.y, uniform.error_y.array, strict=True)]
    lower = [y - down for y, down in zip(uniform.y, uniform.error_y.arrayminus, strict=True)]
    assert upper == pytest.approx([100 * (1 - r.metrics["agreement"].low) for r in measured])
    assert lower == pytest.approx([100 * (1 - r.metrics["agreement"].high) for r in measured])

    assert {trace.name for trace in traces(figure, "line")} == {name for name, _ in CONTROLS}
    constant = next(trace for trace in traces(figure, "line") if trace.name == "constant member")
    assert list(constant.y) == pytest.approx([28.8] * len(constant.y))
    assert [trace.name for trace in traces(figure, "control")] == ["index"]


def test_axis_is_labelled_with_what_is_kept():
    figure = rate_quality(make_analysis().results, AGREEMENT)
    labels = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True))
    assert labels[3] == "97"
    assert labels[10] == "90"
    lossless = next(trace for trace in figure.data if trace.name == "zstd")
    assert labels[lossless.y[0]] == "100"
    low, high = figure.layout.yaxis.range
    assert low > high
    assert figure.layout.yaxis.title.text == "agreement (%)"
    assert figure.layout.xaxis.title.text == "code bits per weight (log scale)"


def test_front_is_the_pareto_front():
    analysis = make_analysis()
    figure = rate_quality(analysis.results, AGREEMENT)
    (front,) = traces(figure, "front")
    # What loses less than the axis can show is drawn as lossless, the cheapest of it once.
    expected = dict.fromkeys(max(100 * (1 - result.value("agreement")), 0.05) for result in analysis.pareto)
    assert list(front.y)[:-1] == pytest.approx(list(expected))
    assert front.x[-1] == pytest.approx(10 ** figure.layout.xaxis.range[1])


def test_meta_carries_what_the_slider_needs():
    figure = rate_quality(make_analysis().results, AGREEMENT, amortized=True)
    learned = next(trace for trace in traces(figure, "codec") if trace.name == "autoencoder")
    for code, shared, (_, rate, _, shared_bytes) in zip(
        learned.meta["code"], learned.meta["shared"], TRIALS, strict=True
    ):
        for models in (1, 1000, math.inf):
            assert code + shared / models == pytest.approx(
                total_bits_per_weight(rate, shared_bytes, PARAMETERS, models)
            )
    low, high = (10**end for end in figure.layout.xaxis.range)
    assert low < min(learned.meta["code"])
    assert high > max(c + s for c, s in zip(learned.meta["code"], learned.meta["shared"], strict=True))


def test_originals_that_are_the_same_are_stored_once():
    results = [
        make_result("uniform", "classical", "step=1", 2.0, 0.97),
        make_result("uniform", "classical", "step=1", 2.0, 0.97),
        make_result("uniform", "classical", "step=2", 1.0, 0.9),
    ]
    data = scatter_data(results, PAIR)
    assert [row["original"] for row in data["results"]] == [0, 0, 1]
    assert len(data["originals"]) == 2
