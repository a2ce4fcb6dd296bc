"""The report's section about distances of weights: which of them tells what a reconstruction loses.

Shape letters: R rows (codecs at settings), M members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.evaluators.distances import DISTANCES
from analysis.evaluators.fisher import FISHER, SPECTRUM_EXAMPLES
from analysis.evaluators.weights import WEIGHTS
from analysis.measuring.results import Result, declared
from analysis.pages.distributions import described_each
from analysis.pages.figures import LEGEND_ABOVE, PALETTE, add_band, base_layout
from analysis.pages.numbers import counted
from analysis.pages.page import Block, Chart, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, metric_cell
from analysis.record import Analysis
from analysis.report.boundaries import shown_result
from analysis.report.figures import label
from analysis.statistics.intervals import Bootstrap
from trainables.readouts.scores import kendall_tau
from zoo.metric import Metric

# What is lost: divergence of the predictions, and accuracy in points.
LOST = ("kl", "accuracy_drop_pp")
# Rows that are compared, evenly spaced, and replicates of an interval: correlations of so many pairs are slow.
ROWS, REPLICATES = 24, 60
# Of the largest eigenvalue, what is drawn of the others.
LEAST_EIGENVALUE = 1e-8
TAU = Metric(
    name="rank_correlation",
    label="rank correlation",
    direction="max",
    description="Kendall's τ_b over reconstructed networks of all codecs.",
)


def distances(analysis: Analysis) -> Section | str:
    """How well each distance orders reconstructions by what they lose; why not, where it was not measured."""
    names = [measure.source for evaluator in (FISHER, DISTANCES) for measure in evaluator.measures]
    results = [result for result in analysis.results if result.members == analysis.summary["test_members"]]
    results = [result for result in results if LOST[0] in result.values and set(names) & set(result.values)]
    if len(results) < 2:
        return "distances were not measured (analyze --evaluators fisher,distances)"
    chosen = [results[place] for place in np.unique(np.linspace(0, len(results) - 1, ROWS).astype(int))]
    lost = [name for name in LOST if all(name in result.values for result in chosen)]
    metrics = declared(chosen)
    rows = []
    for name in [*names, *(measure.source for measure in WEIGHTS.measures)]:
        if name not in chosen[0].values:
            continue
        cells = []
        for target in lost:
            tau, low, high = rank_correlation(chosen, name, target, analysis.summary["seed"])
            cells.append(metric_cell(TAU, tau, low, high))
        rows.append(Row(cells=(Cell(text=metrics[name].label), *cells)))
    columns = (Column(title="distance", number=False), *(Column(title=metrics[name].label) for name in lost))
    return Section(
        anchor="distances",
        heading="Which distance tells what is lost",
        short="Distances",
        blocks=(
            *_spectrum(results),
            Text(
                f"Kendall's τ_b between a distance of a network's weights from its reconstruction's and what the"
                f" reconstruction loses, over {len(chosen)} rows and {chosen[0].members} networks each, with 95 %"
                " intervals over networks. 1 is the same order, 0 none."
            ),
            Table(caption="Rank correlation of distances with what is lost", columns=columns, rows=tuple(rows)),
        ),
    )


def rank_correlation(results: Sequence[Result], name: str, target: str, seed: int) -> tuple[float, float, float]:
    """τ_b over all rows and members with its interval, members resampled."""
    distance_RM, lost_RM = (np.array([result.values[each] for result in results]) for each in (name, target))

    def statistics(_fit: int, rows_M: np.ndarray) -> dict[str, float]:
        return {TAU.name: kendall_tau(lost_RM[:, rows_M].ravel(), distance_RM[:, rows_M].ravel())}

    bootstrap = Bootstrap(replicates=REPLICATES, seed=seed)
    found = bootstrap.of_statistics(statistics, distance_RM.shape[1], bounds={TAU.name: (-1.0, 1.0)})[TAU.name]
    return found.estimate, found.low or found.estimate, found.high or found.estimate


def _spectrum(results: Sequence[Result]) -> list[Block]:
    """The figure of spectra: of the codec whose boundaries would be shown, there and with its fewest bits."""
    measured = [result for result in results if FISHER.name in result.details]
    if not measured:
        return []
    shown = shown_result(measured)
    coarsest = min((result for result in measured if result.name == shown.name), key=lambda result: result.rate)
    found = shown.details[FISHER.name]
    drawn = {"originals": found["original"]}
    for result in (shown, coarsest):
        drawn[label(result)] = result.details[FISHER.name]["reconstructed"]
    return [
        Chart(
            name="fisher-spectrum",
            figure=spectrum_figure(drawn),
            label="Chart of eigenvalues of the Fisher information, before and after",
            caption=f"The largest eigenvalues of the Fisher information on {SPECTRUM_EXAMPLES} test examples, of"
            f" {counted(len(found['rows']), 'network')} and of their reconstructions: medians and the range of 90 %."
            " Predictions depend on few directions of the weights.",
        )
    ]


def spectrum_figure(spectra: Mapping[str, Sequence[Sequence[float]]]) -> go.Figure:
    """Eigenvalues by their rank: for each name a line through medians over networks and a band."""
    figure = go.Figure(layout=base_layout(380))
    least = LEAST_EIGENVALUE * max(max(values) for values in next(iter(spectra.values())))
    for (name, values), color in zip(spectra.items(), PALETTE, strict=False):
        table = described_each(np.maximum(np.array(values), least).T)
        add_band(figure, range(1, len(table) + 1), table, color, name, band=True)
    figure.update_traces(mode="lines", selector={"mode": "lines+markers"})
    figure.update_xaxes(type="log", title_text="rank (log scale)")
    figure.update_yaxes(type="log", dtick=1, title_text="eigenvalue (log scale)", exponentformat="power")
    return figure.update_layout(LEGEND_ABOVE)
