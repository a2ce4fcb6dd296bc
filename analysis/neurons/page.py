"""The page of neurons over training."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.neurons.activations import (
    DEAD,
    KEPT,
    MEAN,
    OF_LAYERS,
    OF_UNITS,
    RANK,
    SELECTIVITY,
    SPARSITY,
    VARIANCE,
)
from analysis.neurons.training import PARTS, Neurons
from analysis.pages.distributions import described_each
from analysis.pages.figures import (
    LEGEND_ABOVE,
    PALETTE,
    add_band,
    axis_of,
    base_layout,
    error_bars,
    heat_map,
    over_epochs,
    whole_numbers,
)
from analysis.pages.glossary import glossary
from analysis.pages.numbers import count, counted
from analysis.pages.page import Block, Chart, Code, Fact, Grid, Section, Text, render_page
from analysis.pages.tables import Cell, Column, Row, Table, metric_cell
from analysis.statistics.intervals import Bootstrap, Interval
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
OVER_DEPTHS = (VARIANCE.name, SPARSITY.name, SELECTIVITY.name, RANK.name, DEAD.name, KEPT.name)
WHERE = {"first": "first", "last": "last", "mean": "mean over all"}


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
            Fact(name="Networks", value=count(members), detail="of all splits: nothing is fitted"),
            Fact(name="Hidden layers", value=count(len(layers)), detail="at most" if several_depths(neurons) else ""),
            Fact(name="Snapshots", value=count(len(epochs)), detail=f"epochs {epochs[0]} to {epochs[-1]}"),
            Fact(name="Examples", value=count(neurons.examples), detail="of training, and as many of test"),
        ],
        sections=[
            Section(anchor="layers", heading="Layer by layer", blocks=tuple(_bands(neurons))),
            *_depths(neurons, bootstrap),
            Section(
                anchor="neurons",
                heading="Neuron by neuron",
                blocks=(*_heat_maps(neurons), *_settling(neurons)),
            ),
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


def several_depths(neurons: Neurons) -> bool:
    """Whether networks have different numbers of hidden layers."""
    return bool(neurons.layers["depth"].nunique() > 1)


def _bands(neurons: Neurons) -> Iterator[Block]:
    """For each metric its course, by layer, on training and test examples."""
    deepest = neurons.layers["depth"].max()
    yield Text(
        "Lines are medians over members, bands hold 90 % of them; dashed lines are on training examples."
        + f" Networks of {deepest} hidden layers, the deepest, are shown." * several_depths(neurons)
    )
    charts = []
    for metric in METRICS.values():
        known = neurons.layers[neurons.layers["depth"] == deepest].dropna(subset=[metric.name])
        if not len(known):
            continue
        figure = over_epochs(known["epoch"], metric, 300)
        for number, layer in enumerate(sorted(known["layer"].unique())):
            color = PALETTE[number % len(PALETTE)]
            for part in reversed(PARTS):
                own = known[(known["layer"] == layer) & (known["part"] == part)]
                values = dict(iter(own.groupby("epoch")[metric.name]))
                quantiles = described_each(values.values())
                add_band(figure, list(values), quantiles, color, f"layer {layer}", band=part == "test")
                if part == "train":
                    figure.data[-1].update(line_dash="dash", mode="lines", showlegend=False)
        figure.update_layout(LEGEND_ABOVE)
        charts.append(
            Chart(
                name=f"layers-{metric.name.replace('_', '-')}",
                figure=figure,
                label=f"{metric.label} by epoch",
                narrow=True,
            )
        )
    yield Grid(tuple(charts))


def _depths(neurons: Neurons, bootstrap: Bootstrap) -> Iterator[Section]:
    """At the last snapshot, layer by layer for each depth, where there are several."""
    if not several_depths(neurons):
        return
    last = neurons.layers[
        (neurons.layers["epoch"] == neurons.layers["epoch"].max()) & (neurons.layers["part"] == "test")
    ]
    charts = []
    for metric in (METRICS[name] for name in OVER_DEPTHS):
        figure = go.Figure(layout=base_layout(300))
        for number, (depth, own) in enumerate(last.groupby("depth")):
            rows = [(layer, _mean(of_layer, metric.name, bootstrap)) for layer, of_layer in own.groupby("layer")]
            figure.add_scatter(
                x=[layer for layer, _ in rows],
                y=[one.estimate for _, one in rows],
                error_y=error_bars(*zip(*((one.estimate, one.low, one.high) for _, one in rows), strict=True), width=3),
                mode="lines+markers",
                line={"color": PALETTE[number % len(PALETTE)], "width": 2},
                name=f"{depth} layers" if depth > 1 else "1 layer",
            )
        figure.update_xaxes(title_text="hidden layer", **whole_numbers(last["layer"].unique().tolist()))
        figure.update_yaxes(**axis_of(metric))
        figure.update_layout(**LEGEND_ABOVE)
        label = f"{metric.label} by layer, networks of each depth"
        charts.append(Chart(name=f"depths-{metric.name.replace('_', '-')}", figure=figure, label=label, narrow=True))
    words = Text("On test examples at the last snapshot: means over members with their 95 % intervals.")
    yield Section(anchor="depths", heading="Depth by depth", blocks=(words, Grid(tuple(charts))))


def _mean(layers: pd.DataFrame, name: str, bootstrap: Bootstrap) -> Interval:
    """The mean of a metric over members, resampled by their minibatch orders."""
    groups_M = np.unique(layers["group"], return_inverse=True)[1]
    return bootstrap.interval(layers[[name]].to_numpy(), groups_M=groups_M)


def _settling(neurons: Neurons) -> Iterator[Block]:
    """How much units still change from snapshot to snapshot, single and cumulative."""
    yield Text(
        "How far units move from one snapshot to the next, in standard deviations of their layer's units. A mean over t"
        " epochs gives the last one a weight of 1 / t: of units that wander by independent steps it moves by"
        " 1 / √(3 t) of a step, so that its curve goes flat whether they come to rest or not."
    )
    charts = []
    for name in DRAWN:
        metric, changes = METRICS[name], neurons.settling(name)
        figure = over_epochs(changes["epoch"], metric, 300)
        for number, kind in enumerate(("single", "cumulative")):
            values = dict(iter(changes.groupby("epoch")[kind]))
            words = "epoch by epoch" if kind == "single" else "mean over epochs so far"
            add_band(figure, list(values), described_each(values.values()), PALETTE[number], words, band=True)
        figure.update_yaxes(title_text="change, SD of units", rangemode="tozero")
        figure.update_layout(**LEGEND_ABOVE)
        label = f"Change of {metric.label} from snapshot to snapshot"
        charts.append(Chart(name=f"settling-{name}", figure=figure, label=label, caption=label, narrow=True))
    yield Grid(tuple(charts))


def _heat_maps(neurons: Neurons) -> Iterator[Block]:
    """Each unit of one member by epoch, as it is and as the mean over all epochs so far."""
    layers = neurons.layers
    member = int(layers.loc[layers["depth"].idxmax(), "member"])
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
    told, several = neurons.with_gap(bootstrap), several_depths(neurons)
    if not len(told):
        yield Text("Members do not differ in their generalization gap, or it is not known.")
        return
    yield Text(
        f"Over {counted(neurons.layers['member'].nunique(), 'member')}: does what layers do at the last snapshot, or on"
        f" average over changes, go along with the generalization gap? {TAU.label} with its 95 % interval."
        + " The second is among networks of one depth, and does not tell what comes of depth."
        * several
    )
    rows = tuple(
        Row(cells=(
            Cell(text=WHERE[row.where]), Cell(text=METRICS[row.metric].label),
            metric_cell(TAU, row.tau, row.low, row.high),
            *((metric_cell(TAU, row.within, row.within_low, row.within_high),) if several else ()),
        ))
        for row in told.itertuples()
    )  # fmt: skip
    columns = (
        Column(title="hidden layer", number=False),
        Column(title="statistic", number=False),
        Column(title=TAU.label),
        *((Column(title="in one depth"),) if several else ()),
    )
    yield Table(caption="Rank correlation with the generalization gap", columns=columns, rows=rows)
