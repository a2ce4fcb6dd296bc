"""The report's section about what was wanted of generators, and what they made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from analysis.generation.conditioning import NETWORKS
from analysis.pages.figures import GRAY, PALETTE, PERCENT, base_layout, error_bars
from analysis.pages.page import Chart, Section, Text


def section(summary: Mapping[str, Any]) -> Section | str:
    """Accuracies obtained against accuracies wanted, a line a fit; or why there is no such section."""
    if not summary["conditioning"]:
        return "no generator that was measured has an accuracy as a condition"
    figure = go.Figure(layout=base_layout(400))
    ends = [value for found in summary["conditioning"] for value in found["wanted"]]
    figure.add_scatter(
        x=[min(ends), max(ends)],
        y=[min(ends), max(ends)],
        mode="lines",
        name="as wanted",
        line={"color": GRAY, "dash": "dot"},
    )
    for number, found in enumerate(summary["conditioning"]):
        figure.add_scatter(
            x=found["wanted"],
            y=found["obtained"],
            error_y=error_bars(found["obtained"], found["low"], found["high"], width=3),
            mode="lines+markers",
            line={"color": PALETTE[number % len(PALETTE)], "width": 2},
            name=f"trial {found['trial']}, {found['column']}",
        )
    figure.update_xaxes(title_text="accuracy wanted", tickformat=PERCENT)
    figure.update_yaxes(title_text="accuracy obtained", tickformat=PERCENT)
    caption = "Accuracy obtained against accuracy wanted; bars hold 80 % of the networks made for it."
    return Section(
        anchor="conditioning",
        heading="What is wanted, and what is made",
        short="Conditioning",
        blocks=(
            Text(
                f"Of each quantile of the training networks' accuracies, {NETWORKS} networks were wanted. Error and"
                " slope are in the table above."
            ),
            Chart(name="obtained-by-wanted", figure=figure, label=caption, caption=caption),
        ),
    )
