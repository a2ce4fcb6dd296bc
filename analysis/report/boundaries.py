"""The report's section about decision boundaries: planes, distances, and the images on which networks change."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import zip_longest
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.compression.headlines import targets
from analysis.evaluators.boundaries import BOUNDARIES, KINDS
from analysis.evaluators.planes import ORIGINAL, RECONSTRUCTED, unpacked
from analysis.measuring.results import Result, declared
from analysis.pages.figures import BLUE, GRAY, INK, axis_of, base_layout
from analysis.pages.numbers import count, percent
from analysis.pages.page import Block, Chart, Grid, Heading, Section, Text
from analysis.pages.rasters import class_color, class_field, png
from analysis.record import Analysis
from analysis.report.figures import error_bars_of, label, style
from analysis.report.tables import chosen_table

NEAREST = "boundary_adversarial"
# Images side by side in a part of the gallery, and in one part.
ACROSS, IN_PART = 3, 6
WHEN = ("before", "after")
WHO = {
    "typical": "A typical network",
    "worst": "The network that changes most",
}


def boundaries(analysis: Analysis, linked: frozenset[str]) -> Section | str:
    """Decision boundaries before and after; why not, where they were not measured."""
    if BOUNDARIES.name in analysis.summary.get("evaluators_left_out", ()):
        return "these networks tell no classes apart"
    results = [result for result in analysis.results if f"{NEAREST}_moved" in result.metrics]
    if not results:
        return "decision boundaries were not measured (analyze --evaluators boundaries)"
    shown = shown_result(results)
    found = shown.details[BOUNDARIES.name]
    blocks: list[Block] = [
        Text(
            "Planes through the space of inputs: the color is the class that a network predicts there, the lighter"
            f" the less sure it is. Reconstructions are those of {label(shown)}{_first(shown)}; where they predict"
            " another class than the original, stripes are drawn over them."
        ),
        *plane_blocks(found["planes"], analysis),
        Heading("How far boundaries move"),
        Text(
            "A ray starts at a test example and ends where the prediction changes. In a random direction that is far;"
            " DeepFool's direction leads to about the nearest boundary."
        ),
        Grid((moved_by_rate(results), distances_of_members(shown))),
        chosen_table(
            "Distances of decision boundaries",
            results,
            linked,
            [measure.metric.name for measure in BOUNDARIES.measures],
        ),
        Heading("Images on which networks change"),
        *gallery_blocks(found["flips"], shown),
    ]
    return Section(anchor="boundaries", heading="Decision boundaries", short="Boundaries", blocks=tuple(blocks))


def shown_result(results: Sequence[Result]) -> Result:
    """The result whose pictures are shown: near the first target, learned rather than classical, of one network each.

    A control only where there is nothing else.
    """
    target = targets(results)[0]
    for family in ("learned", "classical", "control"):
        own = [result for result in results if result.family == family]
        if own:
            return min(own, key=lambda result: abs(result.metrics[target.metric].estimate - target.value))
    raise ValueError("there is no result to show")


def _first(result: Result) -> str:
    return f", by the first of its {result.fits} fits" if result.fits > 1 else ""


def plane_blocks(found: Mapping[str, Any], analysis: Analysis) -> list[Block]:
    """A chart for each plane and member that were drawn, from what ``analysis.evaluators.planes`` gave; or why none."""
    if "absent" in found:
        return [Text(f"There are no planes: {found['absent']}.")]
    charts: list[Block] = []
    for why in dict.fromkeys(view["why"] for view in found["views"]):
        for number, plane in enumerate(found["planes"]):
            views = [view for view in found["views"] if view["why"] == why and view["plane"] == number]
            who = f"{WHO[why]}{_member(analysis, views[0]['row'])}"
            charts.append(
                Chart(
                    name=f"plane-{why}-{number}",
                    figure=plane_figure(plane, views, [view["subject"] for view in views]),
                    label=f"Predicted classes on the plane of {plane['name']}: {who}",
                    caption=f"{who}; plane of {plane['name']}.",
                )
            )
    return [Grid(tuple(charts))]


def planes_alone(found: Mapping[str, Any], name: str, who: str) -> list[Block]:
    """The same of networks without originals, side by side.

    Args:
        found: What ``analysis.evaluators.planes`` gave.
        name: What names of charts begin with.
        who: What the networks are.
    """
    if "absent" in found:
        return [Text(f"There are no planes: {found['absent']}.")]
    charts: list[Block] = []
    for number, plane in enumerate(found["planes"]):
        views = [view for view in found["views"] if view["plane"] == number]
        titles = [f"network {view['row'] + 1}" for view in views]
        caption = f"{who[0].upper()}{who[1:]}; plane of {plane['name']}."
        figure = plane_figure(plane, views, titles)
        charts.append(Chart(name=f"{name}-{number}", figure=figure, label=caption, caption=caption))
    return [Grid(tuple(charts))]


def plane_figure(plane: Mapping[str, Any], views: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> go.Figure:
    """The plane's views side by side, each under its title; stripes over reconstructions where they differ."""
    figure = make_subplots(rows=1, cols=len(views), horizontal_spacing=0.05)
    (left, right), (low, high) = plane["extent"]
    before = unpacked(views[0]["classes"])
    known: set[int] = set()
    for number, view in enumerate(views, 1):
        axis = "" if number == 1 else str(number)
        classes, confidence = unpacked(view["classes"]), unpacked(view["confidence"]) / 255
        known |= set(np.unique(classes).tolist())
        shaded = classes != before if view["subject"] == RECONSTRUCTED else None
        figure.add_layout_image(
            source=png(class_field(classes, confidence, shaded)),
            xref=f"x{axis}", yref=f"y{axis}", x=left, y=high, sizex=right - left, sizey=high - low,
            sizing="stretch", layer="below",
        )  # fmt: skip
        x, y, labels = ([mark[place] for mark in plane["marks"]] for place in range(3))
        figure.add_scatter(
            x=x or [None], y=y or [None], text=[str(each) for each in labels] or [""], mode="markers+text",
            textposition="top center", textfont={"color": INK, "size": 14}, showlegend=False,
            marker={"size": 9, "color": "#ffffff", "line": {"color": INK, "width": 2}},
            hovertemplate="test example of class %{text}<extra></extra>", row=1, col=number,
        )  # fmt: skip
    for one in sorted(known):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=str(one), marker={"size": 10, "color": class_color(one)},
        )  # fmt: skip
    look = base_layout(height=400)
    figure.update_layout(look).update_xaxes(look["xaxis"]).update_yaxes(look["yaxis"])
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}, margin={"t": 30, "b": 80, "l": 44, "r": 8}
    )
    for number, title in enumerate(titles, 1):
        axis = "" if number == 1 else str(number)
        figure.add_annotation(
            text=escape(title), xref=f"x{axis} domain", yref=f"y{axis} domain", x=0, y=1.02, yanchor="bottom",
            xanchor="left", showarrow=False, font={"size": 13},
        )  # fmt: skip
        figure.update_xaxes(range=[left, right], title_text=plane["titles"][0], constrain="domain", col=number)
        figure.update_yaxes(range=[low, high], scaleanchor=f"x{axis}", constrain="domain", col=number)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False)
    if len(views) > 1:
        figure.update_yaxes(showticklabels=False, col=2)
    return figure.update_yaxes(title_text=plane["titles"][1], col=1)


def moved_by_rate(results: Sequence[Result]) -> Chart:
    """How far the nearest boundary moves, against rate: a line for each codec."""
    name = f"{NEAREST}_moved"
    figure = go.Figure(layout=base_layout(height=400))
    coded = [result for result in results if result.family != "control"] or results
    for codec in dict.fromkeys(result.name for result in coded):
        own = sorted((result for result in coded if result.name == codec), key=lambda result: result.rate)
        drawn = style(codec, own[0].family)
        measured = [result.metrics[name] for result in own]
        figure.add_scatter(
            x=[result.rate for result in own],
            y=[one.estimate for one in measured],
            error_y=error_bars_of(measured),
            name=escape(codec),
            mode="markers" if own[0].trial is not None else "lines+markers",
            line={"width": 1.6, "color": drawn.color},
            marker={"size": 7, "symbol": drawn.symbol, "color": drawn.color},
            text=[escape(label(result)) for result in own],
            hovertemplate="%{text}<br>%{x:.3g}, %{y:.1%}<extra></extra>",
        )
    figure.update_xaxes(type="log", title_text="code bits per weight (log scale)")
    figure.update_yaxes(**axis_of(declared(results)[name]), rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top"}, margin={"b": 130})
    caption = "How far the nearest boundary moves, in shares of its distance, against the bits of a weight."
    return Chart(name="boundaries-by-rate", figure=figure, label=caption, caption=caption)


def distances_of_members(result: Result) -> Chart:
    """Each network's boundary before and after, along both kinds of rays."""
    figure = go.Figure(layout=base_layout(height=400))
    metrics = declared([result])
    values: list[float] = []
    for kind, color, symbol in zip(KINDS, (GRAY, BLUE), ("circle-open", "circle"), strict=True):
        x, y = result.values[f"{kind}_{ORIGINAL}"], result.values[f"{kind}_reconstructed"]
        values += [*x, *y]
        figure.add_scatter(
            x=x, y=y, mode="markers", name=metrics[f"{kind}_moved"].label.removeprefix("boundary moved, "),
            marker={"size": 5.5, "color": color, "symbol": symbol, "opacity": 0.7},
            hovertemplate="%{x:.3g} → %{y:.3g}<extra></extra>",
        )  # fmt: skip
    ends = [max(min(values), 1e-6) / 1.2, max(values) * 1.2]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": INK, "width": 1, "dash": "dash"}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    figure.update_xaxes(type="log", title_text="distance before")
    figure.update_yaxes(type="log", title_text="distance after")
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top"}, margin={"b": 130})
    caption = f"Mean distance of each network's boundary before and after, by {label(result)}; log scales."
    return Chart(name="boundaries-of-members", figure=figure, label=caption, caption=caption)


def gallery_blocks(found: Mapping[str, Any], result: Result) -> list[Block]:
    """The images with what is said of each; or why there are none."""
    if "absent" in found:
        return [Text(f"There is no gallery: {found['absent']}.")]
    images = found["images"]
    said = (
        f"On {percent(found['untouched'])} of the {count(result.examples)} test images no network changes its answer"
        f" when {label(result)} has coded it{_first(result)}."
    )
    if not images:
        return [Text(said)]
    parts = [images[start : start + IN_PART] for start in range(0, len(images), IN_PART)]
    return [
        Text(
            f"{said} Below, the test images on which most do: label, number and the share of networks that change; then"
            " the commonest answer before and after, and the second."
        ),
        Grid(
            tuple(
                Chart(
                    name=f"flips-{number}",
                    figure=gallery(part, found["shape"]),
                    label="Test images on which most networks change their answer: "
                    + "; ".join(f"{image['example']}, label {image['label']}" for image in part),
                )
                for number, part in enumerate(parts, 1)
            )
        ),
    ]


def gallery(images: Sequence[Mapping[str, Any]], shape: Sequence[int]) -> go.Figure:
    """Images in rows, each over what is said of it."""
    rows = -(-len(images) // ACROSS)
    figure = go.Figure(layout=base_layout(height=30 + 235 * rows))
    # A hidden trace: without one there is no plane for images to stand in.
    figure.add_scatter(x=[None], y=[None], mode="markers", showlegend=False)
    for number, image in enumerate(images):
        row, column = divmod(number, ACROSS)
        figure.add_layout_image(
            source=png(_pixels(image["pixels"], shape)), xref="paper", yref="paper", sizing="contain", yanchor="bottom",
            x=(column + 0.04) / ACROSS, y=1 - (row + 0.64) / rows, sizex=0.9 / ACROSS, sizey=0.62 / rows,
        )  # fmt: skip
        said = f"<b>{image['label']}</b> · no. {image['example']} · {percent(image['changed'], 0)}"
        figure.add_annotation(
            text=f"{said}<br>{_answers(image)}",
            xref="paper", yref="paper", x=(column + 0.04) / ACROSS, y=1 - (row + 0.66) / rows, xanchor="left",
            yanchor="top", align="left", showarrow=False, font={"size": 10.5},
        )  # fmt: skip
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.update_layout(margin={"l": 4, "r": 4, "t": 6, "b": 4}, hovermode=False)


def _answers(image: Mapping[str, Any]) -> str:
    """The commonest answers before and after, then the second commonest."""
    lines = zip_longest(*([f"{int(answer)} ({percent(share, 0)})" for answer, share in image[when]] for when in WHEN))
    return "<br>".join(" → ".join(each or "–" for each in line) for line in lines)


def _pixels(text: str, shape: Sequence[int]) -> np.ndarray:
    """Stored pixels ``[colors, height, width]`` as those of a picture, enlarged where there are few."""
    image = np.frombuffer(base64.b64decode(text), np.uint8).reshape(*shape).transpose(1, 2, 0)
    # Pictures of floating scale, such as digits from 0 to 16, are stretched to what a screen shows.
    image = (image.astype(np.float64) * 255 / max(int(image.max()), 1)).round().astype(np.uint8)
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    times = max(1, 112 // max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _member(analysis: Analysis, row: int) -> str:
    """Which member a row is, where that is known."""
    members = analysis.members
    return "" if members is None else f", member {members['member'][row]} at epoch {members['epoch'][row]}"
