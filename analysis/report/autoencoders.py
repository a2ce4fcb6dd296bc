"""The report's section about autoencoders: what their latents hold, do and cost, and what lies between two networks.

Shape letters: K latents looked at, L layers, R pairs of networks, T places between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.compression.codec_rows import LEARNED
from analysis.compression.headlines import targets
from analysis.latents.interpolation import PLACES
from analysis.latents.rows import BARRIER, CARRYING, HALFWAY, LATENT_WIDTH, MOVED, WAYS
from analysis.measuring.results import Result, declared
from analysis.pages.distributions import described_each
from analysis.pages.figures import GRAY, INK, LEGEND_ABOVE, PALETTE, PERCENT, add_band, axis_of, base_layout, heat_map
from analysis.pages.numbers import count, counted, with_unit
from analysis.pages.page import Block, Chart, Grid, Heading, Section, Text
from analysis.pages.tables import Cell, Column, Row, Table, absent, count_cell, metric_cell
from analysis.record import Analysis, LatentMap, LatentMaps
from analysis.report import latent
from analysis.report.figures import error_bars_of
from zoo.metric import Metric

# Latents of a heat map: those that move outputs most.
STRONGEST = 24
EFFECT = Metric(name="effect", label="relative change", unit="share", description="Of a layer, or of outputs.")
ATTENTION = Metric(name="attention", label="attention", description="Over what even attention would be.")
WEIGHT_WAYS = (
    ("matched", "weights matched in pairs", PALETTE[0]),
    ("common", "weights matched with one network", PALETTE[6]),
    ("weights", "weights as they are", GRAY),
)
QUALITIES = ("agreement", "output_r2")


def autoencoders(analysis: Analysis) -> Section | str:
    """What was found of a study's autoencoders; why there is nothing."""
    results = analysis.latent_results
    if not results:
        if not analysis.studies:
            return "no study of autoencoders was analyzed (analyze --study)"
        return "the study's codecs have no latents"
    quality = declared(analysis.results)[targets(analysis.results)[0].metric]
    return Section(
        anchor="autoencoders",
        heading="What latents hold",
        short="Latents",
        blocks=(
            Text(_looked_at(results)),
            *latent.blocks(maps_of(results), "Autoencoder", "latent"),
            Heading("What each latent does"),
            *_what_latents_do(results, quality),
            *_attention(results),
            Heading("Between two networks"),
            *_between(results),
            Heading("Size of the encoding"),
            *_sizes(analysis.results, results, quality),
            _table(results),
        ),
    )


def maps_of(results: Sequence[Result]) -> LatentMaps:
    """The maps of all autoencoders: the same snapshots in each."""
    first = results[0].details["map"]
    return LatentMaps(
        maps=tuple(
            LatentMap(
                name=_name(result) + (", UMAP" if one["name"] else ""),
                places_M2=np.array(one["places"]),
                axes=(one["axes"][0], one["axes"][1]),
            )
            for result in results
            for one in result.details["map"]["maps"]
        ),
        columns={name: _column(values) for name, values in first["columns"].items()},
        paths=tuple(np.array(rows) for rows in first["paths"]),
    )


def _column(values: Sequence[Any]) -> np.ndarray:
    if any(isinstance(value, str) for value in values):
        return np.array(values)
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _name(result: Result) -> str:
    return f"trial {result.trial}: {result.setting}"


def _looked_at(results: Sequence[Result]) -> str:
    return (
        f"Looked into: {'; '.join(_name(result) for result in results)} ({results[0].name}). Latents are those that the"
        " encoder gives, neither refined nor rounded; means and deviations of latents are those of training networks."
    )


def _what_latents_do(results: Sequence[Result], quality: Metric) -> Iterator[Block]:
    """Heat maps of the Jacobian, and how many latents carry how much."""
    yield Text(
        "A step of one standard deviation in one latent, to first order (the decoder's Jacobian), the root mean square"
        f" over up to {MOVED} networks: the length of the change of each layer over the layer's, and of the outputs"
        f" over their deviation. Drawn are the {STRONGEST} latents that move outputs most."
    )
    charts = []
    for number, result in enumerate(results):
        caption = f"{_name(result)}: {count(result.metrics[CARRYING.name].estimate)} of"
        caption += (
            f" {count(result.metrics[LATENT_WIDTH.name].estimate)} latents carry 90 % of what they do to outputs."
        )
        charts.append(
            Chart(
                name=f"effects-{number}",
                figure=effect_map(result.details["effects"]),
                label=f"What latents of {_name(result)} do to each layer and to outputs",
                caption=caption,
                narrow=True,
            )
        )
    yield Grid(tuple(charts), small=len(charts) > 2)
    yield Grid(
        (
            Chart(
                name="latents-carry",
                figure=carried(results),
                label="Share of what latents do to outputs by how many there are",
                caption="Share of the summed squared effect on outputs, strongest latents first.",
                narrow=True,
            ),
            Chart(
                name="latents-kept",
                figure=kept(results, quality),
                label=f"{quality.label} by how many latents are kept",
                caption=f"{quality.label.capitalize()} where only so many latents are kept, strongest first, the others"
                " at their mean over training networks.",
                narrow=True,
            ),
        )
    )


def effect_map(told: dict[str, Any]) -> go.Figure:
    """What the strongest latents do: a row each, layers and outputs as columns."""
    places = told["order"][:STRONGEST]
    of_layers_KL, of_outputs_K = np.array(told["of_layers"]), np.array(told["of_outputs"])
    table = pd.DataFrame(
        np.column_stack([of_layers_KL[places], of_outputs_K[places]]),
        index=[told["latents"][place] for place in places],
        columns=[*told["layers"], "outputs"],
    )
    figure = heat_map(table, EFFECT, "%{y}<br>%{x}: %{z:.1%}", 150 + 17 * len(places))
    figure.data[0].update(zmin=0, zmax=float(table.to_numpy().max()))
    return figure.update_yaxes(scaleanchor=None, tickfont_size=11)


def carried(results: Sequence[Result]) -> go.Figure:
    """Cumulative shares."""
    figure = go.Figure(layout=base_layout(340))
    for number, result in enumerate(results):
        told = result.details["effects"]
        squares = np.array(told["of_outputs"])[told["order"]] ** 2
        shares = np.cumsum(squares) / max(float(squares.sum()), 1e-300)
        _line(figure, list(range(1, len(shares) + 1)), shares.tolist(), number, result, mode="lines")
    figure.update_xaxes(title_text="latents (log scale)", type="log", dtick=1)
    figure.update_yaxes(title_text="share of the effect", tickformat=PERCENT, rangemode="tozero")
    return figure.update_layout(LEGEND_ABOVE)


def kept(results: Sequence[Result], quality: Metric) -> go.Figure:
    """Quality by how many latents are kept; none at all stands at a half."""
    figure = go.Figure(layout=base_layout(340))
    for number, result in enumerate(results):
        told = result.details["kept"]
        _line(figure, [max(each, 0.5) for each in told["counts"]], told["quality"], number, result)
    most = max(max(result.details["kept"]["counts"]) for result in results)
    ticks = [1, *(10**power for power in range(1, 7) if 10**power <= most)]
    figure.update_xaxes(
        title_text="latents kept (log scale)", type="log", tickvals=[0.5, *ticks], ticktext=["0", *map(count, ticks)]
    )
    figure.update_yaxes(**axis_of(quality))
    return figure.update_layout(LEGEND_ABOVE)


def _line(
    figure: go.Figure, x: Sequence[float], y: Sequence[float], number: int, result: Result, mode: str = "lines+markers"
) -> None:
    figure.add_scatter(
        x=list(x),
        y=list(y),
        mode=mode,
        name=f"trial {result.trial}",
        line={"color": _color(number), "width": 2},
        marker={"size": 6},
        hovertemplate=f"{escape(_name(result))}<br>%{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _color(number: int) -> str:
    """Of an autoencoder: those of weights are apart."""
    return PALETTE[1 + number]


def _attention(results: Sequence[Result]) -> Iterator[Block]:
    """Attention of transformers, where there are any."""
    told = [result for result in results if result.details["attention"]]
    if not told:
        return
    yield Heading("What attention reads")
    yield Text(
        "How much of the attention of the neurons of a layer (rows) goes to those of each layer (columns), over what it"
        " would be if all were read alike: above 1 a layer is read more than its number of neurons explains. Means over"
        " heads, neurons and networks."
    )
    for number, result in enumerate(told):
        charts = []
        for place, one in enumerate(result.details["attention"]):
            ratio = np.array(one["shares"]) / np.array(one["even"])
            table = pd.DataFrame(ratio, index=one["readers"], columns=one["read"])
            figure = heat_map(table, ATTENTION, "%{y} reads %{x}<br>%{z:.2f} of even attention", 120 + 60 * len(table))
            figure.data[0].update(zmin=0, zmax=max(2.0, float(ratio.max())), texttemplate="%{z:.2f}")
            figure.update_yaxes(scaleanchor=None)
            caption = f"{_name(result)}, {one['name']}"
            charts.append(
                Chart(name=f"attention-{number}-{place}", figure=figure, label=caption, caption=caption, narrow=True)
            )
        yield Grid(tuple(charts))


def _between(results: Sequence[Result]) -> Iterator[Block]:
    """Accuracy on straight lines between two networks."""
    if not results[0].details["interpolation"]:
        yield Text(
            "Networks between two others are judged by their accuracy, on pairs of one architecture and class task:"
            " there are no classes, or no such pairs."
        )
        return
    pairs = len(results[0].details["interpolation"]["latents"])
    halfway = {way: with_unit(HALFWAY[way], results[0].value(HALFWAY[way].name)) for way in WAYS}
    yield Text(
        f"{counted(pairs, 'pair')} of held-out networks, and what lies on the straight line between them: between their"
        " latents, decoded; between their weights, with hidden units matched with each other, matched with one training"
        " network (which is how the autoencoder sees them), or as they lie in the zoo. Ends of the ways between weights"
        " are the networks themselves, those between latents their reconstructions. Halfway, accuracy is"
        f" {halfway['latents']} in latents of trial {results[0].trial}; in weights {halfway['matched']} matched with"
        f" each other, {halfway['common']} matched with one network, and {halfway['weights']} as they are. An even way"
        " between latents is worth little where all of them are decoded to much the same network: see above what is"
        " left without any latent."
    )
    yield Grid(
        (
            Chart(
                name="between-accuracy",
                figure=along(results, below=False),
                label="Mean accuracy on the way from one network to another",
                caption="Accuracy on the way, the mean over pairs.",
                narrow=True,
            ),
            Chart(
                name="between-barrier",
                figure=along(results, below=True),
                label="Accuracy less the straight line between both ends",
                caption="Accuracy less that of a straight line between both ends: medians over pairs and the range of"
                " 90 % of them.",
                narrow=True,
            ),
        )
    )


def along(results: Sequence[Result], *, below: bool) -> go.Figure:
    """Accuracy by place: means, or ``below`` the straight line between both ends medians with bands."""
    figure, told = go.Figure(layout=base_layout(380)), results[0].details["interpolation"]
    lines = [(name, told[way], color, "dash") for way, name, color in WEIGHT_WAYS]
    lines += [
        (f"latents, trial {result.trial}", result.details["interpolation"]["latents"], _color(number), "solid")
        for number, result in enumerate(results)
    ]
    for name, accuracy, color, dash in lines:
        accuracy_RT = np.array(accuracy)
        if below:
            straight_RT = accuracy_RT[:, :1] + (accuracy_RT[:, -1:] - accuracy_RT[:, :1]) * np.array(PLACES)
            quantiles = described_each(100 * (accuracy_RT - straight_RT).T)
            add_band(figure, PLACES, quantiles, color, name, band=True)
            figure.data[-1].update(line_dash=dash)
        else:
            figure.add_scatter(
                x=list(PLACES),
                y=accuracy_RT.mean(0).tolist(),
                mode="lines+markers",
                name=name,
                line={"color": color, "width": 2, "dash": dash},
                marker={"size": 6},
            )
    figure.update_xaxes(title_text="place between the two networks")
    title = {"title_text": "accuracy less the straight line (pp)"}
    figure.update_yaxes(**(title if below else {"title_text": "accuracy", "tickformat": PERCENT}))
    return figure.update_layout(LEGEND_ABOVE)


def _sizes(measured: Sequence[Result], results: Sequence[Result], quality: Metric) -> Iterator[Block]:
    """Bits of encodings against quality: of all trials, and of single networks."""
    trials = [result for result in measured if result.name == LEARNED and result.trial is not None]
    yield Grid(
        (
            Chart(
                name="bits-of-trials",
                figure=bits_of_trials(trials, quality),
                label=f"{quality.label} by bits of a network",
                caption="Every measured trial: bits of a network's symbols, the mean over networks, and what"
                " reconstructions keep.",
                narrow=True,
            ),
            Chart(
                name="bits-of-networks",
                figure=bits_of_networks(results, quality),
                label=f"{quality.label} of single networks by the bits of a payload of their own",
                caption="Every point is a network: bits of a payload of its own, with its header.",
                narrow=True,
            ),
        )
    )


def bits_of_trials(trials: Sequence[Result], quality: Metric) -> go.Figure:
    """A point for each trial."""
    figure = go.Figure(layout=base_layout(380))
    measured = [result.metrics[quality.name] for result in trials]
    figure.add_scatter(
        x=[result.rate * result.parameters for result in trials],
        y=[one.estimate for one in measured],
        error_y=error_bars_of(measured),
        mode="markers",
        marker={"size": 9, "color": PALETTE[1]},
        text=[escape(_name(result)) for result in trials],
        hovertemplate="%{text}<br>%{x:.0f} bits, %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(title_text="bits of a network (log scale)", type="log")
    return figure.update_yaxes(**axis_of(quality)).update_layout(showlegend=False)


def bits_of_networks(results: Sequence[Result], quality: Metric) -> go.Figure:
    """A point for each network of each autoencoder."""
    figure = go.Figure(layout=base_layout(380))
    for number, result in enumerate(results):
        alone = result.details["alone"]
        accuracy = alone.get("accuracy_original")
        said = [f"member {member}" for member in alone["members"]]
        if accuracy is not None:
            said = [f"{text}, accuracy {value:.1%}" for text, value in zip(said, accuracy, strict=True)]
        figure.add_scatter(
            x=[8 * each for each in alone["bytes"]],
            y=next(alone[name] for name in QUALITIES if name in alone),
            mode="markers",
            name=f"trial {result.trial}",
            marker={"size": 6, "opacity": 0.7, "color": _color(number), "line": {"width": 0.4, "color": INK}},
            text=said,
            hovertemplate="%{text}<br>%{x} bits, %{y:.4g}<extra></extra>",
        )
    figure.update_xaxes(title_text="bits of a network (log scale)", type="log")
    return figure.update_yaxes(**axis_of(quality)).update_layout(LEGEND_ABOVE)


def _table(results: Sequence[Result]) -> Table:
    """What was measured of each autoencoder, then of ways between weights."""
    known = declared(results)
    ways = [way for way in WAYS if HALFWAY[way].name in known]
    found = [(result, "latents", _name(result), _color(number)) for number, result in enumerate(results)]
    found += [(results[0], way, name, color) for way, name, color in WEIGHT_WAYS if way in ways]
    own = (LATENT_WIDTH, CARRYING)
    columns = [Column(title=metric.label) for metric in own]
    if ways:
        columns += [Column(title="accuracy halfway", unit="%"), Column(title="barrier", unit="pp")]
    rows = []
    for result, way, name, color in found:
        counts = [result.metrics[metric.name].estimate for metric in own]
        cells = [count_cell(int(each)) if way == "latents" else absent("") for each in counts]
        if ways:
            measured = [result.metrics[of[way].name] for of in (HALFWAY, BARRIER)]
            cells += [metric_cell(one.metric, one.estimate, one.low, one.high) for one in measured]
        rows.append(Row(cells=(Cell(text=name, color=color), *cells)))
    return Table(
        caption="Autoencoders looked into, and straight lines between weights",
        columns=(Column(title="autoencoder, or what is between weights", number=False), *columns),
        rows=tuple(rows),
    )
