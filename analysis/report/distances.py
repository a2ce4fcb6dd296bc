"""The report's section about distances of weights: which of them tells what a reconstruction loses.

Shape letters: R rows (codecs at settings), M members.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.evaluators.distances import DISTANCES
from analysis.evaluators.weights import WEIGHTS
from analysis.intervals import Bootstrap
from analysis.pages.page import Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, metric_cell
from analysis.record import Analysis
from analysis.results import Result, declared
from trainables.readouts.scores import kendall_tau
from zoo.metric import Metric

# What is lost: divergence of the predictions, and accuracy in points.
LOST = ("kl", "accuracy_drop_pp")
# Rows that are compared, evenly spaced, and replicates of an interval: correlations of so many pairs are slow.
ROWS, REPLICATES = 24, 60
TAU = Metric(
    name="rank_correlation",
    label="rank correlation",
    direction="max",
    description="Kendall's τ_b over reconstructed networks of all codecs.",
)


def distances(analysis: Analysis) -> Section | str:
    """How well each distance orders reconstructions by what they lose; why not, where it was not measured."""
    names = [measure.source for evaluator in (DISTANCES, WEIGHTS) for measure in evaluator.measures]
    wanted = [names[0], LOST[0]]
    results = [result for result in analysis.results if all(name in result.values for name in wanted)]
    results = [result for result in results if result.members == analysis.summary["test_members"]]
    if len(results) < 2:
        return "distances were not measured (analyze --evaluators distances)"
    chosen = [results[place] for place in np.unique(np.linspace(0, len(results) - 1, ROWS).astype(int))]
    lost = [name for name in LOST if all(name in result.values for result in chosen)]
    metrics = declared(chosen)
    rows = []
    for name in names:
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
