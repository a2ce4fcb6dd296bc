"""The report's matrices of zoos, or of groups of layouts: heat maps, and means over them with margins."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.pages.figures import heat_map
from analysis.pages.numbers import shown
from analysis.pages.page import Bullets, Chart, Grid, Heading, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell
from analysis.reading.scopes import ACROSS
from analysis.reading.zoo_matrix import ZooMatrix
from analysis.record import Analysis
from analysis.statistics.intervals import Bootstrap
from trainables.readouts.metrics import KENDALL_TAU

PIXELS = 300


def crosswise(analysis: Analysis) -> Section | str:
    """Means over the matrix of zoos, who is best by what margin, and a heat map for each encoder."""
    summary = analysis.summary
    if not summary["crosswise"]:
        return "zoos are sources in turn with --crosswise"
    bootstrap = Bootstrap(seed=summary["seed"])
    zoos = (summary["zoo"], *summary["on"])
    blocks: list[Text | Heading | Table | Bullets | Grid] = [
        Text(
            "Encoders and readouts were fitted to each zoo in turn and are measured on the test networks of each other,"
            " last snapshots, without labelled networks; an encoder that applies networks to inputs takes those of the"
            " other zoo's data set, without their labels. The mean of Kendall τ_b is over all pairs of two zoos; an"
            " encoder that cannot embed the networks of a zoo has 0 there. Margins are on the same networks."
        )
    ]
    if summary["other_settings"]:
        blocks += [Text("Studies were not run alike on all zoos:"), Bullets(tuple(summary["other_settings"]))]
    for target in ACROSS:
        matrix = ZooMatrix.of(analysis.results, zoos, target)
        if matrix.others and matrix.cells:
            words = target.replace("_", " ")
            blocks += [Heading(words.capitalize()), Text(verdict(matrix, bootstrap)), means_table(matrix, bootstrap)]
            blocks.append(heat_maps(matrix, f"zoos-{target.replace('_', '-')}"))
    return Section(anchor="crosswise", heading="Zoos by zoos", blocks=tuple(blocks))


def verdict(matrix: ZooMatrix, bootstrap: Bootstrap) -> str:
    """Which encoder is best on average, and whether that is more than chance."""
    first, *others = [name for name in matrix.ranked() if matrix.learned(name)] or matrix.ranked()
    best = matrix.average(first, bootstrap)
    kind = "encoder" if matrix.learned(first) else "baseline"
    said = f"Best {kind} on average: {first}, with a mean τ_b of {shown(KENDALL_TAU, best.estimate)}."
    if not others:
        return said
    margin = matrix.margin(first, others[0], bootstrap)
    if margin.low is None:
        return said
    ends = (
        f"{shown(KENDALL_TAU, margin.estimate)} [{shown(KENDALL_TAU, margin.low)}, {shown(KENDALL_TAU, margin.high)}]"
    )
    excludes = "excludes 0" if margin.low > 0 else "does not exclude 0"
    return f"{said} Its margin over the next, {others[0]}, is {ends}: the interval {excludes}."


def means_table(matrix: ZooMatrix, bootstrap: Bootstrap) -> Table:
    """Encoders and baselines by their means, each with how far it is behind the best."""
    first, *others = matrix.ranked()
    rows = []
    for name in (first, *others):
        mean = matrix.average(name, bootstrap)
        behind = matrix.margin(first, name, bootstrap)
        cells = (
            Cell(text=name),
            metric_cell(KENDALL_TAU, mean.estimate, mean.low, mean.high),
            absent() if name == first else metric_cell(KENDALL_TAU, behind.estimate, behind.low, behind.high),
        )
        rows.append(Row(cells=cells))
    columns = (Column(title="encoder", number=False), Column(title="mean τ_b"), Column(title="behind the best"))
    return Table(caption=f"Means over pairs of zoos of {matrix.target}", columns=columns, rows=tuple(rows))


def heat_maps(matrix: ZooMatrix, anchor: str) -> Grid:
    """A heat map of τ_b for each encoder and baseline that orders at all; colors mean the same in all."""
    tables = {name: matrix.table(name) for name in matrix.ranked()}
    drawn = {name: table for name, table in tables.items() if pd.notna(table).any() and (table != 0).any()}
    least = min((float(pd.DataFrame(table).min().min()) for table in drawn.values()), default=0.0)
    short = short_names(matrix.zoos)
    charts = []
    for number, (name, table) in enumerate(drawn.items()):
        frame = pd.DataFrame(table, index=short, columns=short)
        figure = heat_map(frame, KENDALL_TAU, "fitted on %{y}<br>told of %{x}<br>τ_b %{z:.2f}", PIXELS)
        # Cells hold their values: a scale beside them would take the room that narrow windows do not have.
        figure.update_traces(zmin=min(least, 0.0), texttemplate="%{z:.2f}", showscale=False)
        figure.update_xaxes(tickangle=-35).update_yaxes(scaleanchor=False)
        label = f"{name}: Kendall τ_b of {matrix.target.replace('_', ' ')} by what it was fitted on and is told of"
        caption = f"{name}: rows were fitted on, columns are told of"
        charts.append(Chart(name=f"{anchor}-{number}", figure=figure, label=label, caption=caption))
    return Grid(blocks=tuple(charts))


def short_names(zoos: Sequence[str]) -> list[str]:
    """Names of zoos without their digests, where these are different."""
    names = [zoo.rpartition("-")[0] or zoo for zoo in zoos]
    return names if len(set(names)) == len(names) and all("-" in zoo for zoo in zoos) else list(zoos)
