"""The report's section about distances: rank correlations by hand, and why it is absent."""

import pytest
from scipy.stats import kendalltau

from analysis.analyze import analyze
from analysis.report.distances import distances, rank_correlation, spectrum_figure
from analysis.report.page import render
from analysis.statistics.intervals import Bootstrap


@pytest.fixture(scope="module")
def analysis(small_zoo):
    return analyze(
        small_zoo,
        codecs=["uniform"],
        evaluators=["fisher", "distances"],
        examples=100,
        bootstrap=Bootstrap(replicates=20),
    )


def test_a_correlation_is_kendall_s_over_all_rows_and_members(analysis):
    results = [result for result in analysis.results if result.name == "uniform"][:4]
    tau, low, high = rank_correlation(results, "fisher_kronecker", "kl", 0)
    pooled = [[value for result in results for value in result.values[name]] for name in ("fisher_kronecker", "kl")]
    assert tau == pytest.approx(kendalltau(*pooled).statistic)
    assert low <= tau <= high
    assert rank_correlation(results, "kl", "kl", 0)[0] == pytest.approx(1)


def test_the_section_is_there_where_distances_were_measured(analysis, small_zoo):
    section = distances(analysis)
    assert section.heading == "Which distance tells what is lost"
    assert [block.kind for block in section.blocks] == ["chart", "text", "table"]
    page = render(analysis)
    for distance in ("Fisher distance (Kronecker)", "length in the function metric", "relative error of the weights"):
        assert distance in page
    without = analyze(small_zoo, codecs=["uniform"], examples=100, bootstrap=Bootstrap(replicates=20))
    assert distances(without) == "distances were not measured (analyze --evaluators fisher,distances)"


def test_either_alone_has_the_section_and_fisher_information_its_spectrum(small_zoo):
    for name, kinds in (("fisher", ["chart", "text", "table"]), ("distances", ["text", "table"])):
        found = analyze(
            small_zoo, codecs=["uniform"], evaluators=[name], examples=60, members=6, bootstrap=Bootstrap(replicates=20)
        )
        assert [block.kind for block in distances(found).blocks] == kinds


def test_lines_are_medians_of_eigenvalues():
    spectra = {"originals": [[4.0, 1.0], [6.0, 3.0], [5.0, 0.0]], "uniform": [[4.0, 2.0], [4.0, 2.0], [4.0, 2.0]]}
    lines = {trace.name: list(trace.y) for trace in spectrum_figure(spectra).data if trace.name}
    assert lines == {"originals": [5.0, 1.0], "uniform": [4.0, 2.0]}
