"""The page of neurons over training."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from analysis.intervals import Bootstrap
from analysis.neurons.activations import MEAN, OF_LAYERS, OF_UNITS, SELECTIVITY
from analysis.neurons.training import PARTS, Neurons
from analysis.pages.figures import PALETTE, add_band, axis_of, base_layout, heat_map, whole_numbers
from analysis.pages.glossary import glossary
from analysis.pages.numbers import count, counted
from analysis.pages.page import Block, Chart, Code, Fact, Grid, Section, Text, render_page
from analysis.pages.tables import Cell, Column, Row, Table, metric_cell
from zoo.metric import Metric, by_name
from zoo.storage.zoo import Zoo
from zoo.words import zooscale

METRICS = by_name((*OF_UNITS, *OF_LAYERS))
TAU = Metric(
    name="tau",
    label="Kendall's τ_b",
    description="Between what a layer does on test examples at the last snapshot and the generalization gap, over"
    " members.",
)
DRAWN = (MEAN.name, SELECTIVITY.name)


def render(zoo: Zoo, neurons: Neurons, bootstrap: Bootstrap, made_on: datetime.date | None = None) -> str:
    """Writes the page as one self-contained HTML file.

    Args:
        zoo: The zoo.
        neurons: What was found.
        bootstrap: How intervals are drawn.
        made_on: The date that the page bears; today where ``None``.
    """
    made_on = made_on or datetime.datetime.now(datetime.UTC).date()
    members, layers = neurons.layers["member"].nunique(), sorted(neurons.layers["layer"].unique())
    epochs = sorted(neurons.layers["epoch"].unique())
    return render_page(
        title=f"Neurons of {zoo.name.rpartition('-')[0]} over training",
        lead=f"What hidden units do on whole data sets, from snapshot to snapshot. {made_on:%-d %B %Y}.",
        facts=[
            Fact(name="Networks", value=count(members), detail="held out"),
            Fact(name="Hidden layers", value=count(len(layers)), detail=""),
            Fact(name="Snapshots", value=count(len(epochs)), detail=f"epochs {epochs[0]} to {epochs[-1]}"),
            Fact(name="Examples", value=count(neurons.examples), detail="of training, and as many of test"),
        ],
        sections=[
            Section(anchor="layers", heading="Layer by layer", blocks=tuple(_bands(neurons))),
            Section(anchor="neurons", heading="Neuron by neuron", blocks=tuple(_heat_maps(neurons))),
            Section(
                anchor="gap",
                heading="Neurons and the generalization gap",
                short="Gap",
                blocks=tuple(_gap(neurons, bootstrap)),
            ),
            Section(anchor="glossary", heading="Glossary", blocks=(glossary([*METRICS.values(), TAU], []),)),
            Section(anchor="reproduce", heading="Make it again", blocks=(Code(zooscale("neurons", zoo.name)),)),
        ],
    )


def _bands(neurons: Neurons) -> Iterator[Block]:
    """For each metric its course, by layer, on training and test examples."""
    yield Text("Lines are medians over members, bands hold 90 % of them; dashed lines are on training examples.")
    charts = []
    for metric in METRICS.values():
        known = neurons.layers.dropna(subset=[metric.name])
        if not len(known):
            continue
        figure = go.Figure(layout=base_layout(300))
        for number, layer in enumerate(sorted(known["layer"].unique())):
            color = PALETTE[number % len(PALETTE)]
            for part in reversed(PARTS):
                own = known[(known["layer"] == layer) & (known["part"] == part)]
                quantiles = own.groupby("epoch")[metric.name].quantile([0.05, 0.5, 0.95]).unstack()
                quantiles.columns = pd.Index(["p5", "median", "p95"])
                add_band(figure, quantiles.index.tolist(), quantiles, color, f"layer {layer}", band=part == "test")
                if part == "train":
                    figure.data[-1].update(line_dash="dash", mode="lines", showlegend=False)
        epochs = known["epoch"].unique().tolist()
        figure.update_xaxes(title_text="epoch", **whole_numbers(epochs))
        figure.update_yaxes(**axis_of(metric))
        figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 40})
        charts.append(
            Chart(
                name=f"layers-{metric.name.replace('_', '-')}",
                figure=figure,
                label=f"{metric.label} by epoch",
                narrow=True,
            )
        )
    yield Grid(tuple(charts))


def _heat_maps(neurons: Neurons) -> Iterator[Block]:
    """Each unit of one member by epoch, as it is and as the mean over all epochs so far."""
    member = int(neurons.units["member"].iloc[0])
    yield Text(
        f"Each row is a unit of member {member} on test examples, in the order of the last snapshot. Beside it the same"
        " as the mean over all epochs so far: cumulative curves settle whether or not the units do, since every further"
        " epoch weighs less, so that a unit which changes its role late is seen in the left picture alone."
    )
    for name in DRAWN:
        metric, charts = METRICS[name], []
        for kind, frame in (("single", neurons.units), ("cumulative", neurons.cumulative(name))):
            own = frame[(frame["member"] == member) & (frame["part"] == "test") & (frame["layer"] == 1)]
            table = own.pivot_table(index="unit", columns="epoch", values=name)
            table = table.loc[table[table.columns[-1]].sort_values(ascending=False).index]
            said = f"unit %{{y}}, epoch %{{x}}<br>{metric.label} %{{z:.3g}}"
            figure = heat_map(table, metric, said, 380)
            figure.data[0].update(zmax=float(table.to_numpy().max()), zmin=float(table.to_numpy().min()))
            figure.update_yaxes(scaleanchor=None, title_text="unit of layer 1")
            figure.update_xaxes(title_text="epoch")
            label = f"{metric.label}, {'epoch by epoch' if kind == 'single' else 'mean over epochs so far'}"
            charts.append(
                Chart(name=f"units-{name}-{kind}", figure=figure, label=label, caption=label.capitalize(), narrow=True)
            )
        yield Grid(tuple(charts))


def _gap(neurons: Neurons, bootstrap: Bootstrap) -> Iterator[Block]:
    told = neurons.with_gap(bootstrap)
    if not len(told):
        yield Text("Members do not differ in their generalization gap, or it is not known.")
        return
    yield Text(
        f"Over {counted(neurons.layers['member'].nunique(), 'member')}: does what a layer does at the last snapshot go"
        f" along with the generalization gap? {TAU.label} with its 95 % interval."
    )
    rows = tuple(
        Row(cells=(
            Cell(text=f"layer {row.layer}"), Cell(text=METRICS[row.metric].label),
            metric_cell(TAU, row.tau, row.low, row.high),
        ))
        for row in told.itertuples()
    )  # fmt: skip
    columns = (Column(title="layer", number=False), Column(title="statistic", number=False), Column(title=TAU.label))
    yield Table(caption="Rank correlation with the generalization gap", columns=columns, rows=rows)
