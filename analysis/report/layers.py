"""The report's section about hidden layers: how alike those of originals and of reconstructions are, layer by layer.

Shape letters: M members, L layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.compression.headlines import targets
from analysis.evaluators.layers import AGREEMENT, CKA, ERROR, EXAMPLES, LAYERS, OTHERS
from analysis.measuring.results import Result
from analysis.pages.distributions import described_each
from analysis.pages.figures import GRAY, LEGEND_ABOVE, add_band, axis_of, base_layout, heat_map
from analysis.pages.numbers import count, shown
from analysis.pages.page import Chart, Grid, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, metric_cell, metric_column, number_cell
from analysis.record import Analysis
from analysis.report.figures import label, style
from analysis.report.rate_figures import Loss
from zoo.metric import Metric

METRICS = {measure.metric.name: measure.metric for measure in LAYERS.measures}
TITLES = {CKA: "CKA (log scale of what is missing)", AGREEMENT: "agreement of units", ERROR: "error (log scale)"}
CAPTIONS = {
    CKA: "Linear CKA, layer by layer; the axis spreads out towards 1. Dashed: two different networks of the"
    " zoo, which tells what such a number is worth.",
    AGREEMENT: "Agreement of matched units: on the same side of the original unit's mean. Colors as above.",
    ERROR: "Error of matched units over the layer's standard deviation: at 1 nothing is left. Colors as above.",
}
# Codecs whose bands are drawn: more hide each other.
DRAWN = 4
# Errors beyond are drawn no further: nothing is left long before.
MOST_ERROR = 20.0
# Layers of a map in which values are written.
MOST_WRITTEN = 5
ANOTHER = "another network"
KEPT = Loss(perfect=1, factor=1, ticks=(1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 0.8), floor=1e-6)


@dataclass(frozen=True)
class Compared:
    """Some networks' layers beside others'.

    Attributes:
        result: Of which row.
        of: What is added to the names of its values: nothing for reconstructions, ``OTHERS`` for other networks.
    """

    result: Result
    of: str = ""

    @property
    def name(self) -> str:
        """What the others are."""
        return ANOTHER if self.of else label(self.result)

    @property
    def color(self) -> str:
        """Of its line."""
        return GRAY if self.of else style(self.result.name, self.result.family).color

    @property
    def layers(self) -> list[str]:
        """What layers are called; the last one is the outputs."""
        layers = sum(name.startswith(f"{ERROR} ") for name in self.result.values)
        return [*(f"layer {number}" for number in range(1, layers)), "outputs"]

    def by_layer(self, metric: str) -> np.ndarray:
        """Of each layer beside the one of the same number: ``[L, M]``."""
        numbers = range(1, len(self.layers) + 1)
        names = [f"{metric}{self.of} {number}" + (f" {number}" if metric == CKA else "") for number in numbers]
        return np.array([self.result.values[name] for name in names])

    def crosswise(self) -> pd.DataFrame:
        """Mean CKA of each layer of the originals with each layer of the others."""
        numbers = range(1, len(self.layers) + 1)
        rows = [
            [float(np.mean(self.result.values[f"{CKA}{self.of} {row} {column}"])) for column in numbers]
            for row in numbers
        ]
        return pd.DataFrame(rows, index=self.layers, columns=self.layers)


def layers(analysis: Analysis) -> Section | str:
    """How alike hidden layers are; why not, where it was not measured."""
    measured = [result for result in analysis.results if f"{CKA} 1 1" in result.values]
    if not measured and LAYERS.name in analysis.summary["added_evaluators"]:
        return "networks have no hidden layers, or not all of the same shapes"
    if not measured:
        return "hidden layers were not compared (analyze --evaluators layers)"
    chosen = [Compared(result) for result in nearest_to_target(measured)[:DRAWN]]
    others = [Compared(measured[0], OTHERS)] if f"{CKA}{OTHERS} 1 1" in measured[0].values else []
    coarsest = min(
        (result for result in measured if result.name == chosen[0].result.name), key=lambda result: result.rate
    )
    mapped = [chosen[0], *([Compared(coarsest)] if coarsest is not chosen[0].result else []), *others]
    charts = {name: _chart(name, [*chosen, *others]) for name in (CKA, AGREEMENT, ERROR)}
    return Section(
        anchor="layers",
        heading="Layer by layer",
        blocks=(
            Text(_said(chosen, others)),
            charts[CKA],
            Grid((charts[AGREEMENT], charts[ERROR])),
            Grid(tuple(_maps(mapped)), small=len(mapped) > 2),
            layers_table([Compared(result) for result in measured], others),
        ),
    )


def _chart(name: str, compared: Sequence[Compared]) -> Chart:
    return Chart(
        name=name.replace("_", "-"),
        figure=bands(compared, name),
        label=f"Chart of {METRICS[name].label} by layer",
        caption=CAPTIONS[name],
        narrow=name != CKA,
    )


def _maps(compared: Sequence[Compared]) -> Iterator[Chart]:
    tables = [one.crosswise() for one in compared]
    least = min(float(table.to_numpy().min()) for table in tables)
    for number, (one, table) in enumerate(zip(compared, tables, strict=True)):
        yield Chart(
            name=f"layers-by-layers-{number}",
            figure=layer_map(table, least, "other" if one.of else "reconstruction"),
            label=f"CKA of each layer of the originals with each layer of {one.name}",
            caption=f"CKA of layers of the originals with those of {one.name}: means over networks.",
            narrow=True,
        )


def nearest_to_target(results: Sequence[Result]) -> list[Result]:
    """Of each codec that is no control the setting nearest to the first target, by rate."""
    target = targets(results)[0]
    found: dict[str, list[tuple[float, float, Result]]] = {}
    for result in results:
        value = result.value(target.metric)
        if result.family != "control" and value is not None:
            found.setdefault(result.name, []).append((abs(value - target.value), result.rate, result))
    nearest = [min(own, key=lambda one: one[:2])[2] for own in found.values()]
    return sorted(nearest or results[:1], key=lambda result: result.rate)


def bands(compared: Sequence[Compared], name: str) -> go.Figure:
    """A line through medians over members and a band of 90 % of them for each, by layer."""
    figure, metric = go.Figure(layout=base_layout(430 if name == CKA else 340)), METRICS[name]
    titles = compared[0].layers
    places, low, high = list(range(len(titles))), np.inf, 0.0
    for one in compared:
        values_LM = one.by_layer(name)
        if name == CKA:
            values_LM = np.maximum(1 - values_LM, KEPT.floor)
        elif name == ERROR:
            values_LM = np.maximum(values_LM, KEPT.floor)
        quantiles = described_each(values_LM)
        add_band(figure, places, quantiles, one.color, one.name, band=True)
        medians_L = np.median(one.by_layer(name), axis=1)
        said = [
            f"{one.name}, {title}: {_digits(value, metric)}" for title, value in zip(titles, medians_L, strict=True)
        ]
        figure.data[-1].update(text=said, hovertemplate="%{text}<extra></extra>")
        if one.of:
            figure.data[-1].update(line_dash="dash")
        low, high = min(low, float(quantiles["p5"].min())), max(high, float(quantiles["p95"].max()))
    figure.update_xaxes(tickvals=places, ticktext=titles, range=[-0.3, len(titles) - 0.7])
    figure.update_yaxes(**axis_of(metric))
    if name == CKA:
        ticks = [tick for tick in KEPT.ticks if low / 2 <= tick <= 1.2 * high]
        figure.update_yaxes(
            type="log",
            range=[np.log10(1.3 * high), np.log10(low / 1.3)],
            tickvals=ticks,
            ticktext=[KEPT.tick_label(tick) for tick in ticks],
        )
    elif name == ERROR:
        top = min(high, MOST_ERROR)
        ends = [np.log10(low / 1.3), np.log10(1.3 * top)]
        figure.update_yaxes(type="log", range=ends, dtick="D2" if top / low < 1e3 else 1, tickformat=",~g")
    figure.update_yaxes(title_text=TITLES[name])
    return figure.update_layout(LEGEND_ABOVE if name == CKA else {"showlegend": False})


def layer_map(table: pd.DataFrame, least: float, title: str) -> go.Figure:
    """CKA of layers of the originals by layers of others; colors begin at the least value."""
    figure = heat_map(table, METRICS[CKA], f"%{{y}} of the original, %{{x}} of the {title}<br>CKA %{{z:.4f}}", 330)
    # More digits than that do not fit into the fields of deep networks.
    figure.data[0].update(zmin=least, texttemplate="%{z:.3f}" if len(table) <= MOST_WRITTEN else None)
    figure.update_yaxes(title_text="original")
    return figure.update_xaxes(title_text=title)


def layers_table(compared: Sequence[Compared], others: Sequence[Compared]) -> Table:
    """Every row's layers: medians over members, and below the range of 90 % of them."""
    titles = compared[0].layers
    columns = [(name, number) for name in (CKA, ERROR) for number in range(len(titles))]
    words = {CKA: "CKA", ERROR: "error"}
    quality = compared[0].result.metrics[targets([compared[0].result])[0].metric].metric
    return Table(
        caption="Layers of originals and reconstructions; below medians the range of 90 % of the networks",
        columns=(
            Column(title="codec", number=False),
            Column(title="bits per weight"),
            metric_column(quality),
            *(Column(title=f"{words[name]}, {titles[number]}") for name, number in columns),
        ),
        rows=tuple(
            Row(
                cells=(
                    Cell(text=one.name, color=one.color),
                    absent() if one.of else number_cell(one.result.rate),
                    absent() if one.of else metric_cell(quality, one.result.value(quality.name)),
                    *(_cell(METRICS[name], one.by_layer(name)[number]) for name, number in columns),
                )
            )
            for one in [*others, *compared]
        ),
    )


def _cell(metric: Metric, values_M: np.ndarray) -> Cell:
    low, middle, high = np.quantile(values_M, [0.05, 0.5, 0.95])
    span = f"{_digits(low, metric)} … {_digits(high, metric)}"
    return Cell(text=_digits(middle, metric), sort=float(middle), interval=span)


def _digits(value: float, metric: Metric) -> str:
    return f"{value:.4f}" if metric.name == CKA else shown(metric, value)


def _said(chosen: Sequence[Compared], others: Sequence[Compared]) -> str:
    """What is compared, and the figures of the first codec."""
    first = chosen[0]
    medians_L = np.median(first.by_layer(CKA), axis=1)[:-1]
    least = int(medians_L.argmin())
    which = f"is least in {first.layers[least]} of {len(medians_L)}" if len(medians_L) > 1 else "of the hidden layer is"
    text = (
        f"What every layer gives on {count(min(EXAMPLES, first.result.examples))} test examples after its activation,"
        " in the original and in the reconstruction. CKA compares all that a layer gives, whatever the order of its"
        " units; for agreement and error, units are matched one to one, each on the scale that fits best: codecs that"
        " put ReLU units on other scales change CKA, and the network not at all. Lines are medians over networks, bands"
        " and what stands below medians in the table hold 90 % of them. Every codec is drawn at its setting nearest to"
        f" {targets([first.result])[0].words}. With {first.name} the median CKA {which}"
        f"{':' if len(medians_L) > 1 else ''} {medians_L[least]:.4f}"
    )
    if others:
        return f"{text}; that of two different networks of the zoo is {np.median(others[0].by_layer(CKA)[least]):.4f}."
    return f"{text}."
